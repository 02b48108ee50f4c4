"""Whether tomostar, XML, settings and images of a Warp project say the same where they speak of the same thing.

Warp reads a tomostar once, when there is no XML yet; from then on the XML alone says which movie, angle, exposure
and axis a tilt has. Sizes and pixel size it takes from its settings and the images at each start. What it lets win
wins here too. What would give images the angle, exposure and defocus of others is grave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.formats.tomostar import Tomostar
from mpop.records.tilt_series import TiltSeriesModel

Array = NDArray[np.float64]

SIZE_TOLERANCE = 0.01
"""Relative difference up to which two statements of a size agree."""
ORDER_DEG = 0.5
"""Tilts that are closer than this may come in either order."""
REFINED_BY_DEG = 5.0
"""More than any alignment changes an angle beside what is common to all of them."""
AXIS_REFINED_BY_DEG = 15.0
"""More than the tilt axis of a microscope is usually mistaken by."""
NAMED = 3
"""Series that are named in one doubt of many."""


def by_movie(tomostar: Tomostar, movies: Sequence[str]) -> tuple[Tomostar, list[Doubt]]:
    """The tomostar with its rows in the order of the XML's <MoviePath>, if there is one."""
    name, there = f"{tomostar.name}.tomostar", tomostar.movies
    if not movies:
        return tomostar, []
    kept = "each image goes to the tilt of its row"
    if len(movies) != len(there):
        text = f"<MoviePath> lists {len(movies)} movies"
        return tomostar, [_grave("movies-differ", tomostar.name, text, f"{name} {len(there)}", kept)]
    rows, wanted = _names(there, movies)
    if rows == wanted:
        return tomostar, []
    unknown = [movie for movie, key in zip(movies, wanted, strict=True) if key not in rows]
    if unknown or len(set(wanted)) < len(wanted):
        text = f"<MoviePath> lists {unknown[0]}" if unknown else "<MoviePath> lists a movie twice"
        against = f"that is not in {name}" if unknown else f"{name} does not"
        return tomostar, [_grave("movies-differ", tomostar.name, text, against, kept)]
    table = tomostar.table.iloc[[rows.index(key) for key in wanted]].reset_index(drop=True)
    doubt = Doubt(
        "movies-reordered",
        f"{tomostar.name}.xml",
        "<MoviePath> is in another order than the rows of the tomostar",
        assumed="each image went to the tilt of its movie, as in Warp",
    )
    return replace(tomostar, table=table), [doubt]


