"""How local resolution is coloured, in ChimeraX and in reports alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHIMERAX_FILE = "locres.cxc"
COLOURS = ("#2c7bb6", "#abd9e9", "#ffffbf", "#fdae61", "#d7191c")
"""From well to badly resolved, blue to red as the field colours maps: ColorBrewer's RdYlBu, which colour-blind
readers can tell apart, as they cannot the green and the red of a rainbow."""


def colour_range_A(resolved_A: NDArray[np.floating]) -> tuple[float, float]:
    """Resolutions of the first and the last colour: what nearly all of the particle lies between.

    resolved_A: (n,) of all voxels that have one.
    """
    if not len(resolved_A):
        return 0.0, 1.0
    low, high = (float(one) for one in np.percentile(resolved_A, (1, 98)))
    return low, max(high, 1.02 * low)
