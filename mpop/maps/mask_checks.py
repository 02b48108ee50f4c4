"""What makes a mask useless for an FSC: one doubt for each reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt

MOST_OF_BOX = 0.9
"""A ball that touches the faces of the box fills 0.52 of it."""
FEW_VOXELS = 8**3


def mask_doubts(where: str, mask: NDArray[np.floating]) -> list[Doubt]:
    """Why not to trust an FSC within a mask from 0 to 1; empty when there is no reason.

    where: the mask in words.
    """
    inside = sum(int(np.count_nonzero(section > 0.5)) for section in mask)
    if inside > MOST_OF_BOX * mask.size:
        part = 100 * inside / mask.size
        read = f"keeps {part:.0f} % of the box: it masks nothing, and noise of the solvent lowers the FSC"
        return [Doubt("mask-of-ones", where, read, way_on="give a mask around the particle")]
    if inside < FEW_VOXELS:
        read = f"is above one half in {inside} voxels only: too few to tell signal from noise"
        return [Doubt("mask-empty", where, read, way_on="is it the right file?", grave=inside == 0)]
    return []
