"""Fourier insertion: the adjoint of taking central slices.

Each Fourier component of an image is spread over the eight voxels around its place in the volume by the weights
that trilinear interpolation would use to read it there; data P and weight Q are summed side by side.

The volume is cut into slabs along z. One thread at a time fills a slab, from all images but only from those
components that fall into it: no locks, no copies of the volume, each slab stays in cache while many images
enter it, and every voxel receives its contributions in the same order whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import get_num_threads, njit, parallel_chunksize, prange
from numpy.typing import NDArray

from mpop.projection.disc import HalfDisc

SLAB_PLANES = (4, 16)
"""Fewest and most planes of a slab: thin ones share the work better, thick ones have fewer borders."""


@dataclass(frozen=True)
class FourierSums:
    """Summed data and weights of one half-map, before division.

    values: (size, size, size // 2 + 2, 3) float32: real, imaginary, weight at k_z + size // 2,
    k_y + size // 2, k_x. The last k_x column only catches what falls beyond Nyquist. Each Friedel pair of
    components is inserted once; the k_x = 0 plane is made Hermitian when the map is made.
    """

    values: NDArray[np.float32]

    @classmethod
    def zeros(cls, size: int) -> FourierSums:
        """Nothing inserted yet; size is even."""
        return cls(np.zeros((size, size, size // 2 + 2, 3), dtype=np.float32))

    @property
    def size(self) -> int:
        """Voxels along one edge."""
        return self.values.shape[0]

    def add(self, other: FourierSums) -> None:
        """Add sums of the same size: other series, other sources, other labs."""
        self.values[...] += other.values


def insert(
    sums: FourierSums,
    disc: HalfDisc,
    data: NDArray[np.complex64],
    power: NDArray[np.float32],
    rows: NDArray[np.float64],
) -> None:
    """Add n images. data, power: packed (n, pixels); rows: (n, 2, 3) in voxels, as `kernels.project_slices`.

    Hundreds of images at once are faster than few: they share each slab's way through memory.
    """
    radius = disc.r_max * float(np.sqrt(np.square(rows).sum(axis=-1)).max(initial=0.0))
    assert radius < sums.size // 2 - 1, "the disc reaches beyond the volume"
    planes = min(max(sums.size // (2 * get_num_threads()), SLAB_PLANES[0]), SLAB_PLANES[1])
    with parallel_chunksize(1):  # slabs near the origin hold more work than the outer ones
        _insert(sums.values, data, power, rows, disc.row_y, disc.row_x, disc.row_start, planes)


@njit(cache=True, error_model="numpy")
def _clip(start, stop, offset, slope, low, high):
    """The part of start <= k < stop in which low <= offset + slope k < high, and a little more: never less."""
    low -= 1e-3
    high += 1e-3
    if abs(slope) < 1e-6:
        return (start, stop) if low <= offset < high else (start, start)
    first, last = (low - offset) / slope, (high - offset) / slope
    if slope < 0:
        first, last = last, first
    return max(start, int(np.floor(first))), min(stop, int(np.floor(last)) + 1)


@njit(parallel=True, fastmath={"contract"}, cache=True, error_model="numpy")
def _insert(values, data, power, rows, row_y, row_x, row_start, planes):
    """Spread all images, slab by slab."""
    size = values.shape[0]
    one, centre = np.float32(1.0), np.float32(size // 2)
    for slab in prange((size + planes - 1) // planes):
        low = np.int64(slab) * planes
        high = min(low + planes, size)
        for i in range(rows.shape[0]):
            r0x, r0y, r0z = np.float32(rows[i, 0, 0]), np.float32(rows[i, 0, 1]), np.float32(rows[i, 0, 2])
            r1x, r1y, r1z = np.float32(rows[i, 1, 0]), np.float32(rows[i, 1, 1]), np.float32(rows[i, 1, 2])
            for j in range(row_y.shape[0]):
                ky = np.float32(row_y[j])
                packed = row_start[j] - row_x[j]
                end = row_start[j + 1] - packed
                for mate in range(2):  # where q_x < 0 the Friedel mate lies in the stored half
                    sign = -one if mate else one
                    start, stop = _clip(row_x[j], end, sign * ky * r1x, sign * r0x, 0.0, size)
                    start, stop = _clip(start, stop, centre + sign * ky * r1z, sign * r0z, low - 1, high)
                    for k in range(start, stop):
                        kx = np.float32(k)
                        qx = kx * r0x + ky * r1x
                        if (qx < 0) != (mate == 1):
                            continue
                        qx = sign * qx
                        qy = sign * (kx * r0y + ky * r1y) + centre
                        qz = sign * (kx * r0z + ky * r1z) + centre
                        x, y, z = int(qx), int(qy), int(qz)
                        fx, fy, fz = qx - np.float32(x), qy - np.float32(y), qz - np.float32(z)
                        re = data[i, packed + k].real
                        im = sign * data[i, packed + k].imag
                        q = power[i, packed + k]
                        for dz in range(2):
                            if z + dz < low or z + dz >= high:
                                continue
                            wz = fz if dz else one - fz
                            for dy in range(2):
                                wy = wz * (fy if dy else one - fy)
                                # unsigned: no wrap-around of negative indices to test for
                                vz, vy, vx = np.uintp(z + dz), np.uintp(y + dy), np.uintp(x)
                                w = wy * (one - fx)
                                values[vz, vy, vx, 0] += w * re
                                values[vz, vy, vx, 1] += w * im
                                values[vz, vy, vx, 2] += w * q
                                w = wy * fx
                                vx = np.uintp(x + 1)
                                values[vz, vy, vx, 0] += w * re
                                values[vz, vy, vx, 1] += w * im
                                values[vz, vy, vx, 2] += w * q
