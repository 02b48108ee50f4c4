"""Whether tomostar, XML, settings and images of a Warp project say the same where they speak of the same thing.

Warp reads a tomostar once, when there is no XML yet; from then on the XML alone says which movie, angle, exposure
and axis a tilt has. Sizes and pixel size it takes from its settings and the images at each start. What it lets win
wins here too. What would give images the angle, exposure and defocus of others is grave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.formats.tomostar import Tomostar
from mpop.importing.series_checks import SIZE_TOLERANCE, in_words

Array = NDArray[np.float64]

ORDER_DEG = 0.5
"""Tilts that are closer than this may come in either order."""
REFINED_BY_DEG = 5.0
"""More than any alignment changes an angle beside what is common to all of them."""
AXIS_REFINED_BY_DEG = 15.0
"""More than the tilt axis of a microscope is usually mistaken by."""


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


def compared_steps(name: str, exposure: Array, per_tilt: float) -> list[Doubt]:
    """exposure: (n,) e/A^2 before each tilt. per_tilt: by the settings, 0 if unknown."""
    steps = np.diff(np.sort(exposure))
    step = float(np.median(steps)) if steps.any() else 0.0
    if not step or not per_tilt or abs(step / per_tilt - 1) <= 10 * SIZE_TOLERANCE:
        return []
    doubt = Doubt(
        "exposure-per-tilt",
        f"{name}.xml",
        f"exposure grows by {step:g} e/A^2 from tilt to tilt",
        f"the settings say {per_tilt:g}",
        "the XML wins, as in Warp",
    )
    return [doubt]


def compared_volume(
    name: str, xml: tuple[float, ...], stated: tuple[float, ...], where_stated: str
) -> list[Doubt]:
    """xml, stated: x, y, z in A of the tomogram; 0 where unknown."""
    if not all(xml) or not all(stated) or np.abs(np.divide(xml, stated) - 1).max() <= SIZE_TOLERANCE:
        return []
    doubt = Doubt(
        "volume-size",
        f"{name}.xml",
        f"VolumeDimensionsAngstrom is {in_words(xml)} A",
        f"{where_stated} {in_words(stated)} A",
        "the latter was taken, as in Warp, and particles count from its corner",
        "decide with --volume X Y Z",
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
