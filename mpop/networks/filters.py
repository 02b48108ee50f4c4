"""A filter of whole maps, as a filter of cubes cut from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from mpop.geometry.frequencies import wrapped_indices
from mpop.maps.directions import centred


def filter_of_cubes(whole: NDArray[np.floating], edge: int) -> NDArray[np.float32]:
    """A map's filter at the frequencies of cubes of `edge` voxels, linear between those of the map.

    whole: (box, box, box // 2 + 1), real, equal for k and -k, in rfftn layout; the result is (edge, edge,
    edge // 2 + 1) and has the same symmetry, about the origin. Not averaged over what a cube cannot tell apart:
    that fills the gaps of the filter, and what is merely weakened a network learns to amplify, noise and all.
    """
    box = len(whole)
    frequency = wrapped_indices(edge) * box / edge
    places = np.meshgrid(frequency, frequency, np.abs(frequency[: edge // 2 + 1]), indexing="ij")
    full = centred(np.asarray(whole, dtype=np.float32), box)
    found = map_coordinates(full, [place + box // 2 for place in places], order=1, mode="grid-wrap")
    return np.asarray(found, dtype=np.float32)
