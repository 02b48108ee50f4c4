"""Particle tables of RELION 3.1, RELION 5 (2-D stacks and tomo) and M, as one neutral table.

Position of a particle in its tomogram, A:

    RELION 3, 4      rlnCoordinateX/Y/Z * (pixel size of coordinates) - rlnOriginX/Y/ZAngst
    RELION 5         rlnCenteredCoordinateX/Y/ZAngst + volume centre - A(subtomogram) rlnOriginX/Y/ZAngst
    M                wrpCoordinateX/Y/Z, one column per trajectory sample (wrpCoordinateX1, X2, ...)

Orientation: rlnAngleRot/Tilt/Psi; where a table has rlnTomoSubtomogramRot/Tilt/Psi, the particle was refined, and
its origin shifted, in a box that had been turned by these: A = A(subtomogram) A(particle). In M's tables
wrpAngleRot/Tilt/Psi per sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.kept_columns import Columns, keep_with_optics
from mpop.formats.known_kinds import PARTICLES, table_is_not
from mpop.formats.star import Blocks, read_star, write_star
from mpop.formats.table_reader import TableReader, block_with
from mpop.geometry.euler import euler_to_matrix, matrix_to_euler

Array = NDArray[np.float64]

SERIES_SUFFIXES = (".tomostar", ".mrc", ".mrcs", ".xml", ".st", ".ali", ".rec", ".map", ".tif", ".tiff", ".star")
POSITIONS = (("Coordinate", ""), ("CenteredCoordinate", "Angst"), ("Origin", ""), ("Origin", "Angst"))
SERIES = ("rlnTomoName", "rlnMicrographName")
HALF = "rlnRandomSubset"
POSES = tuple(
    [f"rln{place}{axis}{unit}" for axis in "XYZ" for place, unit in POSITIONS]
    + [f"rln{angle}{name}" for name in ("Rot", "Tilt", "Psi") for angle in ("Angle", "TomoSubtomogram")]
)
"""Columns that mpop writes anew, in M's words."""
IMAGE_PIXEL, SERIES_PIXEL = "rlnImagePixelSize", "rlnTomoTiltSeriesPixelSize"
COORDINATE_PIXEL_COLUMNS = (
    "rlnTomogramPixelSize",
    SERIES_PIXEL,
    "rlnMicrographPixelSize",
    "rlnMicrographOriginalPixelSize",
    "rlnPixelSize",
)
WARP_FOLDERS = ("particleseries/", "subtomo/")
RELION_FOLDERS = ("Subtomograms/", "PseudoSubtomo/")
WRP_POSE = re.compile(r"wrp(Coordinate[XYZ]|Angle(Rot|Tilt|Psi))\d*")
SAME_SIZE = 1e-3
"""Pixel sizes that differ by less, relatively, are one."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read the coordinates. source: what gives their unit; unit_A (p,); position_A (p, 1, 3)."""

    source: str
    unit_A: Array
    position_A: Array

    def __str__(self) -> str:
        sizes = np.unique(self.unit_A.round(6))
        return f"{' and '.join(f'{size:g}' for size in sizes[:3])} A ({self.source})"


@dataclass(frozen=True)
class ParticleTable:
    """p particles. series (p,) bare names; position_A (p, T, 3); angles_deg (p, T, 3), T of its own.

    centred: positions count from the centre of the volume. half (p,) 1 or 2, None when the table does not say.
    row (p,) 1-based row in the file, for messages. extra: columns kept for export. doubts: about what was read.
    positions: what they are read from, in words. pixels (p, 3): coordinates that come without their unit.
    readings: the positions in every unit that the table gives for these, the likeliest first, which are those of
    the table; decided: whether the table's names and paths speak for it.
    """

    path: Path
    series: list[str]
    position_A: Array
    angles_deg: Array
    centred: bool
    half: NDArray[np.uint8] | None
    row: NDArray[np.int64]
    extra: Columns
    doubts: list[Doubt] = field(default_factory=list)
    positions: str = ""
    pixels: Array | None = None
    readings: list[Reading] = field(default_factory=list)
    decided: bool = True

    def __len__(self) -> int:
        return len(self.series)


def series_name(text: str) -> str:
    """Bare name of a series: no folders, no known extension. `a/TS_01.mrc.tomostar` is `TS_01`."""
    name = PurePosixPath(str(text).replace("\\", "/")).name
    while True:
        for suffix in SERIES_SUFFIXES:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                name = name[: -len(suffix)]
                break
        else:
            return name


