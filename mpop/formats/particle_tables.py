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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.errors import InputError
from mpop.formats.star import read_star, write_star

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
    row (p,) 1-based row in the file, for messages. extra: columns kept for export.
    """

    path: Path
    series: list[str]
    position_A: Array
    angles_deg: Array
    centred: bool
    half: NDArray[np.uint8] | None
    row: NDArray[np.int64]
    extra: dict[str, list[str | float | int]]

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
    reader = _Reader(path, name, table)
    if any(column.startswith("wrpCoordinateX") for column in table.columns):
        return reader.m()
    return reader.relion(blocks.get("optics"), angpix_coords, angpix_shifts)


def _particle_block(path: Path, blocks: dict[str, pd.DataFrame]) -> tuple[str, pd.DataFrame]:
    if "particles" in blocks:
        return "particles", blocks["particles"]
    for name, table in blocks.items():
        if any(c.startswith(("rlnCoordinate", "rlnCentered", "wrpCoordinate")) for c in table.columns):
            return name, table
    raise InputError(f"{path}: no block with particle coordinates (found: {', '.join(blocks)})")


class _Reader:
    """One particle block; every error names file, block and column."""

    def __init__(self, path: Path, block: str, table: pd.DataFrame) -> None:
        self.path, self.block, self.table = path, block, table

    def _numbers(self, columns: Sequence[str]) -> Array:
        """(p, c) finite numbers of some columns."""
        missing = [column for column in columns if column not in self.table.columns]
        if missing:
            names = ", ".join(f"_{column}" for column in missing)
            raise InputError(f"{self.path}: block data_{self.block} has no column {names}")
        read = [np.asarray(pd.to_numeric(self.table[c], errors="coerce"), dtype=np.float64) for c in columns]
        numbers = np.stack(read, axis=1)
        bad = np.argwhere(~np.isfinite(numbers))
        if len(bad):
            rows = ", ".join(str(r + 1) for r in np.unique(bad[:, 0])[:5])
            column = columns[int(bad[0, 1])]
            raise InputError(f"{self.path}: _{column} is not a number in rows {rows}")
        return numbers

    def _has(self, *columns: str) -> bool:
        return all(column in self.table.columns for column in columns)

    def _series(self, candidates: Sequence[str]) -> list[str]:
        for column in candidates:
            if self._has(column):
                return [series_name(text) for text in self.table[column]]
        names = " or ".join(f"_{column}" for column in candidates)
        raise InputError(
            f"{self.path}: block data_{self.block} has no column {names}; which series is a row from?"
        )

    def _half(self, column: str) -> NDArray[np.uint8] | None:
        if not self._has(column):
            return None
        half = self._numbers([column])[:, 0]
        wrong = np.flatnonzero(~np.isin(half, (1, 2)))
        if len(wrong):
            raise InputError(
                f"{self.path}: _{column} is {half[wrong[0]]:g} in row {wrong[0] + 1}, expected 1 or 2"
            )
        return half.astype(np.uint8)

    def _table(self, series: list[str], position: Array, angles: Array, centred: bool, half: str) -> ParticleTable:
        extra = {c: self.table[c].tolist() for c in KEPT_EXTRAS if self._has(c)}
        rows = np.arange(1, len(self.table) + 1)
        return ParticleTable(self.path, series, position, angles, centred, self._half(half), rows, extra)

    def m(self) -> ParticleTable:
        """M's own table, with trajectories."""
        position = self._samples([f"wrpCoordinate{axis}" for axis in "XYZ"])
        angles = self._samples([f"wrpAngle{angle}" for angle in ("Rot", "Tilt", "Psi")])
        return self._table(self._series(["wrpSourceName"]), position, angles, False, "wrpRandomSubset")

    def _samples(self, stems: Sequence[str]) -> Array:
        """(p, T, 3) of columns numbered 1 to T; one sample may go without a number."""
        if self._has(*stems):
            return self._numbers(stems)[:, None]
        count = sum(re.fullmatch(rf"{stems[0]}\d+", column) is not None for column in self.table.columns)
        samples = range(1, max(count, 1) + 1)
        return np.stack([self._numbers([f"{stem}{t}" for stem in stems]) for t in samples], axis=1)

    def relion(
        self, optics: pd.DataFrame | None, angpix_coords: float | None, angpix_shifts: float | None
    ) -> ParticleTable:
        """RELION 3.1 and 5."""
        centred = [f"rlnCenteredCoordinate{a}Angst" for a in "XYZ"]
        is_centred = self._has(*centred)
        if is_centred:
            position = self._numbers(centred)
        else:
            pixels = self._numbers([f"rlnCoordinate{a}" for a in "XYZ"])
            position = pixels * self._coordinate_pixel(optics, angpix_coords)[:, None]
        origin = self._origin(optics, angpix_shifts)
        angles = self._numbers(["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"])
        sub = [f"rlnTomoSubtomogram{a}" for a in ("Rot", "Tilt", "Psi")]
        if self._has(*sub):
            box = _relion_rotation(self._numbers(sub))
            origin = box.apply(origin)
            angles = _relion_angles(box * _relion_rotation(angles))
        position = position - origin
        series = self._series(["rlnTomoName", "rlnMicrographName"])
        return self._table(series, position[:, None], angles[:, None], is_centred, "rlnRandomSubset")

    def _coordinate_pixel(self, optics: pd.DataFrame | None, given: float | None) -> Array:
        """(p,) A per unit of rlnCoordinate."""
        if given is not None:
            return np.full(len(self.table), given)
        for column in COORDINATE_PIXEL_COLUMNS:
            found = self._of_optics(optics, column)
            if found is not None:
                return found
        if self._has("rlnDetectorPixelSize", "rlnMagnification"):
            size, magnification = self._numbers(["rlnDetectorPixelSize", "rlnMagnification"]).T
            return size * 1e4 / magnification
        found = self._of_optics(optics, "rlnImagePixelSize")
        if found is not None:
            return found
        raise InputError(
            f"{self.path}: the pixel size of the coordinates is not in the file; give --angpix-coords"
        )

    def _of_optics(self, optics: pd.DataFrame | None, column: str) -> Array | None:
        """(p,) value of a column of the optics group of every particle."""
        if self._has(column):
            return self._numbers([column])[:, 0]
        if optics is None or column not in optics.columns:
            return None
        values = np.asarray(pd.to_numeric(optics[column], errors="coerce"), dtype=np.float64)
        if len(values) == 1:
            return np.full(len(self.table), values[0])
        groups = {int(g): v for g, v in zip(optics["rlnOpticsGroup"], values, strict=True)}
        wanted = self._numbers(["rlnOpticsGroup"])[:, 0].astype(int)
        unknown = sorted(set(wanted) - set(groups))
        if unknown:
            raise InputError(f"{self.path}: optics group {unknown[0]} is used but not in data_optics")
        return np.array([groups[g] for g in wanted])

    def _origin(self, optics: pd.DataFrame | None, angpix_shifts: float | None) -> Array:
        """(p, 3) shift that is still to be subtracted, A."""
        angst = [f"rlnOrigin{a}Angst" for a in "XYZ"]
        pixels = [f"rlnOrigin{a}" for a in "XYZ"]
        if self._has(*angst):
            return self._numbers(angst)
        if not self._has(*pixels):
            return np.zeros((len(self.table), 3))
        shift = self._numbers(pixels)
        if not shift.any():
            return shift
        size = self._of_optics(optics, "rlnImagePixelSize")
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
