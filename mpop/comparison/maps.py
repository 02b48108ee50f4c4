"""How far apart two maps are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.maps.fsc import fsc


@dataclass(frozen=True)
class MapDifference:
    """Differences in the units of the maps; relative: rms over the RMS of the first map.

    lowest_fsc: of the shells up to the resolution asked for (all shells when there is none).
    """

    largest: float
    rms: float
    relative: float
    lowest_fsc: float


def compare_maps(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    pixel_size_A: float,
    resolution_A: float | None = None,
) -> MapDifference:
    """Compare two maps (z, y, x) of one box. Raises InputError when the boxes differ."""
    if before.shape != after.shape:
        raise InputError(f"maps of {before.shape} and {after.shape} voxels cannot be compared")
    difference = after.astype(np.float64) - before
    rms, scale = (float(np.sqrt(np.mean(np.square(one, dtype=np.float64)))) for one in (difference, before))
    curve = fsc(before, after, pixel_size_A)
    limit = np.inf if resolution_A is None else 1 / resolution_A
    shells = curve.correlation[1:][curve.frequency[1:] <= limit]
    return MapDifference(
        float(np.abs(difference).max()),
        rms,
        rms / scale if scale else (0.0 if rms == 0 else np.inf),
        float(shells.min()) if len(shells) else 1.0,
    )