def read_particles(
    path: str | Path,
    angpix_coords: float | None = None,
    angpix_shifts: float | None = None,
    blocks: Blocks | None = None,
) -> ParticleTable:
    """Read a particle table of any supported kind.

    angpix_coords: A per unit of rlnCoordinate, where the table does not say. angpix_shifts: A per unit of
    rlnOriginX/Y/Z in pixels. blocks: those of the file, if it was read. Raises InputError naming file, block,
    column or rows.
    """
    path = Path(path)
    blocks = read_star(path) if blocks is None else blocks
    name, table = _particle_block(path, blocks)
    if len(table) == 0:
        raise InputError(f"{path}: block data_{name} has no rows")
    reader = _Reader(path, name, table, blocks.get("optics"))
    if any(column.startswith("wrpCoordinateX") for column in table.columns):
        return reader.m()
    return reader.relion(angpix_coords, angpix_shifts)


def _particle_block(path: Path, blocks: Blocks) -> tuple[str, pd.DataFrame]:
    marks = ("rlnCoordinate", "rlnCentered", "wrpCoordinate")
    name = block_with(path, blocks, lambda column: column.startswith(marks))
    if name is None:
        message = f"no block with particle coordinates (found: {', '.join(blocks)})"
        raise InputError(table_is_not(path, blocks, PARTICLES, message))
    return name, blocks[name]


class _Reader(TableReader):
    """One particle block with positions in a tomogram."""

    def _series(self, candidates: Sequence[str]) -> list[str]:
        for column in candidates:
            if self.has(column):
                names = {text: series_name(text) for text in self.table[column].unique()}
                return [names[text] for text in self.table[column]]
        names = " or ".join(f"_{column}" for column in candidates)
        raise InputError(
            f"{self.path}: block data_{self.block} has no column {names}; which series is a row from?"
        )

    def _table(
        self, position: Array, angles: Array, centred: bool, half: str, positions: str, series: Sequence[str]
    ) -> ParticleTable:
        """half: column of half-sets. series: columns that may name it. What else the table has is kept."""
        used = (half, next((column for column in series if self.has(column)), ""), *POSES)
        unused = [one for one in self.table.columns if one not in used and not WRP_POSE.fullmatch(one)]
        rows = np.arange(1, len(self.table) + 1)
        return ParticleTable(
            self.path,
            self._series(series),
            position,
            angles,
            centred,
            self.half(half),
            rows,
            keep_with_optics(self, unused),
            self.doubts,
            positions,
        )

    def m(self) -> ParticleTable:
        """M's own table, with trajectories."""
        position = self._samples([f"wrpCoordinate{axis}" for axis in "XYZ"])
        angles = self._samples([f"wrpAngle{angle}" for angle in ("Rot", "Tilt", "Psi")])
        said = "wrpCoordinateX/Y/Z in A"
        return self._table(position, angles, False, "wrpRandomSubset", said, ["wrpSourceName"])

    def _samples(self, stems: Sequence[str]) -> Array:
        """(p, T, 3) of columns numbered 1 to T; one sample may go without a number."""
        if self.has(*stems):
            return self.numbers(stems)[:, None]
        count = sum(re.fullmatch(rf"{stems[0]}\d+", column) is not None for column in self.table.columns)
        samples = range(1, max(count, 1) + 1)
        return np.stack([self.numbers([f"{stem}{t}" for stem in stems]) for t in samples], axis=1)

    def relion(self, angpix_coords: float | None, angpix_shifts: float | None) -> ParticleTable:
        """RELION 3 to 5."""
        centred = self.whole([f"rlnCenteredCoordinate{a}Angst" for a in "XYZ"])
        pixels = None if centred is not None else self.numbers([f"rlnCoordinate{a}" for a in "XYZ"])
        units = [] if pixels is None else self._units(angpix_coords)
        origin = self._origin(angpix_shifts)
        angles = self.numbers(["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"])
        turned = self.whole([f"rlnTomoSubtomogram{a}" for a in ("Rot", "Tilt", "Psi")])
        if turned is not None:
            box = euler_to_matrix(turned)
            origin = (box @ origin[:, :, None])[:, :, 0]
            angles = matrix_to_euler(box @ euler_to_matrix(angles))
        if pixels is None:
            assert centred is not None
            said = "rlnCenteredCoordinateX/Y/ZAngst from the middle of the tomogram"
            return self._table((centred - origin)[:, None], angles[:, None], True, HALF, said, SERIES)
        readings = [Reading(source, unit, (pixels * unit[:, None] - origin)[:, None]) for source, unit in units]
        table = self._table(readings[0].position_A, angles[:, None], False, HALF, "", SERIES)
        return replace(table, pixels=pixels, readings=readings, decided=self._habit() is not None)

    def _habit(self) -> str | None:
        """The column that the program measures coordinates in which made the table, by names and paths in it.

        WarpTools exports particles with coordinates in pixels of their images, RELION has those of tilt images.
        """
        names = next(self.table[column] for column in SERIES if self.has(column))
        paths = self.table["rlnImageName"].iloc[0] if self.has("rlnImageName") else ""
        paths = str(paths).replace("\\", "/")
        warp = str(names.iloc[0]).endswith(".tomostar") or any(folder in paths for folder in WARP_FOLDERS)
        relion = self.has("rlnTomoSubtomogramRot") or any(folder in paths for folder in RELION_FOLDERS)
        if warp and relion:
            return None
        return IMAGE_PIXEL if warp else SERIES_PIXEL

    def _units(self, given: float | None) -> list[tuple[str, Array]]:
        """Columns and (p,) A per unit of rlnCoordinate; those that differ, the likeliest first."""
        if given is not None:
            return [("--angpix-coords", np.full(len(self.table), given))]
        sizes = [(column, self.of_optics(column)) for column in COORDINATE_PIXEL_COLUMNS]
        sizes += [("rlnDetectorPixelSize and rlnMagnification", self._detector_pixel())]
        sizes += [(IMAGE_PIXEL, self.of_optics(IMAGE_PIXEL))]
        found = [(column, size) for column, size in sizes if size is not None]
        if not found:
            raise InputError(
                f"{self.path}: the pixel size of the coordinates is not in the file; give --angpix-coords"
            )
        both = [one for one in found if one[0] in (IMAGE_PIXEL, SERIES_PIXEL)]
        if len(both) < 2 or found[0] not in both:
            return found[:1]
        both.sort(key=lambda one: one[0] != self._habit())
        same = np.allclose(both[0][1], both[1][1], rtol=SAME_SIZE)
        return both[:1] if same else both

    def _detector_pixel(self) -> Array | None:
        """(p,) pixel size as RELION 3.0 has it, A; a magnification of 0 is none."""
        sizes = self.whole(["rlnDetectorPixelSize", "rlnMagnification"]) if self.has("rlnMagnification") else None
        return None if sizes is None or not sizes.all() else sizes[:, 0] * 1e4 / sizes[:, 1]

    def _origin(self, angpix_shifts: float | None) -> Array:
        """(p, 3) shift that is still to be subtracted, A."""
        in_angstrom = self.shift([f"rlnOrigin{a}Angst" for a in "XYZ"])
        if in_angstrom is not None:
            return in_angstrom
        shift = self.shift([f"rlnOrigin{a}" for a in "XYZ"])
        if shift is None or not shift.any():
            return np.zeros((len(self.table), 3))
        size = self.of_optics(IMAGE_PIXEL)
        if size is None:
            size = self.of_optics("rlnPixelSize")
        if size is None:
            size = self._detector_pixel()
        if angpix_shifts is not None:
            size = np.full(len(self.table), angpix_shifts)
        if size is None:
            raise InputError(
                f"{self.path}: the pixel size of _rlnOriginX/Y/Z is not in the file; give --angpix-shifts"
            )
        return shift * size[:, None]


