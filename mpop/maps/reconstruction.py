"""From Fourier sums to a map."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numba import njit, prange
from numpy.typing import NDArray

from mpop.projection.insertion import FourierSums
from mpop.projection.reference import gridding_correction

WEIGHT_FLOOR = 1e-3
"""Weights below this part of their shell's mean count as this part: where hardly anything was measured, noise
must not be blown up."""


def symmetrise(sums: FourierSums, matrices: NDArray[np.float64]) -> FourierSums:
    """The sums of all symmetry mates: sum over S of sums(S k), read by trilinear interpolation.

    matrices: (g, 3, 3) rotations in x, y, z, the identity among them.
    """
    hermitian = _hermitian(sums.values)
    if len(matrices) == 1:
        return FourierSums(hermitian)
    out = np.zeros_like(hermitian)
    _rotate_and_add(hermitian, np.asarray(matrices, dtype=np.float32), out)
    return FourierSums(out)


def _hermitian(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the k_x = 0 plane what the Friedel mates of its neighbourhood would add."""
    out = values.copy()
    inner = values[1:, 1:, 0]  # index 0 is -Nyquist, which has no mate
    mate = inner[::-1, ::-1] * np.array([1, -1, 1], dtype=np.float32)
    out[1:, 1:, 0] = inner + mate
    return out


@njit(parallel=True, cache=True)
def _rotate_and_add(values, matrices, out):
    centre = values.shape[0] // 2
    limit = np.float32((centre - 1) ** 2)
    for z in prange(1, values.shape[0]):
        for y in range(1, values.shape[1]):
            for x in range(values.shape[2] - 1):
                kx, ky, kz = np.float32(x), np.float32(y - centre), np.float32(z - centre)
                if kx * kx + ky * ky + kz * kz > limit:
                    continue
                for m in range(matrices.shape[0]):
                    s = matrices[m]
                    qx = s[0, 0] * kx + s[0, 1] * ky + s[0, 2] * kz
                    qy = s[1, 0] * kx + s[1, 1] * ky + s[1, 2] * kz
                    qz = s[2, 0] * kx + s[2, 1] * ky + s[2, 2] * kz
                    sign = np.float32(1.0)
                    if qx < 0:
                        sign = np.float32(-1.0)
                    qx, qy, qz = sign * qx, sign * qy + centre, sign * qz + centre
                    x0, y0, z0 = int(qx), int(qy), int(qz)
                    fx, fy, fz = qx - np.float32(x0), qy - np.float32(y0), qz - np.float32(z0)
                    for dz in range(2):
                        wz = fz if dz == 1 else np.float32(1.0) - fz
                        for dy in range(2):
                            wy = wz * (fy if dy == 1 else np.float32(1.0) - fy)
                            for dx in range(2):
                                w = wy * (fx if dx == 1 else np.float32(1.0) - fx)
                                if w > 0:
                                    voxel = values[z0 + dz, y0 + dy, x0 + dx]
                                    out[z, y, x, 0] += w * voxel[0]
                                    out[z, y, x, 1] += w * sign * voxel[1]
                                    out[z, y, x, 2] += w * voxel[2]


def reconstruct(sums: FourierSums, box: int, matrices: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """The map (z, y, x) of summed slices, in the units of the images.

    box: edge of the map; where it is smaller than the sums the centre is cut out. matrices: symmetry, see
    `symmetrise`. Components beyond the sums' Nyquist sphere are zero. Trilinear insertion multiplies the map
    by sinc^2 along each axis, which is divided out.
    """
    identity = np.eye(3)[None]
    values = symmetrise(sums, identity if matrices is None else matrices).values
    size = sums.size
    totals = np.zeros((size, size // 2, 2))
    _shell_totals(values, totals)
    weight, count = totals.sum(axis=0).T
    floor = (WEIGHT_FLOOR * weight / np.maximum(count, 1)).astype(np.float32)
    transform = np.zeros((size, size, size // 2 + 1), dtype=np.complex64)
    _divide(values, floor, transform)
    del values
    volume = np.asarray(scipy.fft.irfftn(transform, s=(size,) * 3, workers=-1, overwrite_x=True))
    start = size // 2 - box // 2
    cut = slice(start, start + box)
    correction = gridding_correction(size)[cut].astype(np.float32)
    volume = volume[cut, cut, cut] / correction / correction[:, None] / correction[:, None, None]
    return np.asarray(volume, dtype=np.float32)


@njit(parallel=True, cache=True)
def _shell_totals(values, totals):
    """totals: (size, shells, 2), per plane the sum of weights and the number of voxels in each shell."""
    centre = values.shape[0] // 2
    for z in prange(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(centre + 1):
                shell = round(np.sqrt((z - centre) ** 2 + (y - centre) ** 2 + x**2))
                if shell < centre:
                    totals[z, shell, 0] += values[z, y, x, 2]
                    totals[z, shell, 1] += 1


@njit(parallel=True, cache=True)
def _divide(values, floor, out):
    """out: data / max(weight, floor of the shell), in rfftn layout, phases for an origin at size // 2."""
    size, centre = values.shape[0], values.shape[0] // 2
    for z in prange(size):
        for y in range(size):
            for x in range(centre + 1):
                shell = round(np.sqrt((z - centre) ** 2 + (y - centre) ** 2 + x**2))
                if shell >= centre:
                    continue
                weight = max(values[z, y, x, 2], floor[shell])
                if weight > 0:
                    odd = (z + y + x) % 2
                    scale = (np.float32(-1.0) if odd else np.float32(1.0)) / weight
                    value = complex(values[z, y, x, 0] * scale, values[z, y, x, 1] * scale)
                    out[z - centre, y - centre, x] = value