def _names(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of movies without ending, with as many folders as make all of each list different."""
    one, two = (
        [PurePosixPath(_portable(movie)).with_suffix("").parts for movie in part] for part in (first, second)
    )
    for depth in range(1, max(map(len, [*one, *two])) + 1):
        names = (["/".join(parts[-depth:]) for parts in part] for part in (one, two))
        rows, wanted = names
        if len(set(rows)) == len(rows):
            return rows, wanted
    return list(first), list(second)


def _portable(movie: str) -> str:
    """As on Linux, and without blanks, which Warp takes out."""
    return movie.replace("\\", "/").replace(" ", "") or "?"


def compared_angles(tomostar: Tomostar, xml: Array, stated: Array) -> list[Doubt]:
    """xml, stated (by the tomostar): (n,) degrees. What is common to all is Warp's levelling."""
    offset = float(np.median(stated - xml))
    beside = np.abs(stated - xml - offset)
    wrong = _first_out_of_order(xml, stated, ORDER_DEG)
    if wrong is None and beside.max(initial=0.0) > REFINED_BY_DEG:
        wrong = int(beside.argmax())
    if wrong is None:
        return []
    read = f"tilt {wrong + 1} is at {xml[wrong]:g} degrees"
    against = f"{tomostar.name}.tomostar has {stated[wrong]:g} for that image"
    return [_grave("angles-differ", tomostar.name, read, against, "the angles of the XML stay")]


def compared_exposures(tomostar: Tomostar, xml: Array, stated: Array) -> list[Doubt]:
    """xml, stated (by the tomostar): (n,) electrons per A^2 before each tilt."""
    largest = max(np.abs(xml).max(), np.abs(stated).max())
    wrong = _first_out_of_order(xml, stated, SIZE_TOLERANCE * largest)
    if wrong is not None:
        read = f"tilt {wrong + 1} comes after {xml[wrong]:g} e/A^2"
        against = f"{tomostar.name}.tomostar has {stated[wrong]:g}, another place in the order of exposure"
        return [_grave("exposures-differ", tomostar.name, read, against, "the exposures of the XML stay")]
    if np.abs(xml - stated).max() <= SIZE_TOLERANCE * largest:
        return []
    doubt = Doubt(
        "exposures-differ",
        f"{tomostar.name}.xml",
        f"its exposures go to {xml.max():g} e/A^2",
        f"those of the tomostar to {stated.max():g}",
        "the XML wins, as in Warp",
    )
    return [doubt]


def compared_axis(tomostar: Tomostar, xml: Array, stated: Array) -> list[Doubt]:
    """xml, stated (by the tomostar): (n,) degrees of the tilt axis."""
    apart = abs((float(np.median(xml)) - float(np.median(stated)) + 180) % 360 - 180)
    if apart <= AXIS_REFINED_BY_DEG:
        return []
    doubt = Doubt(
        "axis-differs",
        f"{tomostar.name}.xml",
        f"the tilt axis is at {np.median(xml):g} degrees",
        f"the tomostar has {np.median(stated):g}",
        "the XML wins, as in Warp",
    )
    return [doubt]


def _first_out_of_order(one: Array, other: Array, least: float) -> int | None:
    """The first of n values that is on another side of some later one in the other list, by more than `least`."""
    a, b = (values[:, None] - values[None, :] for values in (one, other))
    crossed = (np.abs(a) > least) & (np.abs(b) > least) & (np.sign(a) != np.sign(b))
    rows = np.flatnonzero(crossed.any(axis=1))
    return int(rows[0]) if len(rows) else None


def questioned_exposures(name: str, exposure: Array, per_tilt: float) -> list[Doubt]:
    """What cannot be right of (n,) exposures before each tilt, e/A^2. per_tilt: by the settings, 0 if unknown."""
    where = f"{name}.xml"
    if exposure.min() < 0:
        row = int(exposure.argmin())
        doubt = Doubt(
            "exposure-negative",
            where,
            f"the exposure before tilt {row + 1} is {exposure[row]:g} e/A^2",
            "less than none is not possible",
            "high resolution would be made stronger, not weaker, in that image",
            "correct <Dose>",
            grave=True,
        )
        return [doubt]
    unweighted = "all tilts are weighted as if they were the first"
    if not exposure.any():
        doubt = Doubt(
            "exposure-unknown",
            where,
            "no exposures, or all are 0",
            assumed=unweighted,
            way_on="correct <Dose> or _wrpDose",
        )
        return [doubt]
    steps = np.diff(np.sort(exposure))
    if not steps.any() and len(exposure) > 1:
        doubt = Doubt(
            "exposure-constant",
            where,
            f"{exposure[0]:g} e/A^2 before every tilt",
            "exposure adds up from tilt to tilt",
            "it was taken as it is",
            "correct <Dose>",
        )
        return [doubt]
    step = float(np.median(steps)) if len(steps) else 0.0
    if per_tilt and abs(step / per_tilt - 1) > 10 * SIZE_TOLERANCE:
        doubt = Doubt(
            "exposure-per-tilt",
            where,
            f"exposure grows by {step:g} e/A^2 from tilt to tilt",
            f"the settings say {per_tilt:g}",
            "the XML wins, as in Warp",
        )
        return [doubt]
    return []


def compared_volume(
    name: str, xml: tuple[float, ...], stated: tuple[float, ...], where_stated: str
) -> list[Doubt]:
    """xml, stated: x, y, z in A of the tomogram; 0 where unknown."""
    if not all(xml) or not all(stated) or np.abs(np.divide(xml, stated) - 1).max() <= SIZE_TOLERANCE:
        return []
    doubt = Doubt(
        "volume-size",
        f"{name}.xml",
        f"VolumeDimensionsAngstrom is {_lengths(xml)} A",
        f"{where_stated} {_lengths(stated)} A",
        "the latter was taken, as in Warp, and particles count from its corner",
        "decide with --volume X Y Z",
    )
    return [doubt]


def compared_image(
    name: str, model: TiltSeriesModel, measured: tuple[float, float], pixel_size_A: float
) -> list[Doubt]:
    """measured: x, y in A of the images at this pixel size."""
    if np.abs(np.divide(model.image_dims_A, measured) - 1).max() <= SIZE_TOLERANCE:
        return []
    doubt = Doubt(
        "image-size",
        f"{name}.xml",
        f"images should be {_lengths(model.image_dims_A)} A",
        f"at {pixel_size_A:g} A/px they are {_lengths(measured)} A",
        "the latter holds",
        "give the right --angpix",
        grave=True,
    )
    return [doubt]


def compared_pixel(name: str, xml: float | None, pixel_size_A: float) -> list[Doubt]:
    """xml: pixel size of the averages by the options of CTF fitting."""
    if not xml or abs(xml / pixel_size_A - 1) <= SIZE_TOLERANCE:
        return []
    doubt = Doubt(
        "pixel-size",
        f"{name}.xml",
        f"its CTF was fitted in pixels of {xml:g} A",
        f"the project has {pixel_size_A:g} A/px",
        "the latter was taken, as in Warp, and defocus as it is",
        "fit the CTF again if pixel sizes were calibrated since",
    )
    return [doubt]


def _lengths(lengths: Iterable[float]) -> str:
    return " x ".join(f"{length:.0f}" for length in lengths)


def _grave(kind: str, name: str, read: str, against: str, assumed: str) -> Doubt:
    return Doubt(
        kind,
        f"{name}.xml",
        read,
        against,
        assumed,
        "images would get the angle, exposure and defocus of others: export tomostar and XML together",
        grave=True,
    )


def gathered(doubts: Iterable[Doubt]) -> list[Doubt]:
    """One doubt for all of a kind, with the words of the first: a mistake is seldom made in one series only."""
    kinds: dict[tuple[str, bool], list[Doubt]] = {}
    for doubt in doubts:
        kinds.setdefault((doubt.kind, doubt.grave), []).append(doubt)
    return [_as_one(alike) for alike in kinds.values()]


def _as_one(alike: Sequence[Doubt]) -> Doubt:
    first, places = alike[0], list(dict.fromkeys(doubt.where for doubt in alike))
    if len(places) == 1:
        return first
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return replace(first, where=f"{', '.join(places[:NAMED])}{more} (the first)" if more else ", ".join(places))
