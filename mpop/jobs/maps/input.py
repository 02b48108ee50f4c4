"""The two half-maps and the mask that a map job works on: from MRC files, or from a species of a population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import InputError, StateError
from mpop.formats.images import read_map
from mpop.formats.map_headers import claims_a_stack, map_origin_A
from mpop.geometry.symmetry import copies
from mpop_hooks.schema import SPECIES

if TYPE_CHECKING:  # plain files need no population, and `mpop fsc3d` is quicker than its import
    from mpop.jobs.spec import JobSpec
    from mpop.population import Population
    from mpop.records.models import SpeciesRecord

PIXEL_SIZE_TOLERANCE = 0.01
ONE_MAP = 1 - 1e-5
"""Maps that correlate better than this, or anticorrelate, are one map times a number."""
SHIFT_VOXELS = 0.5
"""Maps whose headers place them farther apart lie in different places."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class HalfMaps:
    """Two half-maps and a mask, cubes (z, y, x) of one box; mask from 0 to 1, None when none was given.

    name: of the species, or of the first file without its suffix. species: the record that they come from.
    files: both half-maps and the mask, if there is one, as they were named; empty for those of a species. doubts:
    of their headers.
    """

    name: str
    half1: Map
    half2: Map
    mask: Map | None
    pixel_size_A: float
    species: SpeciesRecord | None = None
    files: tuple[Path, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def box(self) -> int:
        """Voxels along an edge."""
        return len(self.half1)

    @property
    def copies(self) -> int | None:
        """Of the asymmetric unit, by the symmetry of the species; None for files, which do not say it."""
        return None if self.species is None else copies(self.species.symmetry)

    @property
    def both(self) -> str:
        """The half-maps in words."""
        if self.species is not None:
            return f"half-maps of {self.species.name}"
        return " and ".join(map(str, self.files[:2])) or self.name

    @property
    def mask_name(self) -> str:
        """The mask in words."""
        return str(self.files[2]) if len(self.files) > 2 else f"mask of {self.name}"

    def mean(self) -> Map:
        """The mean of the half-maps."""
        total: Map = self.half1 + self.half2
        total *= np.float32(0.5)  # in place: of large maps each copy counts
        return total

    def required_mask(self) -> Map:
        """The mask. Raises InputError when there is none."""
        if self.mask is None:
            raise InputError(
                f"{self.name}: this needs a mask around the particle; give --mask MASK "
                "(`mpop fsc HALF1 HALF2 --out DIR` makes one, DIR/mask.mrc)"
            )
        return self.mask


def from_files(half1: Path, half2: Path, mask: Path | None = None, pixel_size_A: float | None = None) -> HalfMaps:
    """Read half-maps and, if there is one, a mask.

    pixel_size_A: in place of what the headers say. Raises InputError with the file and the reason for maps that do
    not go together: boxes, pixel sizes, a mask beyond 0 to 1, NaN, nothing but one value, twice the same map.
    """
    check_pixel_size(pixel_size_A)
    paths = [half1, half2] if mask is None else [half1, half2, mask]
    read = [read_map(path, cubic_voxels=pixel_size_A is None) for path in paths]
    for path, (volume, _) in zip(paths, read, strict=True):
        if volume.shape != read[0][0].shape:
            raise InputError(
                f"{path}: box {len(volume)}, but {half1} has {len(read[0][0])}; all maps must be alike"
            )
        if path != mask and volume.min() == volume.max():
            raise InputError(f"{path}: every voxel is {volume.flat[0]:g}; is it the right file?")
    pixel = _pixel_size(paths, [size for _, size in read]) if pixel_size_A is None else pixel_size_A
    check_independent(read[0][0], read[1][0], f"{half1} and {half2}")
    inside = None if mask is None else checked_mask(mask, read[2][0])
    doubts = header_doubts(half1, paths[1:], len(read[0][0]), float(pixel))
    if pixel_size_A is not None:
        doubts += pixel_size_doubts(paths, [size for _, size in read], pixel_size_A)
    return HalfMaps(
        half1.stem, read[0][0], read[1][0], inside, float(pixel), files=tuple(paths), doubts=tuple(doubts)
    )


def from_species(population: Population, name: str) -> HalfMaps:
    """The half-maps and the mask of a species as it stands. Raises InputError for two that are one."""
    species = population.one_species(name)
    maps = population.maps(species)
    check_independent(maps["half1"], maps["half2"], f"the half-maps of {species.name}")
    return HalfMaps(species.name, maps["half1"], maps["half2"], maps["mask"], species.pixel_size_A, species)


def of_job(population: Population, spec: JobSpec) -> HalfMaps:
    """The half-maps of the species that a job on maps reads, as HEAD has it."""
    (path,) = spec.inputs
    key = SPECIES.key(path)
    if key is None:
        raise StateError(f"a job on maps reads a species, and {path} in its record is none; update mpop?")
    return from_species(population, *key)


def header_doubts(first: Path, others: Sequence[Path], box: int, pixel_size_A: float) -> list[Doubt]:
    """Of each map that by its header is none, or lies elsewhere than the first; empty when all is well."""
    stacks = [
        Doubt(
            "stack-not-map",
            str(path),
            "its header says that this is a stack of images (ISPG 0, MZ 1)",
            way_on="is it the right file?",
        )
        for path in (first, *others)
        if claims_a_stack(path)
    ]
    return stacks + _placed_apart(first, others, box, pixel_size_A)


def pixel_size_doubts(paths: Sequence[Path], sizes: Sequence[float | None], pixel_size_A: float) -> list[Doubt]:
    """Of each map whose header gives another pixel size than --angpix; None where it gives none."""
    return [
        Doubt(
            "pixel-size",
            str(path),
            f"{size:g} A/px by its header",
            f"--angpix is {pixel_size_A:g}",
            f"{pixel_size_A:g} A/px is used, which makes all lengths {pixel_size_A / size:.3g} times those of the "
            "header",
        )
        for path, size in zip(paths, sizes, strict=True)
        if size is not None and abs(size / pixel_size_A - 1) > PIXEL_SIZE_TOLERANCE
    ]


def _placed_apart(first: Path, others: Sequence[Path], box: int, pixel_size_A: float) -> list[Doubt]:
    """Of each map that its header places elsewhere than the first.

    Maps of one box are compared voxel by voxel, wherever they lie. That one program counts from a corner and
    another from the middle of the box is no shift.
    """
    begin = np.array(map_origin_A(first, pixel_size_A))
    found = []
    for path in others:
        shift = (np.array(map_origin_A(path, pixel_size_A)) - begin) / pixel_size_A
        from_middle = np.abs(np.abs(shift) - box / 2).max() <= 1
        if np.abs(shift).max() > SHIFT_VOXELS and not from_middle:
            x, y, z = (f"{value:g}" for value in shift.round(2))
            found.append(
                Doubt(
                    "placed-apart",
                    str(path),
                    f"its header places it {x}, {y}, {z} voxels (x, y, z) from {first}",
                    assumed="this is not followed: voxels of the same index are compared",
                )
            )
    return found


def _pixel_size(paths: list[Path], sizes: list[float | None]) -> float:
    """Of the first half-map whose header holds it; all that hold one must agree."""
    pixel = sizes[0] or sizes[1]
    if pixel is None:
        raise InputError(f"{paths[0]}: the header does not give the pixel size; give --angpix")
    for path, size in zip(paths, sizes, strict=True):
        if size is not None and abs(size / pixel - 1) > PIXEL_SIZE_TOLERANCE:
            raise InputError(
                f"{path}: {size:g} A/px, but {paths[0]} has {pixel:g}; give --angpix if that is wrong"
            )
    return pixel


def check_independent(half1: Map, half2: Map, names: str) -> None:
    """Raises InputError for the same map twice, also when one is the other times a number, plus another."""
    if np.array_equal(half1, half2):
        raise InputError(f"{names} are the same map; two independent half-maps are needed")
    middle = len(half1) // 2  # a section tells as much as the map, in no time
    first, second = (half[middle].astype(float) - half[middle].mean(dtype=float) for half in (half1, half2))
    if abs(np.vdot(first, second)) > ONE_MAP * np.linalg.norm(first) * np.linalg.norm(second):
        raise InputError(f"{names} are one map, but for its scale; two independent half-maps are needed")


def check_pixel_size(pixel_size_A: float | None) -> None:
    """Raises InputError for an --angpix that is no length."""
    if pixel_size_A is not None and not 0 < pixel_size_A < np.inf:
        raise InputError(f"--angpix {pixel_size_A:g} is not a length; it must be greater than 0")


def checked_mask(path: Path, volume: Map) -> Map:
    """What was read as a mask, from 0 to 1. Raises InputError where it is none."""
    if volume.max() == volume.min() == 0:
        raise InputError(f"{path}: this mask is 0 everywhere; is it the right file?")
    if volume.min() < -1e-3 or volume.max() > 1 + 1e-3 or volume.max() <= 0:
        raise InputError(
            f"{path}: a mask must lie between 0 and 1, this one runs from {volume.min():g} to {volume.max():g}"
        )
    return np.clip(volume, 0.0, 1.0)
