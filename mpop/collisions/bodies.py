"""The space that a molecule surely takes: its mask, from one half up, without the margin that masks have to spare.

A body is kept twice, coarse enough to stay in a processor's cache: as voxels, to ask whether a point is inside,
and as points that fill it evenly, to ask how much of it is inside another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from mpop.errors import InputError

INSIDE = 0.5
"""Value of the soft mask from where on a voxel belongs to the molecule."""
MARGIN_A = 10.0
"""Of a mask all around: soft edge, dilation, error of poses. In a thin mask, half of the way to its middle."""
MAX_EDGE = 64
"""Voxels along an edge of the coarse volume, at most."""
POINTS = 2048
"""An overlap measured with so many points is right to about 1 % of the volume."""
SAME_PLACE = 0.2
"""Two particles of one species nearer than this part of their body's radius are one particle."""


@dataclass(frozen=True)
class Body:
    """A solid in the frame of its map. x, y, z in angstrom from the map's origin, voxel box // 2.

    inside (z, y, x) bool, voxels of pixel_size_A; origin (3,) index (x, y, z) of the map's origin in it;
    points (n, 3) float32 that fill the solid, in random order; radius_A: of the sphere about the origin around it.
    mask_A3: volume of the whole mask, margin included.
    """

    inside: NDArray[np.bool_]
    pixel_size_A: float
    origin: NDArray[np.float64]
    points: NDArray[np.float32]
    volume_A3: float
    radius_A: float
    mask_A3: float

    @classmethod
    def of(cls, mask: NDArray[np.floating], pixel_size_A: float, margin_A: float = MARGIN_A) -> Body:
        """The body of a mask (z, y, x). Raises InputError when no voxel is inside."""
        factor = -(-max(mask.shape) // MAX_EDGE)
        pixel = pixel_size_A * factor
        whole = _block_means(mask, factor) >= INSIDE
        inside = _without_margin(whole, margin_A / pixel)
        voxels = np.argwhere(inside)
        if not len(voxels):
            raise InputError(f"the mask is nowhere above {INSIDE:g}; there is no body that could collide")
        centre = np.array([size // 2 for size in mask.shape])[::-1]
        origin = (centre - (factor - 1) / 2) / factor
        first, last = voxels.min(axis=0), voxels.max(axis=0) + 1
        cropped = inside[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
        offsets = (voxels[:, ::-1] - origin) * pixel
        return cls(
            np.ascontiguousarray(cropped),
            pixel,
            origin - first[::-1],
            _fill(offsets, pixel),
            len(voxels) * pixel**3,
            float(np.linalg.norm(np.abs(offsets) + pixel / 2, axis=1).max()),
            int(np.count_nonzero(whole)) * pixel**3,
        )


def _without_margin(inside: NDArray[np.bool_], margin: float) -> NDArray[np.bool_]:
    """Voxels that are at least so many voxels below the surface, or half as deep as the deepest."""
    depth = np.asarray(distance_transform_edt(np.pad(inside, 1)))[1:-1, 1:-1, 1:-1] - 0.5
    return inside & (depth >= min(margin, depth.max() / 2))


def _block_means(mask: NDArray[np.floating], factor: int) -> NDArray[np.floating]:
    """Means over cubes of factor^3 voxels, the volume padded with zeros at its far ends."""
    if factor == 1:
        return mask
    padded = np.pad(mask, [(0, -size % factor) for size in mask.shape])
    z, y, x = (size // factor for size in padded.shape)
    return padded.reshape(z, factor, y, factor, x, factor).mean(axis=(1, 3, 5))


def _fill(voxels: NDArray[np.float64], pixel: float) -> NDArray[np.float32]:
    """Points in voxels, given by their centres (n, 3): all voxels get equally many, or every n-th gets one."""
    random = np.random.default_rng(0)
    chosen = voxels[np.arange(POINTS) * len(voxels) // POINTS]
    points = chosen + random.uniform(-pixel / 2, pixel / 2, chosen.shape)
    return random.permutation(points).astype(np.float32)
