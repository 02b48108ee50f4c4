"""From where particles are seen, in a simulation: anywhere, or mostly along the molecule's z axis."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError


class Views(Protocol):
    """The parameters of a simulation that say it.

    preferred_spread_deg: the z axes of molecules lie within this angle of the beam of an untilted image; 180:
    anywhere. others: part of the particles that are seen from anywhere all the same.
    """

    @property
    def preferred_spread_deg(self) -> float: ...

    @property
    def others(self) -> float: ...


def refuse_views(views: Views) -> None:
    """Raise InputError for numbers that cannot be."""
    if not 0 < views.preferred_spread_deg <= 180:
        raise InputError(f"preferred spread deg: {views.preferred_spread_deg}; it must be above 0 and at most 180")
    if not 0 <= views.others <= 1:
        raise InputError(f"others: {views.others}; it must be from 0 to 1")


def viewing_angles(views: Views, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, 3) rot, tilt, psi: uniform within the cone, and anywhere for the others."""
    lowest = np.full(count, math.cos(math.radians(views.preferred_spread_deg)))
    lowest[rng.random(count) < views.others] = -1.0
    tilt = np.rad2deg(np.arccos(rng.uniform(lowest, 1.0)))
    rot, psi = rng.uniform(-180, 180, (2, count))
    return np.stack([rot, tilt, psi], axis=1)
