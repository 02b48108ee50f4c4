"""From Fourier sums to a map.

Data is divided by the density of weight around each voxel, not by the voxel's own weight. Where images are few,
a voxel's own weight is small whenever no component fell close to it; dividing by that makes the noise of the
few components that touched it as loud as all of its neighbours. The local mean is the first step of the
iterations that estimate sampling density (Pipe & Menon 1999); more of them cost signal again, see
docs/benchmarks.md. Averaging also blurs the CTF's rings; a factor per shell takes that back, so that each shell's
density adds up to its weight and amplitudes stay right.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numba import njit, prange
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from mpop.projection.insertion import FourierSums
from mpop.projection.reference import gridding_correction

WEIGHT_FLOOR = 1e-3
"""Densities below this part of their shell's mean count as this part: where hardly anything was measured, noise
must not be blown up."""

COMPLETE = 0.5
"""A shell beyond all that hold so much of the weight around them is not one that images reach."""

BLOCK_ROWS = 16
"""Rows divided and transformed at a time."""


def symmetrise(sums: FourierSums, matrices: NDArray[np.float64]) -> FourierSums:
    """The sums of all symmetry mates: sum over S of sums(S k), read by trilinear interpolation.

    matrices: (g, 3, 3) rotations in x, y, z, the identity among them. One matrix gives `sums` itself back.
    """
    if len(matrices) == 1:
        return sums
    hermitian = sums.values.copy()
    hermitian[:, :, 0] = _hermitian_plane(sums.values)
    out = np.zeros_like(hermitian)
    _rotate_and_add(hermitian, np.asarray(matrices, dtype=np.float32), out)
    out[:, :, 0] /= 2  # it will be added to its mate again
    return FourierSums(out)


def _hermitian_plane(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(size, size, 3) the k_x = 0 plane with what the Friedel mates of its neighbourhood would add."""
    plane = values[:, :, 0].copy()
    inner = values[1:, 1:, 0]  # index 0 is -Nyquist, which has no mate
    plane[1:, 1:] += inner[::-1, ::-1] * np.array([1, -1, 1], dtype=np.float32)
    return plane


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
    `symmetrise`. The outermost two shells of the sums are left out: they lack neighbours. So are shells beyond
    `last_shell`, which hold nothing but what insertion spreads: divided by their little weight it would be louder
    than all others. Trilinear insertion multiplies the map by sinc^2 along each axis, which is divided out.
    """
    identity = np.eye(3)[None]
    values = symmetrise(sums, identity if matrices is None else matrices).values
    plane = _hermitian_plane(values)
    size = sums.size
    scale, floor, last = _by_shell(values, plane)
    scale[last + 1 :] = floor[last + 1 :] = 0.0
    volume = _inverse_centre(values, plane, np.stack([scale, floor], axis=1).astype(np.float32), box)
    start = size // 2 - box // 2
    correction = gridding_correction(size)[start : start + box].astype(np.float32)
    for axis in range(3):
        volume /= np.expand_dims(correction, tuple({0, 1, 2} - {axis}))
    return volume


def last_shell(sums: FourierSums) -> int:
    """The last shell that images reach, in voxels of the sums; 0 where nothing was inserted."""
    return _by_shell(sums.values, _hermitian_plane(sums.values))[2]


def _by_shell(
    values: NDArray[np.float32], plane: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """By shell, what density is multiplied by, and the least divisor; and the last shell that images reach."""
    size = len(values)
    shells = np.zeros((size, size // 2, 3))
    _shell_totals(values, plane, shells)
    weight, density, count = shells.sum(axis=0).T
    scale = np.divide(weight, density, out=np.zeros_like(weight), where=density > 0)
    reached = np.flatnonzero(scale >= COMPLETE)
    return scale, WEIGHT_FLOOR * weight / np.maximum(count, 1), int(reached[-1]) if len(reached) else 0


def coefficient_weights(sums: FourierSums, matrices: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """(size, size, size // 2 + 1) the weight around each coefficient of the map that `reconstruct` makes in the
    box of the sums, in rfftn layout: up to a factor, what its data are divided by."""
    values = symmetrise(sums, np.eye(3)[None] if matrices is None else matrices).values
    weight = values[..., 2].copy()
    weight[:, :, 0] = _hermitian_plane(values)[..., 2]
    mates = np.zeros_like(weight[:, :, :1])  # k_x = -1; -Nyquist has no mate
    mates[1:, 1:, 0] = weight[:0:-1, :0:-1, 1]
    around = np.concatenate([mates, weight], axis=2)
    for axis in range(3):
        around = convolve1d(around, np.array([0.25, 0.5, 0.25], np.float32), axis, mode="constant")
    return scipy.fft.ifftshift(around[:, :, 1:-1], axes=(0, 1))


def _inverse_centre(
    values: NDArray[np.float32], plane: NDArray[np.float32], shells: NDArray[np.float32], box: int
) -> NDArray[np.float32]:
    """The central box^3 of the inverse transform, cut after each axis: less time and memory than the whole."""
    size = len(values)
    start = size // 2 - box // 2
    cut = slice(start, start + box)
    part = np.empty((box, size, size // 2 + 1), dtype=np.complex64)
    for first in range(0, size, BLOCK_ROWS):
        block = np.zeros((size, min(BLOCK_ROWS, size - first), size // 2 + 1), dtype=np.complex64)
        _divide(values, plane, shells, first, block)
        part[:, first : first + BLOCK_ROWS] = np.asarray(scipy.fft.ifft(block, axis=0))[cut]
    part = np.asarray(scipy.fft.ifft(part, axis=1, overwrite_x=True))[:, cut]
    return np.ascontiguousarray(np.asarray(scipy.fft.irfft(part, n=size, axis=2))[:, :, cut])


@njit(parallel=True, cache=True)
def _shell_totals(values, plane, totals):
    """totals: (size, shells, 3), of each z the sums of weight and density and the number of voxels by shell."""
    size, centre = values.shape[0], values.shape[0] // 2
    for z in prange(2, size - 1):
        columns, density = np.empty(centre + 1, dtype=np.float32), np.empty(centre - 1, dtype=np.float32)
        for y in range(2, size - 1):
            _densities(values, plane, z, y, columns, density)
            for x in range(centre - 1):
                shell = round(np.sqrt((z - centre) ** 2 + (y - centre) ** 2 + x**2))
                if shell <= centre - 2:
                    totals[z, shell, 0] += values[z, y, x, 2] if x else plane[z, y, 2]
                    totals[z, shell, 1] += density[x]
                    totals[z, shell, 2] += 1


@njit(parallel=True, cache=True)
def _divide(values, plane, shells, first, block):
    """block: (size, rows, size // 2 + 1), data / max(density * scale, floor) at k_y from `first` on, in rfftn
    layout, with the phases of a map whose origin is at size // 2. shells: (shells, 2) scale and floor."""
    size, centre = values.shape[0], values.shape[0] // 2
    for z in prange(2, size - 1):
        columns, density = np.empty(centre + 1, dtype=np.float32), np.empty(centre - 1, dtype=np.float32)
        for row in range(block.shape[1]):
            y = (first + row + centre) % size
            if y < 2 or y > size - 2:
                continue
            _densities(values, plane, z, y, columns, density)
            for x in range(centre - 1):
                shell = round(np.sqrt((z - centre) ** 2 + (y - centre) ** 2 + x**2))
                if shell > centre - 2:
                    continue
                divisor = max(density[x] * shells[shell, 0], shells[shell, 1])
                if divisor > 0:
                    voxel = values[z, y, x] if x else plane[z, y]
                    odd = (z + y + x) % 2
                    scale = (np.float32(-1.0) if odd else np.float32(1.0)) / divisor
                    block[z - centre, row, x] = complex(voxel[0] * scale, voxel[1] * scale)


@njit(cache=True)
def _densities(values, plane, z, y, columns, out):
    """out: (size // 2 - 1,) weight around each voxel of a row, by (1, 2, 1) / 4 along each axis.

    columns: (size // 2 + 1,) room for the averages over z and y, from k_x = -1 on.
    """
    size = values.shape[0]
    columns[:] = 0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            part = np.float32((2 - abs(dy)) * (2 - abs(dz))) / np.float32(64.0)
            columns[0] += part * values[size - z - dz, size - y - dy, 1, 2]  # the Friedel mate of k_x = -1
            columns[1] += part * plane[z + dz, y + dy, 2]
            for x in range(1, columns.shape[0] - 1):
                columns[x + 1] += part * values[z + dz, y + dy, x, 2]
    for x in range(out.shape[0]):
        out[x] = columns[x] + np.float32(2.0) * columns[x + 1] + columns[x + 2]
