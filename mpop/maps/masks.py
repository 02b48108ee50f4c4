"""Masks with soft edges: spheres, grown from a binary mask, or found in a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, distance_transform_edt, label

from mpop.maps.filters import low_pass, resample

FIND_AT_A = 15.0
"""Resolution at which a particle is separated from its solvent."""
FIND_VOXEL_A = 4.0
SOLVENT_SIGMAS = 4.0
PARTICLE_PART = 0.2
"""The particle is what is above the solvent by this part of its densest voxels, and by `SOLVENT_SIGMAS`."""
COMPANION_PART = 0.1
"""Pieces smaller than this part of the largest are no particle."""
GROW_A, EDGE_A = 6.0, 12.0
EDGE_VOXELS = 5


def soft_sphere(box: int, pixel_size_A: float, radius_A: float, edge_A: float) -> NDArray[np.float32]:
    """1 inside a radius, falling to 0 over `edge_A` outside of it as a raised cosine."""
    axis = np.square((np.arange(box) - box // 2) * pixel_size_A)
    distance = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis)
    return _edge(distance - radius_A, edge_A)


def soft_edge(binary: NDArray[np.bool_], pixel_size_A: float, edge_A: float) -> NDArray[np.float32]:
    """1 where `binary`, falling to 0 over `edge_A` outside of it as a raised cosine."""
    mask = np.zeros(binary.shape, dtype=np.float32)
    part = _surroundings(binary, int(np.ceil(edge_A / pixel_size_A)))
    mask[part] = _edge(np.asarray(distance_transform_edt(~binary[part])) * pixel_size_A, edge_A)
    return mask


def _surroundings(binary: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """The smallest box that holds all of `binary`, and a margin of voxels where the array has it."""
    others = ((1, 2), (0, 2), (0, 1))
    filled = [np.flatnonzero(binary.any(axis=axes)) for axes in others]
    return tuple(slice(max(one[0] - margin, 0), one[-1] + margin + 1) if len(one) else slice(0) for one in filled)


def particle_mask(volume: NDArray[np.floating], pixel_size_A: float) -> NDArray[np.float32] | None:
    """A soft mask around the particle in a cubic map; None when nothing stands out from the solvent.

    At 15 A, the particle is what is denser than the corners of the box; it is grown by 6 A and falls to 0 over
    12 A, or 5 voxels where that is more, wide enough not to correlate two half-maps by itself.
    """
    coarse, voxel_A = at_low_resolution(volume, pixel_size_A)
    box, small = len(volume), len(coarse)
    particle = standing_out(coarse)
    if particle is None:
        return None
    grown = np.asarray(distance_transform_edt(~particle)) * voxel_A <= GROW_A
    mask = soft_edge(grown, voxel_A, max(EDGE_A, EDGE_VOXELS * pixel_size_A))
    if small == box:
        return mask
    scale = small / box
    fine = np.empty(volume.shape, dtype=np.float32)
    affine_transform(mask, [scale] * 3, small // 2 - box // 2 * scale, output=fine, order=1, mode="nearest")
    return fine


def at_low_resolution(volume: NDArray[np.floating], pixel_size_A: float) -> tuple[NDArray[np.float32], float]:
    """A cubic map as particles are separated from their solvent: at 15 A, in voxels of 4 A or those that it
    has."""
    box = len(volume)
    small = min(2 * round(box * pixel_size_A / FIND_VOXEL_A / 2), box)
    voxel_A = pixel_size_A * box / small
    return low_pass(resample(volume, small), voxel_A, max(FIND_AT_A, 3 * voxel_A)), voxel_A


def standing_out(coarse: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Where a map at low resolution is denser than the corners of its box, without crumbs; None for nowhere."""
    box = len(coarse)
    axis = np.square(np.arange(box) - box // 2)
    corners = axis[:, None, None] + axis[None, :, None] + axis > (box / 2) ** 2
    solvent, noise = float(coarse[corners].mean()), float(coarse[corners].std())
    dense = float(np.percentile(coarse[~corners], 99.5)) - solvent
    above = coarse > solvent + max(SOLVENT_SIGMAS * noise, PARTICLE_PART * dense)
    if dense <= SOLVENT_SIGMAS * noise or not above.any():
        return None
    pieces = np.zeros(above.shape, dtype=np.int32)
    label(above, output=pieces)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= COMPANION_PART * sizes.max())[pieces]


def _edge(distance: NDArray[np.floating], edge_A: float) -> NDArray[np.float32]:
    phase = np.clip(distance / edge_A, 0.0, 1.0)
    return (0.5 + 0.5 * np.cos(np.pi * phase)).astype(np.float32)
