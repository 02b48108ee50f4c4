"""Directional resolution: sums and FSC inside double cones, exactly, for many directions at once.

For a direction n and a half angle, over the coefficients k of a shell that lie within that angle of n or of -n,

    FSC(s, n) = sum Re(F1 conj F2) / sqrt( sum |F1|^2  sum |F2|^2 )

(Tan et al. 2017). Directions lie on rings of equal polar angle. Seen from one ring, the directions whose cones
hold a coefficient are one run along the ring, so that a coefficient adds at the run's begin and subtracts behind
its end, and one cumulative sum along the ring gives the sums in all cones. The cost is rings x coefficients,
however large the cones and however many directions a ring has.

Coefficients on the Nyquist planes of an even box stand for both signs of one frequency: they have no direction,
and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.maps.directions import Array, Rings, at_coefficients, centred
from mpop.maps.filters import transform

HALF_ANGLE_DEG = 20.0
SPACING_DEG = 4.0


@dataclass(frozen=True)
class _Coefficients:
    """Half of a transform, the other half is its mirror image, in the order of polar angle.

    shell: (n,). polar, azimuth: (n,) radians of k or -k, whichever is in the upper hemisphere. values: q of (n,).
    """

    shell: NDArray[np.int32]
    polar: NDArray[np.float32]
    azimuth: NDArray[np.float32]
    values: tuple[NDArray[np.float32], ...]


def conical_sums(values: Sequence[NDArray[np.float32]], half_angle_deg: float, rings: Rings) -> Array:
    """Sums of quantities over the coefficients within an angle of every direction, shell by shell.

    values: q real arrays, each (box, box, box // 2 + 1) in rfftn layout and equal for k and -k.
    Returns (q, d, box // 2 + 1) by quantity, direction and shell; shell 0 holds nothing.
    """
    box = values[0].shape[0]
    coefficients = _upper_hemisphere(values, box)
    parts = [
        _ring_sums(coefficients, box // 2 + 1, np.deg2rad(half_angle_deg), polar, int(count))
        for polar, count in zip(rings.polar, rings.counts, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def _upper_hemisphere(values: Sequence[NDArray[np.float32]], box: int) -> _Coefficients:
    axis = (scipy.fft.fftfreq(box) * box).astype(np.float32)
    half = np.arange(box // 2 + 1, dtype=np.float32)
    radius = np.sqrt(np.square(axis)[:, None, None] + np.square(axis)[:, None] + np.square(half))
    shell = np.rint(radius)
    kept = (shell > 0) & (shell <= box // 2)
    if box % 2 == 0:
        kept[box // 2] = kept[:, box // 2] = kept[:, :, box // 2] = False
    inside = np.flatnonzero(kept)
    radius, shell = radius.ravel()[inside], shell.ravel()[inside].astype(np.int32)
    row, column = np.divmod(inside, box // 2 + 1)
    kz, ky, kx = axis[row // box], axis[row % box], half[column]
    sign = np.where(kz < 0, np.float32(-1), np.float32(1))
    polar = np.arccos(np.minimum(np.abs(kz) / radius, np.float32(1)))
    azimuth = np.arctan2(ky * sign, kx * sign)
    once = np.where(column == 0, np.float32(0.5), np.float32(1))  # this plane holds both k and -k
    order = np.argsort(polar, kind="stable")
    return _Coefficients(
        shell[order],
        polar[order],
        azimuth[order],
        tuple((value.ravel()[inside] * once)[order] for value in values),
    )


def _ring_sums(coefficients: _Coefficients, shells: int, angle: float, polar: float, count: int) -> Array:
    """Sums in the cones around the directions of one ring: (q, count, shells)."""
    width = 2 * count + 1  # a run may go round the ring's end
    steps = np.zeros((len(coefficients.values), shells * width))
    for mirrored in (False, True):  # k, and -k where it comes close from below the equator
        low, high = np.searchsorted(
            coefficients.polar, (np.pi - polar - angle, np.pi) if mirrored else (polar - angle, polar + angle)
        )
        band = slice(low, high)
        theta = coefficients.polar[band]
        phi = coefficients.azimuth[band] + np.float32(np.pi if mirrored else 0)
        cosine = np.cos(theta) * (-1 if mirrored else 1)
        # cos(angle) = cos(polar) cos(theta) + sin(polar) sin(theta) cos(reach): the run is phi +- reach
        cos_reach = (np.cos(angle) - np.cos(polar) * cosine) / (np.sin(polar) * np.maximum(np.sin(theta), 1e-6))
        reach = np.arccos(np.clip(cos_reach, -1, 1))
        begin = np.ceil((phi - reach) * (count / (2 * np.pi))).astype(np.intp)
        length = np.floor((phi + reach) * (count / (2 * np.pi))).astype(np.intp) - begin + 1
        length[cos_reach <= -1] = count
        key = coefficients.shell[band] * width + begin % count
        for total, value in zip(steps, coefficients.values, strict=True):
            total += np.bincount(key, value[band], len(total)) - np.bincount(key + length, value[band], len(total))
    sums = np.cumsum(steps.reshape(-1, shells, width), axis=2)
    return np.swapaxes(sums[:, :, :count] + sums[:, :, count : 2 * count], 1, 2)


@dataclass(frozen=True)
class ConicalFSC:
    """FSC of two maps by direction.

    correlation: (d, box // 2 + 1) for the directions of `rings`; shell 0 is 1. half_angle_deg: of the cones.
    """

    rings: Rings
    correlation: Array
    box: int
    pixel_size_A: float
    half_angle_deg: float

    @property
    def frequency(self) -> Array:
        """(box // 2 + 1,) of the shells in 1/A."""
        return np.arange(self.box // 2 + 1) / (self.box * self.pixel_size_A)

    def volume(self) -> NDArray[np.float32]:
        """(box, box, box) FSC at every coefficient, origin at box // 2; 0 beyond Nyquist."""
        return centred(at_coefficients(self.correlation, self.rings, self.box), self.box)


def conical_fsc(
    half1: NDArray[np.floating],
    half2: NDArray[np.floating],
    pixel_size_A: float,
    half_angle_deg: float = HALF_ANGLE_DEG,
    spacing_deg: float = SPACING_DEG,
) -> ConicalFSC:
    """FSC inside double cones of two cubic maps of one box, masked already if they should be."""
    box = half1.shape[0]
    first, second = transform(half1), transform(half2)
    quantities = [
        first.real * second.real + first.imag * second.imag,
        np.square(first.real) + np.square(first.imag),
        np.square(second.real) + np.square(second.imag),
    ]
    rings = Rings.spaced(spacing_deg)
    cross, power1, power2 = conical_sums(quantities, half_angle_deg, rings)
    norm = np.sqrt(power1 * power2)
    correlation = np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0)
    correlation[:, 0] = 1
    return ConicalFSC(rings, correlation, box, pixel_size_A, half_angle_deg)
