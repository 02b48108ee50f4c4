"""Fourier insertion: the adjoint of taking central slices.

Each Fourier component of an image is spread over the eight voxels around its place in the volume by the weights
that trilinear interpolation would use to read it there; data P and weight Q are summed side by side. The volume
is split into slabs along z, one per thread, and every thread runs through all images but only touches its own
slab: no locks, no copies of the volume, and every voxel receives its contributions in the same order whatever
the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from mpop.projection.disc import HalfDisc


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
    """Add n images. data, power: packed (n, pixels); rows: (n, 2, 3) in voxels, as `kernels.project_slices`."""
    radius = disc.r_max * float(np.sqrt(np.square(rows).sum(axis=-1)).max(initial=0.0))
    assert radius < sums.size // 2 - 1, "the disc reaches beyond the volume"
    slabs = np.linspace(0, sums.size, get_num_threads() + 1).astype(np.int64)
    _insert(sums.values, data, power, rows, disc.row_y, disc.row_x, disc.row_start, slabs)


@njit(parallel=True, fastmath={"contract"}, cache=True, error_model="numpy")
def _insert(values, data, power, rows, row_y, row_x, row_start, slabs):
    """Spread all images; each of the slabs (slabs[s] <= z < slabs[s + 1]) is one thread's."""
    centre = np.float32(values.shape[0] // 2)
    for slab in prange(slabs.shape[0] - 1):
        low, high = slabs[slab], slabs[slab + 1]
        for i in range(rows.shape[0]):
            r0x, r0y, r0z = np.float32(rows[i, 0, 0]), np.float32(rows[i, 0, 1]), np.float32(rows[i, 0, 2])
            r1x, r1y, r1z = np.float32(rows[i, 1, 0]), np.float32(rows[i, 1, 1]), np.float32(rows[i, 1, 2])
            for j in range(row_y.shape[0]):
                ky = np.float32(row_y[j])
                first = row_start[j]
                for pixel in range(first, row_start[j + 1]):
                    kx = np.float32(row_x[j] + pixel - first)
                    qz = kx * r0z + ky * r1z
                    qx = kx * r0x + ky * r1x
                    sign = np.float32(1.0)
                    if qx < 0:  # the Friedel mate lies in the stored half
                        sign = np.float32(-1.0)
                    qz = sign * qz + centre
                    z = int(qz)
                    if z + 1 < low or z >= high:
                        continue
                    qx = sign * qx
                    qy = sign * (kx * r0y + ky * r1y) + centre
                    x, y = int(qx), int(qy)
                    fx, fy, fz = qx - np.float32(x), qy - np.float32(y), qz - np.float32(z)
                    re = data[i, pixel].real
                    im = sign * data[i, pixel].imag
                    q = power[i, pixel]
                    for dz in range(2):
                        if z + dz < low or z + dz >= high:
                            continue
                        wz = fz if dz == 1 else np.float32(1.0) - fz
                        for dy in range(2):
                            wy = wz * (fy if dy == 1 else np.float32(1.0) - fy)
                            w = wy * (np.float32(1.0) - fx)
                            voxel = values[z + dz, y + dy]
                            voxel[x, 0] += w * re
                            voxel[x, 1] += w * im
                            voxel[x, 2] += w * q
                            w = wy * fx
                            voxel[x + 1, 0] += w * re
                            voxel[x + 1, 1] += w * im
                            voxel[x + 1, 2] += w * q
