"""Particle tables of RELION 3.1, RELION 5 (2-D stacks and tomo) and M, as one neutral table.

Position of a particle in its tomogram, A:

    RELION 3.1       rlnCoordinateX/Y/Z * (pixel size of coordinates) - rlnOriginX/Y/ZAngst
    RELION 5         rlnCenteredCoordinateX/Y/ZAngst + volume centre - A(subtomogram) rlnOriginX/Y/ZAngst
    M                wrpCoordinateX/Y/Z, one column per trajectory sample (wrpCoordinateX1, X2, ...)

Orientation: rlnAngleRot/Tilt/Psi; where a table has rlnTomoSubtomogramRot/Tilt/Psi, the particle was refined, and
its origin shifted, in a box that had been turned by these: A = A(subtomogram) A(particle). In M's tables
wrpAngleRot/Tilt/Psi per sample.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.star import Blocks, read_star, write_star
from mpop.formats.table_reader import TableReader, block_with

Array = NDArray[np.float64]

SERIES_SUFFIXES = (".tomostar", ".mrc", ".mrcs", ".xml", ".st", ".ali", ".rec", ".map", ".tif", ".tiff", ".star")
KEPT_EXTRAS = (
    "rlnClassNumber",
    "rlnGroupNumber",
    "rlnTomoParticleName",
    "rlnTomoParticleId",
    "rlnImageName",
    "wrpSourceHash",
)

COORDINATE_PIXEL_COLUMNS = (
    "rlnTomogramPixelSize",
    "rlnTomoTiltSeriesPixelSize",
    "rlnMicrographPixelSize",
    "rlnMicrographOriginalPixelSize",
)


@dataclass(frozen=True)
class ParticleTable:
    """p particles. series (p,) bare names; position_A (p, T, 3); angles_deg (p, T, 3), T of its own.

    centred: positions count from the centre of the volume. half (p,) 1 or 2, None when the table does not say.
    row (p,) 1-based row in the file, for messages. extra: columns kept for export. doubts: about what was read.
    """

    path: Path
    series: list[str]
    position_A: Array
    angles_deg: Array
    centred: bool
    half: NDArray[np.uint8] | None
    row: NDArray[np.int64]
    extra: dict[str, list[str | float | int]]
    doubts: list[Doubt] = field(default_factory=list)

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
    path: str | Path, angpix_coords: float | None = None, angpix_shifts: float | None = None
) -> ParticleTable:
    """Read a particle table of any supported kind.

    angpix_coords: A per unit of rlnCoordinate, where the table does not say. angpix_shifts: A per unit of
    rlnOriginX/Y/Z in pixels. Raises InputError naming file, block, column or rows.
    """
    path = Path(path)
    blocks = read_star(path)
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
        raise InputError(f"{path}: no block with particle coordinates (found: {', '.join(blocks)})")
    return name, blocks[name]


class _Reader(TableReader):
    """One particle block with positions in a tomogram."""

    def _series(self, candidates: Sequence[str]) -> list[str]:
        for column in candidates:
            if self.has(column):
                return [series_name(text) for text in self.table[column]]
        names = " or ".join(f"_{column}" for column in candidates)
        raise InputError(
            f"{self.path}: block data_{self.block} has no column {names}; which series is a row from?"
        )

    def _table(self, series: list[str], position: Array, angles: Array, centred: bool, half: str) -> ParticleTable:
        extra = self.kept(KEPT_EXTRAS)
        rows = np.arange(1, len(self.table) + 1)
        return ParticleTable(
            self.path, series, position, angles, centred, self.half(half), rows, extra, self.doubts
        )

    def m(self) -> ParticleTable:
        """M's own table, with trajectories."""
        position = self._samples([f"wrpCoordinate{axis}" for axis in "XYZ"])
        angles = self._samples([f"wrpAngle{angle}" for angle in ("Rot", "Tilt", "Psi")])
        return self._table(self._series(["wrpSourceName"]), position, angles, False, "wrpRandomSubset")

    def _samples(self, stems: Sequence[str]) -> Array:
        """(p, T, 3) of columns numbered 1 to T; one sample may go without a number."""
        if self.has(*stems):
            return self.numbers(stems)[:, None]
        count = sum(re.fullmatch(rf"{stems[0]}\d+", column) is not None for column in self.table.columns)
        samples = range(1, max(count, 1) + 1)
        return np.stack([self.numbers([f"{stem}{t}" for stem in stems]) for t in samples], axis=1)

    def relion(self, angpix_coords: float | None, angpix_shifts: float | None) -> ParticleTable:
        """RELION 3.1 and 5."""
        position = self.whole([f"rlnCenteredCoordinate{a}Angst" for a in "XYZ"])
        is_centred = position is not None
        if position is None:
            pixels = self.numbers([f"rlnCoordinate{a}" for a in "XYZ"])
            position = pixels * self._coordinate_pixel(angpix_coords)[:, None]
        origin = self._origin(angpix_shifts)
        angles = self.numbers(["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"])
        turned = self.whole([f"rlnTomoSubtomogram{a}" for a in ("Rot", "Tilt", "Psi")])
        if turned is not None:
            box = _relion_rotation(turned)
            origin = box.apply(origin)
            angles = _relion_angles(box * _relion_rotation(angles))
        position = position - origin
        series = self._series(["rlnTomoName", "rlnMicrographName"])
        return self._table(series, position[:, None], angles[:, None], is_centred, "rlnRandomSubset")

    def _coordinate_pixel(self, given: float | None) -> Array:
        """(p,) A per unit of rlnCoordinate."""
        if given is not None:
            return np.full(len(self.table), given)
        for column in COORDINATE_PIXEL_COLUMNS:
            found = self.of_optics(column)
            if found is not None:
                return found
        if self.has("rlnDetectorPixelSize", "rlnMagnification"):
            size, magnification = self.numbers(["rlnDetectorPixelSize", "rlnMagnification"]).T
            return size * 1e4 / magnification
        found = self.of_optics("rlnImagePixelSize")
        if found is not None:
            return found
        raise InputError(
            f"{self.path}: the pixel size of the coordinates is not in the file; give --angpix-coords"
        )

    def _origin(self, angpix_shifts: float | None) -> Array:
        """(p, 3) shift that is still to be subtracted, A."""
        in_angstrom = self.shift([f"rlnOrigin{a}Angst" for a in "XYZ"])
        if in_angstrom is not None:
            return in_angstrom
        shift = self.shift([f"rlnOrigin{a}" for a in "XYZ"])
        if shift is None or not shift.any():
            return np.zeros((len(self.table), 3))
        size = self.of_optics("rlnImagePixelSize")
        if angpix_shifts is not None:
            size = np.full(len(self.table), angpix_shifts)
        if size is None:
            raise InputError(
                f"{self.path}: the pixel size of _rlnOriginX/Y/Z is not in the file; give --angpix-shifts"
            )
        return shift * size[:, None]


def _relion_rotation(angles_deg: Array) -> Rotation:
    """RELION's matrices A of (p, 3) angles; scipy's intrinsic ZYZ matrix is the transpose of A."""
    return Rotation.from_euler("ZYZ", angles_deg, degrees=True).inv()


def _relion_angles(rotation: Rotation) -> Array:
    """(p, 3) rot, tilt, psi of RELION's matrices A."""
    with warnings.catch_warnings():
        # at tilt 0 and 180 only rot + psi matters, and scipy says that it chose psi = 0
        warnings.filterwarnings("ignore", message="Gimbal lock")
        return rotation.inv().as_euler("ZYZ", degrees=True)


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
    columns |= {name: list(values) for name, values in extra.items()}
    write_star(Path(path), {"particles": pd.DataFrame(columns)})
