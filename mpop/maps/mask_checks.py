"""What makes a mask useless for an FSC: one line for each reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_OF_BOX = 0.9
"""A ball that touches the faces of the box fills 0.52 of it."""
FEW_VOXELS = 8**3


def mask_doubts(mask: NDArray[np.floating]) -> list[str]:
    """Why not to trust an FSC within a mask from 0 to 1; empty when there is no reason."""
    inside = sum(int(np.count_nonzero(section > 0.5)) for section in mask)
    if inside > MOST_OF_BOX * mask.size:
        return [
            f"the mask keeps {100 * inside / mask.size:.0f} % of the box: it masks nothing, and noise of the "
            "solvent lowers the FSC"
        ]
    if inside < FEW_VOXELS:
        return [f"the mask is above one half in {inside} voxels only: too few to tell signal from noise"]
    return []
