"""Rotations of cubes: the 24 that move voxels onto voxels, and all others by interpolation."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

GUARD = 2.0
"""Voxels from the faces of a cube within which interpolation is not trusted."""

Turn = tuple[tuple[int, ...], tuple[int, ...]]
"""The order in which axes 0, 1, 2 (z, y, x) are taken, and those that are then reversed."""


def _is_rotation(order: tuple[int, ...], reversed_axes: tuple[int, ...]) -> bool:
    return np.linalg.det(np.eye(3)[list(order)]) * (-1) ** len(reversed_axes) > 0


CUBE_ROTATIONS: tuple[Turn, ...] = tuple(
    (order, axes)
    for order in permutations((0, 1, 2))
    for axes in (tuple(axis for axis in range(3) if flips[axis]) for flips in product((False, True), repeat=3))
    if _is_rotation(order, axes)
)
"""All rotations of a cube onto itself, the identity among them."""


def turn(volumes: Tensor, rotation: Turn) -> Tensor:
    """Volumes (..., z, y, x) with equal edges, rotated without interpolation."""
    order, axes = rotation
    first = volumes.dim() - 3
    turned = volumes.permute(*range(first), *(first + axis for axis in order))
    return turned.flip([first + axis for axis in axes])


def rotate(cubes: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Cubes (n, maps, z, y, x) rotated about their middle, and where they can be trusted: (n, 1, z, y, x), 0 or 1.

    matrices (n, 3, 3) act on (x, y, z): the density at r moves to R r. Trilinear between samples at half voxels,
    which the Fourier transform supplies. What comes from beyond the cube is its mirror image, and not trusted.
    """
    edge = cubes.shape[-1]
    fine = _at_half_voxels(cubes)
    size = [len(cubes), cubes.shape[1], edge, edge, edge]
    theta = torch.cat([matrices.transpose(1, 2), torch.zeros_like(matrices[:, :, :1])], dim=2)
    grid = affine_grid(theta, size, align_corners=True)
    rotated = grid_sample(fine, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
    trusted = grid.abs().amax(dim=-1) <= 1 - 2 * GUARD / (edge - 1)
    return rotated, trusted[:, None].to(cubes.dtype)


def _at_half_voxels(cubes: Tensor) -> Tensor:
    """(n, maps, 2 e - 1, 2 e - 1, 2 e - 1): the samples, and between them what their Fourier series has there."""
    for axis in (2, 3, 4):
        edge = cubes.shape[axis]
        shift = torch.exp(1j * torch.pi * torch.fft.fftfreq(edge, device=cubes.device, dtype=cubes.dtype))
        shape = [edge if other == axis else 1 for other in range(5)]
        between = torch.fft.ifft(torch.fft.fft(cubes, dim=axis) * shift.reshape(shape), dim=axis).real
        both = torch.stack([cubes, between], dim=axis + 1).flatten(axis, axis + 1)
        cubes = both.narrow(axis, 0, 2 * edge - 1)
    return cubes