def _as_read(value: str | float | int) -> str | int:
    """A value of a column that is kept, with all digits that it was read with."""
    return repr(value) if isinstance(value, float) else value


def write_m_particles(
    path: str | Path,
    series: Sequence[str],
    position_A: Array,
    angles_deg: Array,
    half: NDArray[np.uint8],
    hashes: Sequence[str],
    extra: Mapping[str, Sequence[str | float | int]],
) -> None:
    """Write M's own particle table.

    position_A, angles_deg (p, T, 3), T may differ. hashes: M's name of each particle's series. extra: further
    columns, each (p,) long.
    """
    columns: dict[str, object] = {}
    for samples, stems in (
        (position_A, [f"wrpCoordinate{axis}" for axis in "XYZ"]),
        (angles_deg, [f"wrpAngle{angle}" for angle in ("Rot", "Tilt", "Psi")]),
    ):
        for t in range(samples.shape[1]):
            columns |= {f"{stem}{t + 1}": samples[:, t, i] for i, stem in enumerate(stems)}
    columns |= {"wrpRandomSubset": half, "wrpSourceName": list(series), "wrpSourceHash": list(hashes)}
    columns |= {name: [_as_read(value) for value in values] for name, values in extra.items()}
    write_star(Path(path), {"particles": pd.DataFrame(columns)})
