"""Whole numbers of Fourier space: indices of coefficients, shells, and sizes that transform fast.

An index or a shell is a whole number and is made as one. Made from frequencies in floating point, 7 may come out
as 6.999..., and whatever truncates or compares it is off by one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-6
"""Shells by which a resolution may miss a whole shell and still mean it: far above what arithmetic adds, far below
what anybody can see."""


def wrapped_indices(size: int) -> NDArray[np.int64]:
    """(size,) signed index of each coefficient along an axis of a full transform: 0, 1, ..., -2, -1.

    The unpaired Nyquist index of an even size is negative, as in `numpy.fft.fftfreq`.
    """
    return (np.arange(size) + size // 2) % size - size // 2


def last_shell(box: int, pixel_size_A: float, resolution_A: float) -> int:
    """The last shell that is no finer than a resolution: floor(box pixel / resolution)."""
    return math.floor(box * pixel_size_A / resolution_A + ROUNDING)


def covering_shell(box: int, pixel_size_A: float, resolution_A: float) -> int:
    """The first shell that is no coarser than a resolution: ceil(box pixel / resolution)."""
    return math.ceil(box * pixel_size_A / resolution_A - ROUNDING)


def even_fast_size(minimum: float) -> int:
    """Smallest even size of at least `minimum` pixels that FFTs like."""
    from scipy.fft import next_fast_len  # takes longer to import than `mpop fsc3d` takes for a small map

    size = max(2, math.ceil(minimum - ROUNDING))
    while size % 2 or next_fast_len(size, real=True) != size:
        size += 1
    return size
