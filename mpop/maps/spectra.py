"""Amplitudes by shell: flat spectra, spectra like another map's, and shells taken from another map.

Amplitudes are measured within a mask, as the noise of the solvent is not what shall be matched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import inverse, multiply_radially, transform
from mpop.maps.shells import mean_amplitudes, shell_radius

Map = NDArray[np.float32]
Array = NDArray[np.float64]

SPLICE_SHELLS = 3.0
"""Over so many shells one map takes over from another."""


def whitened(volume: Map, mask: Map, first: int, last: int) -> Map:
    """The map with shells `first` to `last` as strong as shell `first`; others as they are."""
    amplitude = mean_amplitudes(transform(volume * mask))
    curve = np.ones(len(amplitude))
    shells = slice(first, last + 1)
    curve[shells] = _ratio(amplitude[first], amplitude[shells])
    return multiply_radially(volume, curve)


def with_spectrum_of(volume: Map, model: Map, mask: Map, last: int | None = None) -> Map:
    """The map with the mean amplitudes of another one, up to shell `last`; shells beyond as they are."""
    wanted, found = mean_amplitudes(transform(model * mask)), mean_amplitudes(transform(volume * mask))
    curve = _ratio(wanted, found)
    if last is not None:
        curve[last + 1 :] = 1.0
    return multiply_radially(volume, curve)


def spliced(low: Map, high: Map, shell: int) -> Map:
    """One map up to a shell, another beyond."""
    box = len(low)
    phase = np.clip((shell_radius(box) - np.float32(shell)) / np.float32(SPLICE_SHELLS) + np.float32(0.5), 0, 1)
    share = np.float32(0.5) + np.float32(0.5) * np.cos(np.float32(np.pi) * phase)
    second = transform(high)
    second += share.astype(np.float32) * (transform(low) - second)
    return inverse(second, box)


def _ratio(wanted: Array | float, found: Array) -> Array:
    """1 where there is nothing to scale."""
    return np.divide(wanted, found, out=np.ones(len(found)), where=found > 0)
