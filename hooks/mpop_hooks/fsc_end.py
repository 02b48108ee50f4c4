"""Where an FSC ends: mpop measures it so, and claims are held against it.

It ends where it first falls below a threshold t, but for falls that chance explains. In a mask of volume fraction
f only f of the N_k coefficients of a shell are independent (n_k = f N_k / 2 pairs), and with c copies of an
asymmetric unit n_k / c. The mean of an FSC t over m shells, weighed by n_k, has the variance (of a correlation,
Fisher 1921)

    v = (1 - t^2)^2 c / (2 sum_k n_k)  m / (m + f^(-1/3) - 1),

where the last factor is that a mask correlates f^(-1/3) neighbouring shells, whose mean varies as one of them. In
a small particle n_k is a few tens, and in a hollow of the spectrum or of the CTF chance alone takes a shell below.
Such a dip is no end when

1. its mean is less than `DIP_Z` standard deviations below t, and
2. the mean from its first shell to some later one is `SIGNIFICANT_Z` above t.

So shells of noise behind an end lift no resolution, and in large maps no dip is by chance. Where the number of
copies is not known every fall is an end, as it is in RELION and other programs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

THRESHOLD = 0.143
SIGNIFICANT_Z = 4.0
DIP_Z = 3.0


def crossing(
    frequency: Array, correlation: Array, threshold: float, part: float = 1.0, copies: int | None = None
) -> float | None:
    """Frequency (1/A) where a curve ends, linear between shells.

    frequency, correlation: (k,) of shells from 0 to Nyquist. part: f, see `independent_part`. copies: c, None
    where it is not known. Returns None when the curve is below from the first shell on, the last frequency when it
    never ends.
    """
    i = _fall(correlation, threshold, part, copies)
    if i is None:
        return float(frequency[-1])
    if i == 1:
        return None
    high, low = correlation[i - 1], correlation[i]
    between = (high - threshold) / (high - low)
    return float(frequency[i - 1] + between * (frequency[i] - frequency[i - 1]))


def independent_part(mask: Array) -> float:
    """f of maps within a mask (z, y, x): the part of all coefficients that are independent; 1 for an empty one."""
    squares = (np.square(plane, dtype=np.float64) for plane in mask)
    second, fourth = np.sum([(one.sum(), np.square(one).sum()) for one in squares], axis=0)
    return float(second**2 / (len(mask) ** 3 * fourth)) if fourth > 0 else 1.0


def _fall(correlation: Array, threshold: float, part: float, copies: int | None) -> int | None:
    """The first shell of the first run below that is there not by chance; None where there is none."""
    below = correlation < threshold
    below[0] = False
    for start in map(int, np.flatnonzero(below[1:] & ~below[:-1]) + 1):
        if start == 1 or below[start:].all() or copies is None:
            return start
        z, after = mean_z(correlation, start, threshold, part, copies), int(below[start:].argmin())
        if z[after - 1] < -DIP_Z or z[after:].max() < SIGNIFICANT_Z:
            return start
    return None


def mean_z(correlation: Array, start: int, threshold: float, part: float, copies: int) -> Array:
    """How far the means of an FSC from one shell on, to each that follows, are above a threshold, in standard
    deviations."""
    shells = np.arange(start, len(correlation))
    pairs = part / copies * 2 * np.pi * np.square(shells)
    total, count = np.cumsum(pairs), shells - start + 1
    alike = count / (count + part ** (-1 / 3) - 1)
    error = (1 - threshold**2) * np.sqrt(alike / (2 * total))
    return (np.cumsum(pairs * correlation[start:]) / total - threshold) / error
