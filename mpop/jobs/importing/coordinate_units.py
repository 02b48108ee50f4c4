"""In which unit the coordinates of a table are, where its columns allow several: by whether particles lie inside.

A reading that the names and paths of the table speak for is taken if its particles lie in their tomograms. Else
the only one that puts them there is; where several do, the user must say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.formats.particle_tables import ParticleTable, Reading

INSIDE = 0.95
"""Part of the particles that lies in their tomograms if the unit is right."""
MARGIN = 0.05
"""How far beyond its tomogram a particle may lie, as a fraction of the tomogram."""


@dataclass(frozen=True)
class Units:
    """position_A: (p, T, 3) of the table, in the unit that was chosen. said: which it is, in words."""

    position_A: NDArray[np.float64]
    said: str
    doubts: list[Doubt]


def outside(position_A: NDArray[np.float64], volume_A: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(p,) whether particles (p, T, 3) lie outside of their tomograms (p, 3), or one (3,), at any time."""
    return np.any(np.abs(position_A / np.atleast_2d(volume_A)[:, None] - 0.5) > 0.5 + MARGIN, axis=(1, 2))


def choose_units(table: ParticleTable, volume_A: NDArray[np.float64]) -> Units:
    """Choose among the readings of a table. volume_A (p, 3): the tomogram of each particle, NaN if it has none."""
    if not table.readings:
        return Units(table.position_A, table.positions, [])
    known = np.isfinite(volume_A).all(axis=1)
    doubts = [normalised] if (normalised := _normalised(table)) else []
    first, *others = table.readings
    if not others:
        return Units(first.position_A, _said(first), doubts)
    where = f"{table.path}: rlnCoordinateX/Y/Z"
    names = " or ".join(map(str, table.readings))
    fitting = [
        one for one in table.readings if (~outside(one.position_A[known], volume_A[known])).mean() >= INSIDE
    ]
    if not table.decided and len(fitting) > 1:
        units = " or ".join(f"{one.unit_A[0]:g}" for one in fitting)
        doubts.append(
            Doubt(
                "coordinates-unit",
                where,
                f"may be in units of {names}",
                "in all of these the particles lie in their tomograms",
                f"{first.unit_A[0]:g} A is assumed",
                f"give --angpix-coords {units}",
                grave=True,
            )
        )
    elif fitting and first not in fitting:
        doubts.append(
            Doubt(
                "coordinates-unit",
                where,
                f"should be in units of {first}",
                "then particles lie outside of their tomograms",
                f"{fitting[0]} is used, where they do not",
            )
        )
        first = fitting[0]
    return Units(first.position_A, _said(first), doubts)


def _said(reading: Reading) -> str:
    return f"rlnCoordinateX/Y/Z in units of {reading}"


def _normalised(table: ParticleTable) -> Doubt | None:
    """Coordinates that are fractions of a tomogram, as template matching of WarpTools writes them."""
    pixels = table.pixels
    if pixels is None or not pixels.any() or pixels.min() < 0 or pixels.max() > 1:
        return None
    return Doubt(
        "coordinates-normalised",
        f"{table.path}: rlnCoordinateX/Y/Z",
        "lie between 0 and 1",
        "only fractions of a tomogram do",
        "they are taken as pixels",
        "multiply them by the size of the tomogram in pixels, as `ts_export_particles --normalized_coords` does",
        grave=True,
    )
