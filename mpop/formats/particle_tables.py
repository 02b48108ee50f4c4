"""Particle tables of RELION 3.1, RELION 5 (2-D stacks and tomo) and M, as one neutral table.

Position of a particle in its tomogram, A:

    RELION 3.1       rlnCoordinateX/Y/Z * (pixel size of coordinates) - rlnOriginX/Y/ZAngst
    RELION 5         rlnCenteredCoordinateX/Y/ZAngst + volume centre - rlnOriginX/Y/ZAngst
    M                wrpCoordinateX/Y/Z, one column per trajectory sample (wrpCoordinateX1, X2, ...)

Orientation: rlnAngleRot/Tilt/Psi, in RELION 5 turned by rlnTomoSubtomogramRot/Tilt/Psi where a table has them,
A = A(subtomogram) A(particle); wrpAngleRot/Tilt/Psi per sample in M's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import starfile
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.errors import InputError
from mpop.formats.files import replacing
from mpop.formats.star import read_star

Array = NDArray[np.float64]

SERIES_SUFFIXES = (".tomostar", ".mrc", ".mrcs", ".xml", ".st", ".ali", ".rec", ".map", ".tif", ".tiff", ".star")
KEPT_EXTRAS = ("rlnClassNumber", "rlnGroupNumber", "rlnTomoParticleName", "rlnTomoParticleId", "rlnImageName")


@dataclass(frozen=True)
class ParticleTable:
    """p particles. series (p,) bare names; position_A (p, T, 3); angles_deg (p, T, 3).

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
        plain = self._has("wrpCoordinateX")
        count = 1 if plain else sum(c.startswith("wrpCoordinateX") for c in self.table.columns)
        tags = [""] if plain else [str(i + 1) for i in range(count)]
        position = np.stack([self._numbers([f"wrpCoordinate{a}{t}" for a in "XYZ"]) for t in tags], axis=1)
        angles = np.stack(
            [self._numbers([f"wrpAngle{a}{t}" for a in ("Rot", "Tilt", "Psi")]) for t in tags], axis=1
        )
        return self._table(self._series(["wrpSourceName"]), position, angles, False, "wrpRandomSubset")

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
        position = position - self._origin(optics, angpix_shifts)
        angles = self._numbers(["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"])
        sub = [f"rlnTomoSubtomogram{a}" for a in ("Rot", "Tilt", "Psi")]
        if self._has(*sub):
            angles = _compose(angles, self._numbers(sub))
        series = self._series(["rlnTomoName", "rlnMicrographName"])
        return self._table(series, position[:, None], angles[:, None], is_centred, "rlnRandomSubset")

    def _coordinate_pixel(self, optics: pd.DataFrame | None, given: float | None) -> Array:
        """(p,) A per unit of rlnCoordinate."""
        if given is not None:
            return np.full(len(self.table), given)
        if self._has("rlnTomogramPixelSize"):
            return self._numbers(["rlnTomogramPixelSize"])[:, 0]
        for column in ("rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"):
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


def _compose(particle: Array, subtomogram: Array) -> Array:
    """Angles of A(subtomogram) A(particle). scipy's ZYZ matrix is the transpose of RELION's A."""
    inner = Rotation.from_euler("ZYZ", particle, degrees=True)
    outer = Rotation.from_euler("ZYZ", subtomogram, degrees=True)
    return (inner * outer).as_euler("ZYZ", degrees=True)


def write_m_particles(
    path: str | Path,
    series: Sequence[str],
    position_A: Array,
    angles_deg: Array,
    half: NDArray[np.uint8],
    hashes: Sequence[str],
) -> None:
    """Write M's own particle table. position_A, angles_deg (p, T, 3); hashes: of each particle's series."""
    samples = position_A.shape[1]
    tags = [""] if samples == 1 else [str(i + 1) for i in range(samples)]
    columns: dict[str, object] = {}
    for axis, letter in enumerate("XYZ"):
        for t, tag in enumerate(tags):
            columns[f"wrpCoordinate{letter}{tag}"] = position_A[:, t, axis]
    for axis, word in enumerate(("Rot", "Tilt", "Psi")):
        for t, tag in enumerate(tags):
            columns[f"wrpAngle{word}{tag}"] = angles_deg[:, t, axis]
    columns |= {"wrpRandomSubset": half, "wrpSourceName": list(series), "wrpSourceHash": list(hashes)}
    path = Path(path)
    with replacing(path) as temporary:
        starfile.write({"particles": pd.DataFrame(columns)}, temporary, float_format="%.6f", overwrite=True)
