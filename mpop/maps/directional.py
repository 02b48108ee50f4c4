"""Directional resolution: FSC inside double cones, for directions on rings and for every coefficient.

For a direction n and a half angle, over the coefficients k of a shell that lie within that angle of n or of -n,

    FSC(s, n) = sum Re(F1 conj F2) / sqrt( sum |F1|^2  sum |F2|^2 )

(Tan et al. 2017). `mpop.maps.cones` says how the sums are found; none of them is interpolated.

Transforms are numpy's: scipy's take longer to import than all else here takes for a box of 128.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mpop.maps.cones import Cones, Folded, Shell, shells
from mpop.maps.conventions import HALF_ANGLE_DEG
from mpop.maps.directions import Array, Rings
from mpop.maps.octahedral import images

Single = NDArray[np.float32]
Complex = NDArray[np.complex64]
Quantities = Callable[[Complex, Complex], Sequence[Single]]

SPACING_DEG = 4.0

_one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")
"""The matrices are small: more threads spend their time in waiting for each other."""


@_one_blas_thread
def conical_sums(values: Sequence[Single], half_angle_deg: float, rings: Rings) -> Array:
    """Sums of quantities over the coefficients within an angle of every direction, shell by shell.

    values: q real arrays, each (box, box, box // 2 + 1) in rfftn layout and equal for k and -k.
    half_angle_deg: up to 90. Returns (q, d, box // 2 + 1) by quantity, direction and shell; shell 0 holds nothing.
    """
    box = len(values[0])
    folded = Folded.of(rings.directions)
    sums = np.zeros((len(values), len(folded.row), box // 2 + 1))
    for shell in shells(box):
        places = shell.places()
        here = np.stack([value.ravel()[places] for value in values], axis=1).astype(np.float32)
        (found,) = Cones(shell, here, half_angle_deg).sums(folded.cells)
        sums[:, :, shell.number] = found[folded.row, :, folded.image].T
    return sums


@dataclass(frozen=True)
class ConicalFSC:
    """FSC of two maps by direction.

    correlation: (d, box // 2 + 1) for the directions of `rings`; shell 0 is 1. whole: (box // 2 + 1,) the same
    over whole shells. half_angle_deg: of the cones. volume: (box, box, box) in the cone around every coefficient,
    origin at box // 2, 0 beyond Nyquist; None where it was not asked for.
    """

    rings: Rings
    correlation: Array
    whole: Array
    box: int
    pixel_size_A: float
    half_angle_deg: float
    volume: Single | None = None

    @property
    def frequency(self) -> Array:
        """(box // 2 + 1,) of the shells in 1/A."""
        return np.arange(self.box // 2 + 1) / (self.box * self.pixel_size_A)


def conical_fsc(
    half1: NDArray[np.floating],
    half2: NDArray[np.floating],
    pixel_size_A: float,
    half_angle_deg: float = HALF_ANGLE_DEG,
    spacing_deg: float = SPACING_DEG,
    mask: NDArray[np.floating] | None = None,
    volume: bool = False,
) -> ConicalFSC:
    """FSC inside double cones of two cubic maps of one box, within a mask if there is one.

    volume: whether to measure it around every coefficient too, which takes time with the fifth power of the box.
    Cones that hold no coefficient, in the first shells, get the whole shell's value.
    """
    return _conical(_transforms(half1, half2, mask), _products, pixel_size_A, half_angle_deg, spacing_deg, volume)


def phase_similarity(
    half1: NDArray[np.floating],
    half2: NDArray[np.floating],
    pixel_size_A: float,
    half_angle_deg: float = 10.0,
    spacing_deg: float = SPACING_DEG,
    mask: NDArray[np.floating] | None = None,
    volume: bool = False,
) -> ConicalFSC:
    """Mean cosine of the phase difference inside double cones, which spIsoNet takes for its 3DFSC.

    Every coefficient counts alike, however weak, so that this is below the FSC where noise and signal mix.
    """
    return _conical(_transforms(half1, half2, mask), _phases, pixel_size_A, half_angle_deg, spacing_deg, volume)


@_one_blas_thread
def _conical(
    transforms: tuple[Complex, Complex],
    quantities: Quantities,
    pixel_size_A: float,
    half_angle_deg: float,
    spacing_deg: float,
    with_volume: bool,
) -> ConicalFSC:
    """quantities: what stands for cross power and both powers."""
    box = len(transforms[0])
    first, second = (transform.ravel() for transform in transforms)
    rings = Rings.spaced(spacing_deg)
    folded = Folded.of(rings.directions)
    whole = np.ones(box // 2 + 1)
    correlation = np.ones((len(folded.row), box // 2 + 1))
    volume = np.zeros((box, box, box), dtype=np.float32) if with_volume else None
    for shell in shells(box):
        places = shell.places()
        values = np.stack(quantities(first[places], second[places]), axis=1)
        whole[shell.number] = _correlation(np.einsum("nqh,n->q", values, shell.weight, dtype=np.float64), 1.0)
        wanted = [folded.cells] if volume is None else [folded.cells, shell.cells]
        sums = Cones(shell, values, half_angle_deg).sums(*wanted)
        along, *around = [_correlation(np.moveaxis(one, 1, 0), whole[shell.number]) for one in sums]
        correlation[:, shell.number] = along[folded.row, folded.image]
        if volume is not None:
            _lay_out(volume, shell, around[0])
    if volume is not None:
        volume[box // 2, box // 2, box // 2] = 1
    return ConicalFSC(rings, correlation, whole, box, pixel_size_A, half_angle_deg, volume)


def _lay_out(volume: Single, shell: Shell, values: Array) -> None:
    """Write what was found for the images of a shell's points, (n, 24), around the origin, k and -k alike."""
    box, origin = len(volume), len(volume) // 2
    offset = np.array([box * box, box, 1], dtype=np.intp)
    turned = images(shell.points)
    apart = np.tensordot(offset, turned, axes=(0, 1))
    flat = volume.reshape(-1)
    for sign in (1, -1):
        # the Nyquist planes of an even box are there once, at their negative side
        there = (sign * turned < box - origin).all(axis=1) if 2 * shell.number >= box else slice(None)
        flat[(offset.sum() * origin + sign * apart)[there]] = values[there]


def _transforms(
    half1: NDArray[np.floating], half2: NDArray[np.floating], mask: NDArray[np.floating] | None
) -> tuple[Complex, Complex]:
    return _transform(half1, mask), _transform(half2, mask)


def _transform(volume: NDArray[np.floating], mask: NDArray[np.floating] | None) -> Complex:
    """rfftn by sections, which needs no second array of its size, nor of a masked map."""
    box = len(volume)
    spectrum = np.empty((box, box, box // 2 + 1), dtype=np.complex64)
    for z, section in enumerate(volume):
        spectrum[z] = np.fft.rfft2(section if mask is None else section * mask[z])
    for row in range(box):
        spectrum[:, row] = np.fft.fft(spectrum[:, row], axis=0)
    return spectrum


def _products(first: Complex, second: Complex) -> list[Single]:
    """Re(F1 conj F2), |F1|^2, |F2|^2."""
    pairs = ((first, second), (first, first), (second, second))
    return [np.asarray(a.real * b.real + a.imag * b.imag, dtype=np.float32) for a, b in pairs]


def _phases(first: Complex, second: Complex) -> list[Single]:
    """cos(phase difference), 0 where an amplitude is 0, and twice 1."""
    cross, power1, power2 = _products(first, second)
    norm = np.sqrt(power1) * np.sqrt(power2)
    one = np.ones_like(norm)
    return [np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0), one, one]


def _correlation(sums: Array, fallback: float) -> Array:
    """Cross power over the root of both powers, sums: (3, ...); `fallback` where there is no power."""
    cross, power1, power2 = sums
    norm = np.sqrt(power1) * np.sqrt(power2)  # their product can be too large for single precision
    return np.divide(cross, norm, out=np.full_like(norm, fallback), where=norm > 0)
