"""`mpop fsc --model` and `--map`: how far a map agrees with an atomic model, or with another map.

A map with noise against a model or map without: the FSC is the square root of what two half-maps would have, so
that 0.5 takes the place of 0.143 (Rosenthal & Henderson 2003).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, reported
from mpop.errors import InputError
from mpop.formats.atomic_models import read_model
from mpop.formats.fsc_files import write_fsc_xml
from mpop.formats.images import read_map
from mpop.formats.map_headers import map_origin_A
from mpop.jobs.maps.analysis import Analysis
from mpop.jobs.maps.finding import Finding, Numbers, reference_of
from mpop.jobs.maps.input import (
    PIXEL_SIZE_TOLERANCE,
    HalfMaps,
    Map,
    check_pixel_size,
    checked_mask,
    header_doubts,
    pixel_size_doubts,
)
from mpop.jobs.maps.parameters import ComparisonParameters
from mpop.jobs.recording import in_angstrom
from mpop.maps.conventions import HALF
from mpop.maps.fsc import FSCCurve, fsc, masked_fsc
from mpop.maps.model_density import model_density, model_mask, part_inside
from mpop.maps.volume_checks import COARSE_PART, of_opposite_contrast, of_opposite_hand
from mpop.population import Population
from mpop.run import Run, limited
from mpop_hooks.fsc_end import THRESHOLD
from mpop_store.hashing import hash_file

POOR_A = 25.0
HALF_INSIDE, ALMOST_ALL = 0.5, 0.99
"""Parts of a model's atoms that must, and should, be inside the map."""

Against = Literal["model", "map"]


@dataclass(frozen=True)
class OneMap:
    """A map (z, y, x) to compare. origin_A: x, y, z of its first voxel. mask: None for none.

    by_header: its pixel size is what its header says, and other headers must agree. file: that its header is in.
    doubts: of headers. copies: of the asymmetric unit, where known.
    """

    name: str
    volume: Map
    pixel_size_A: float
    origin_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mask: Map | None = None
    by_header: bool = True
    file: Path | None = None
    doubts: tuple[Doubt, ...] = ()
    copies: int | None = None

    @classmethod
    def of_halves(cls, maps: HalfMaps, half1: Path | None = None, by_header: bool = True) -> OneMap:
        """The mean of two half-maps. half1: the file of the first, whose header says where they lie."""
        origin = (0.0, 0.0, 0.0) if half1 is None else map_origin_A(half1, maps.pixel_size_A)
        mean, doubts, copies = maps.mean(), maps.doubts, maps.copies
        return cls(maps.name, mean, maps.pixel_size_A, origin, maps.mask, by_header, half1, doubts, copies)

    @classmethod
    def read(cls, path: Path, mask: Path | None = None, pixel_size_A: float | None = None) -> OneMap:
        """From an MRC file. Raises InputError for maps that do not go together."""
        check_pixel_size(pixel_size_A)
        volume, header = read_map(path, cubic_voxels=pixel_size_A is None)
        pixel = pixel_size_A or header
        if pixel is None:
            raise InputError(f"{path}: the header does not give the pixel size; give --angpix")
        if volume.min() == volume.max():
            raise InputError(f"{path}: every voxel is {volume.flat[0]:g}; is it the right file?")
        doubts = header_doubts(path, [] if mask is None else [mask], len(volume), pixel)
        if pixel_size_A is not None:
            doubts += pixel_size_doubts([path], [header], pixel_size_A)
        origin = map_origin_A(path, pixel)
        one = cls(path.stem, volume, pixel, origin, None, pixel_size_A is None, path, tuple(doubts))
        return one if mask is None else replace(one, mask=checked_mask(mask, _alike(mask, one)))


@dataclass(frozen=True)
class MapFSC:
    """FSC of a map with a model or another map. masked: None when there was no mask."""

    map: OneMap
    against: Against
    other: Path
    mask_from: Literal["given", "model", "none"]
    unmasked: FSCCurve
    masked: FSCCurve | None
    doubts: list[Doubt]

    @property
    def curve(self) -> FSCCurve:
        """The masked one if there is one."""
        return self.unmasked if self.masked is None else self.masked


def against_model(one: OneMap, path: Path) -> MapFSC:
    """FSC with the density of an atomic model, which must lie in the map as the map's header says.

    Without a mask of its own the map is masked around the model. Raises InputError when the model is elsewhere.
    """
    model = read_model(path)
    place = (len(one.volume), one.pixel_size_A, one.origin_A)
    inside = part_inside(model, *place)
    if inside < HALF_INSIDE:
        begin = ", ".join(f"{value:g}" for value in one.origin_A)
        extent = len(one.volume) * one.pixel_size_A
        raise InputError(
            f"{path}: only {100 * inside:.0f} % of its atoms are inside the map, a cube of {extent:.1f} A from "
            f"{begin} A on; fit the model into the map first"
        )
    mask = model_mask(model, *place) if one.mask is None else one.mask
    result = _compare(one, "model", path, model_density(model, *place), mask)
    if inside < ALMOST_ALL:
        read = f"{100 * (1 - inside):.0f} % of the model's atoms are outside of the map"
        result.doubts.append(Doubt("model-outside", str(path), read))
    return result


