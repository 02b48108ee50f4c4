"""Central slices of a map: what a page shows of it, without the map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHOWN_PART = 0.6
"""Of the box that slices show: species boxes are twice the particle."""


@dataclass(frozen=True)
class Slices:
    """planes (3, n, n): across z, y and x, of the part around the centre that pages show. black, white: densities
    between which they are drawn, by all voxels of that part."""

    planes: NDArray[np.floating]
    black: float
    white: float

    @classmethod
    def of(cls, volume: NDArray[np.floating]) -> Slices:
        """Those of a cube (z, y, x)."""
        middle = len(volume) // 2
        reach = max(int(len(volume) * SHOWN_PART / 2), 1)
        part = slice(middle - reach, middle + reach)
        planes = np.stack([np.take(volume, middle, axis=depth)[part, part] for depth in range(3)])
        return cls(planes, *grey_range(volume[part, part, part]))

    @classmethod
    def named(cls, arrays: Mapping[str, NDArray[Any]], name: str) -> Slices:
        """Those that `slices_of` stored under a name."""
        black, white = arrays[f"grey_{name}"].tolist()
        return cls(arrays[f"slices_{name}"], black, white)


def slices_of(volumes: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
    """Arrays slices_NAME (3, n, n) and grey_NAME (2,), black and white, for each volume."""
    found: dict[str, NDArray[np.floating]] = {}
    for name, volume in volumes.items():
        slices = Slices.of(volume)
        found[f"slices_{name}"] = slices.planes
        found[f"grey_{name}"] = np.array([slices.black, slices.white])
    return found


def grey_range(volume: NDArray[np.floating]) -> tuple[float, float]:
    """Black and white, never the same."""
    low, high = np.percentile(volume, [0.5, 99.9])
    return float(low), float(max(high, low + np.finfo(np.float32).tiny))
