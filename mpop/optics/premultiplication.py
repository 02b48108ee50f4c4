"""Images multiplied by their CTF, and by how much that lets each Fourier coefficient count; and the way back.

Of a whitened spectrum Y = E X / sigma^2, in a window of L pixels that is large enough for the delocalised signal,
and with c the CTF there,

    P = F crop F^-1 (c Y)            Q = m F crop F^-1 (|c|^2),            m = E^2 / sigma^2 in the small window,

crop cuts the window of the particle (size pixels) out of the large one (M, "CTF pre-multiplication"). Both are
linear in c Y and |c|^2. So where a score depends on P and Q, its derivative by the phase and the size of c at
every k of the large window is exact and costs two transforms an image, whatever c depends on
(`premultiplied_adjoint`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import DTypeLike, NDArray


def cropped_inverse(spectra: NDArray, size: int, centred: bool = False) -> NDArray[np.floating]:
    """The middle (n, size, size) of the inverse transforms of spectra (n, L, L // 2 + 1); L and size even.

    centred: the middle is at index L // 2 and stays the middle; else it is at index 0, and the corners are cut
    out. Rows that are cut away are not transformed.
    """
    large, half = spectra.shape[1], size // 2

    def crop(values: NDArray, axis: int) -> NDArray:
        values = np.moveaxis(values, axis, 0)
        if centred:
            part = values[large // 2 - half : large // 2 + half]
        else:
            part = np.concatenate([values[:half], values[large - half :]])
        return np.moveaxis(part, 0, axis)

    rows = crop(np.asarray(scipy.fft.ifft(spectra, axis=1, overwrite_x=True)), 1)
    return crop(np.asarray(scipy.fft.irfft(rows, n=large, axis=2)), 2)


def band_limited_ctf2(ctf: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """CTF^2 at a smaller window, cropped in real space as pre-multiplied images are.

    ctf: (n, L, L // 2 + 1). Returns (n, size, size // 2 + 1), what of CTF^2 fits the smaller window. Without
    this the weight would still oscillate where the data no longer can.
    """
    squared = np.square(ctf)
    if size == ctf.shape[1]:
        return squared
    cropped = cropped_inverse(squared, size)
    return np.ascontiguousarray(np.real(np.asarray(scipy.fft.rfft2(cropped))))


def premultiplied(spectra: NDArray[np.complexfloating], size: int) -> NDArray[np.complexfloating]:
    """P (n, size, size // 2 + 1) of c Y (n, L, L // 2 + 1), which is overwritten. The origin of the window, at L
    // 2, is where phases of P are zero."""
    matched = cropped_inverse(spectra, size, centred=True)
    data = np.asarray(scipy.fft.rfft2(matched))
    data *= _to_origin(size, matched.dtype)
    return data


@dataclass(frozen=True)
class ByCTF:
    """Derivatives of a score by the CTF c at every k, each (n, L, L // 2 + 1) and real: of AB, by the size of a
    real c and by the phase of c; of A2, by |c|^2."""

    ab_by_size: NDArray[np.floating]
    ab_by_phase: NDArray[np.floating]
    a2_by_square: NDArray[np.floating]


def premultiplied_adjoint(
    spectra: NDArray[np.complexfloating],
    ctf: NDArray[np.floating],
    ab_by_data: NDArray[np.complexfloating],
    a2_by_power: NDArray[np.floating],
) -> ByCTF:
    """How AB = Re sum_k conj(W_k) P_k and A2 = sum_k V_k Q_k / m_k change with c.

    spectra: Y (n, L, L // 2 + 1), with the odd part of the phase of c in it, if c has one; ctf: its real part c.
    ab_by_data: W, a2_by_power: V (n, size, size // 2 + 1), 0 for what does not count, as one of two Friedel mates.
    """
    large, size = ctf.shape[1], ab_by_data.shape[1]
    seen = _embedded(ab_by_data * (_to_origin(size, ctf.dtype) * size**2), large, centred=True)
    weight = _multiplicity(large, ctf.dtype)
    product = spectra * seen.conj()
    square = np.real(_embedded(a2_by_power.astype(spectra.dtype) * size**2, large, centred=False))
    return ByCTF(np.real(product) * weight, np.imag(product) * ctf * weight, np.ascontiguousarray(square) * weight)


def _embedded(plane: NDArray[np.complexfloating], large: int, centred: bool) -> NDArray[np.complexfloating]:
    """The transform (n, L, L // 2 + 1) of an image sum_k Re(conj(plane_k) exp(i k x)) in the middle of a large
    one.

    The transpose of a crop and a forward transform. A coefficient of a plane is counted once, with or without its
    mate.
    """
    size, half = plane.shape[1], plane.shape[1] // 2
    mates = np.where(np.isin(np.arange(half + 1), (0, half)), 1.0, 0.5).astype(plane.real.dtype)
    small = np.asarray(scipy.fft.irfft2(plane * mates, s=(size, size)))
    image = np.zeros((len(plane), large, large), small.dtype)
    if centred:
        first = large // 2 - half
        image[:, first : first + size, first : first + size] = small
    else:
        rows = (np.arange(size) + half) % size - half
        image[np.ix_(np.arange(len(plane)), rows % large, rows % large)] = small
    return np.asarray(scipy.fft.rfft2(image))


def _multiplicity(large: int, dtype: DTypeLike) -> NDArray[np.floating]:
    """(L // 2 + 1,) how often a coefficient of a half plane is in the inverse transform, over L^2."""
    columns = np.arange(large // 2 + 1)
    return (np.where((columns == 0) | (columns == large // 2), 1.0, 2.0) / large**2).astype(dtype)


@lru_cache(maxsize=16)
def _to_origin(size: int, dtype: DTypeLike) -> NDArray[np.floating]:
    """(size, size // 2 + 1) phases that move the centre pixel, size // 2 of an even size, to index 0, over
    size^2."""
    odd = np.add.outer(np.arange(size), np.arange(size // 2 + 1)) % 2
    return ((1.0 - 2.0 * odd) / size**2).astype(dtype)
