"""Bands of a map's spectrum, each on a grid no finer than it needs.

A band has a centre at k cycles per box. A map that holds nothing beyond a band is kept by a grid of a little more
than 2 k points, so that work on a low band costs little: all bands together cost a few times the finest one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


def cut(spectrum: Spectrum, size: int) -> Spectrum:
    """The spectrum (rfftn layout) of the same extent on an even grid of another size; densities keep their scale.

    The unpaired Nyquist planes of the smaller grid are left out. Between two sizes voxel 0 stays where it is.
    """
    old = len(spectrum)
    if old == size:
        return spectrum
    small = min(old, size)
    kept = np.arange(-(small // 2) + 1, small // 2)
    half = np.arange(small // 2)
    out = np.zeros((size, size, size // 2 + 1), dtype=np.complex64)
    out[np.ix_(kept % size, kept % size, half)] = spectrum[np.ix_(kept % old, kept % old, half)]
    out *= np.float32((size / old) ** 3)
    return out


def interpolate(values: Map, size: int) -> Map:
    """A smooth periodic map (z, y, x) on a grid of another size, linear between points."""
    if len(values) == size:
        return values
    place = np.arange(size) * (len(values) / size)
    low = np.floor(place).astype(np.int64)
    part = (place - low).astype(np.float32)
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = size
        fraction = part.reshape(shape)
        before, after = np.take(values, low, axis), np.take(values, (low + 1) % values.shape[axis], axis)
        values = before + fraction * (after - before)
    return values
