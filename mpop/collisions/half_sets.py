"""Particles in both half-sets: both half-maps hold the noise of their images then, and every FSC is too high.

Two particles of one species nearer than a fifth of its radius are one: no two can be so close. Each half-set must
hold particles, too: a half-map of none is empty.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mpop.collisions.bodies import SAME_PLACE
from mpop.doubts import Doubt
from mpop.errors import InputError

MAX_REACH_A = 20.0
"""Of the way between two particles that are one: neighbours in tubes and lattices are farther apart."""
GRAVE_PART = 0.01
"""Of the particles: so many in both half-sets make an FSC wrong that people would believe."""

Placed = tuple[NDArray[np.uint8], NDArray[np.float64]]
"""half (p,) 1 or 2, and position_A (p, T, 3), of the particles in one tomogram."""


def half_sets_doubt(where: str, tomograms: Iterable[Placed], diameter_A: float) -> Doubt | None:
    """What is doubtful about the half-sets of a species; grave if many of its particles are in both."""
    reach = min(SAME_PLACE * diameter_A / 2, MAX_REACH_A)
    shared, total = 0, 0
    for half, position in tomograms:
        shared += int(in_both(half, position.mean(axis=1), reach).sum())
        total += len(half)
    if not shared:
        return None
    return Doubt(
        "half-sets-overlap",
        where,
        f"{shared} of {total} particles are nearer than {reach:.3g} A to one in the other half-set",
        "half-sets must have no image in common",
        "FSC and resolution come out too high",
        "take duplicates out, or put both into one half-set",
        grave=shared > GRAVE_PART * total,
    )


def in_both(half: NDArray[np.uint8], position_A: NDArray[np.float64], reach_A: float) -> NDArray[np.bool_]:
    """(p,) whether a particle (p, 3) is so near to one in the other half-set."""
    near = np.zeros(len(half), dtype=bool)
    known = np.isfinite(position_A).all(axis=1)
    parts = [np.flatnonzero((half == which) & known) for which in (1, 2)]
    if all(map(len, parts)):
        for rows, others in (parts, parts[::-1]):
            distance, _ = KDTree(position_A[others]).query(position_A[rows], distance_upper_bound=reach_A)
            near[rows] = np.isfinite(distance)
    return near


def refuse_empty_half(where: str, halves: Iterable[NDArray[np.uint8]]) -> None:
    """Raise InputError when all particles are in one half-set. halves: of the particles of each item."""
    present = {int(which) for half in halves for which in np.unique(half)}
    if len(present) == 1:
        (which,) = present
        raise InputError(
            f"{where}: all particles are in half-set {which}, and the half-map of the other would be empty; "
            "take the column of half-sets out of the table to have them assigned"
        )