def against_map(one: OneMap, path: Path) -> MapFSC:
    """FSC with another map of the same box and pixel size."""
    other = _alike(path, one)
    result = _compare(one, "map", path, other, one.mask)
    if np.array_equal(other, one.volume):
        result.doubts.append(Doubt("same-map", str(path), f"it is the same map as {one.name}"))
    elif one.file is not None:
        result.doubts.extend(
            doubt
            for doubt in header_doubts(one.file, [path], len(one.volume), one.pixel_size_A)
            if doubt not in result.doubts
        )
    return result


def _alike(path: Path, one: OneMap) -> Map:
    """A map that has the box and the pixel size of another."""
    other, pixel = read_map(path, cubic_voxels=one.by_header)
    if other.shape != one.volume.shape:
        raise InputError(f"{path}: box {len(other)}, but {one.name} has {len(one.volume)}; both must be alike")
    if one.by_header and pixel is not None and abs(pixel / one.pixel_size_A - 1) > PIXEL_SIZE_TOLERANCE:
        raise InputError(
            f"{path}: {pixel:g} A/px, but {one.name} has {one.pixel_size_A:g}; give --angpix if that is wrong"
        )
    return other


def _compare(one: OneMap, against: Against, path: Path, other: Map, mask: Map | None) -> MapFSC:
    volumes = (one.volume, other)
    unmasked = replace(fsc(*volumes, one.pixel_size_A), copies=one.copies)
    masked = None if mask is None else masked_fsc(*volumes, mask, one.pixel_size_A, one.copies)
    mask_from = "none" if mask is None else "given" if one.mask is not None else "model"
    result = MapFSC(one, against, path, mask_from, unmasked, masked, list(one.doubts))
    reached = result.curve.crossing(HALF) or 0.0
    if reached > COARSE_PART * result.curve.frequency[-1]:
        return result
    if of_opposite_contrast(unmasked.correlation):
        read = f"the map is the negative of the {against}: density must be white"
        result.doubts.append(Doubt("opposite-contrast", one.name, read, way_on="multiply by -1", grave=True))
    elif of_opposite_hand(one.volume, other):
        read = f"the map agrees much better with the mirror image of the {against}"
        result.doubts.append(Doubt("opposite-hand", one.name, read, way_on="is its hand wrong?", grave=True))
    elif reached < 1 / POOR_A:
        read = f"the map hardly agrees with the {against}"
        result.doubts.append(Doubt("no-agreement", one.name, read, way_on="are they in the same place?"))
    return result


def finding(result: MapFSC) -> Finding:
    """Numbers, where resolutions are None where there are none, and `curves`."""
    return Finding(numbers(result), curves(result))


def numbers(result: MapFSC) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "name": result.map.name,
        "against": {result.against: str(result.other)},
        "box": len(result.map.volume),
        "pixel_size_A": result.map.pixel_size_A,
        "mask": {"from": result.mask_from},
        "resolution_at_half_A": result.curve.resolution(HALF),
        "resolution_A": result.curve.resolution(THRESHOLD),
        "resolution_at_half_unmasked_A": result.unmasked.resolution(HALF),
        **reported(result.doubts),
    }


def curves(result: MapFSC) -> dict[str, NDArray[np.float64]]:
    """frequency (1/A) and FSC of shells 0 to Nyquist."""
    found = {"frequency": result.unmasked.frequency, "unmasked": result.unmasked.correlation}
    return found if result.masked is None else {**found, "masked": result.masked.correlation}


def write_files(found: Finding, directory: Path) -> list[Path]:
    """fsc.xml, of the masked curve if there is one."""
    path = directory / "fsc.xml"
    title = f"{found.numbers['name']} against {reference_of(found.numbers)[1]}"
    curve = found.arrays.get("masked", found.arrays["unmasked"])
    write_fsc_xml(path, found.arrays["frequency"], curve, title)
    return [path]


def compared(one: OneMap, against: Against, path: Path) -> Finding:
    """A map against a model or another map."""
    return finding(against_model(one, path) if against == "model" else against_map(one, path))


@limited
def compared_of_species(
    population: Population, maps: HalfMaps, against: Against, path: Path, run: Run = Run()
) -> tuple[Finding, str | None]:
    """Compare a species and commit that; the commit, None when HEAD holds this very job already."""
    assert maps.species is not None
    what = ComparisonParameters(against=against, other=hash_file(path))
    analysis = Analysis.of(population, maps.species, "fsc", what, run=run.on_cpu)
    return analysis.finding(lambda: compared(OneMap.of_halves(maps), against, path), _summary, ("unmasked",))


def _summary(numbers: Numbers) -> str:
    reached = in_angstrom(numbers["resolution_at_half_A"])
    return f"agrees with {reference_of(numbers)[1]} to {reached} (FSC = 0.5)"
