"""A map made ready for central slices.

The map is divided by the transform of the trilinear kernel, sinc^2 along each axis, so that slices taken from
its discrete Fourier transform by trilinear interpolation project the map itself; what interpolation error
remains is that of a map that fills no more than half of its box (species boxes are twice the diameter).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.geometry.frequencies import covering_shell


@dataclass(frozen=True)
class Reference:
    """The central part of a map's Fourier transform, ready to be interpolated.

    values: (2 reach + 3, 2 reach + 3, reach + 2, 2) real and imaginary part; indices k_z + reach + 1,
    k_y + reach + 1, k_x. Phase zero at the box centre. Frequencies up to `reach` may be asked for.
    """

    values: NDArray[np.floating]
    reach: int
    box: int
    pixel_size_A: float

    @property
    def extent_A(self) -> float:
        """Length of the box: one Fourier voxel is its inverse."""
        return self.box * self.pixel_size_A


def gridding_correction(box: int) -> NDArray[np.float64]:
    """(box,) sinc^2(x / box) of one axis, x counted from the origin voxel box // 2."""
    return np.sinc((np.arange(box) - box // 2) / box) ** 2


def prepare_reference(
    volume: NDArray[np.floating],
    pixel_size_A: float,
    resolution_A: float,
    dtype: type[np.floating] = np.float32,
) -> Reference:
    """The reference of a map (z, y, x) up to a resolution.

    dtype: float32 for work, float64 where gradients are checked.
    """
    box = volume.shape[0]
    reach = min(covering_shell(box, pixel_size_A, resolution_A), box // 2 - 1)
    correction = gridding_correction(box)
    flat = volume.astype(np.float64 if dtype is np.float64 else np.float32)
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = box
        flat /= correction.reshape(shape).astype(flat.dtype)
    transform = np.asarray(scipy.fft.rfftn(scipy.fft.ifftshift(flat)))
    rows = np.arange(-reach - 1, reach + 2) % box
    part = transform[np.ix_(rows, rows, np.arange(reach + 2))]
    values = np.empty((*part.shape, 2), dtype=dtype)
    values[..., 0] = np.real(part)
    values[..., 1] = np.imag(part)
    return Reference(values, reach, box, pixel_size_A)
