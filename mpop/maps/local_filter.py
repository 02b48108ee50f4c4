"""The mean of two half-maps, filtered at every place by what is known there.

The spectrum is split into bands, triangles in log frequency that add up to one. Each band is multiplied at
every place by sqrt(2 FSC / (1 + FSC)) of the local FSC (Rosenthal & Henderson 2003), and by 0 beyond the local
resolution. Where nothing is resolved, nothing is left.
"""

from __future__ import annotations

import numpy as np

from mpop.geometry.frequencies import even_fast_size
from mpop.maps.band_means import STEP
from mpop.maps.bands import Map, cut, interpolate
from mpop.maps.filters import inverse, transform
from mpop.maps.fsc import fsc_weights
from mpop.maps.local_resolution import LocalResolution
from mpop.maps.shells import shell_radius


def local_filter(
    mean: Map, mask: Map, local: LocalResolution, pixel_size_A: float, bfactor_A2: float = 0.0
) -> Map:
    """The filtered map inside the mask.

    bfactor_A2: amplitudes are multiplied by exp(-B k^2 / 4); negative sharpens.
    """
    box = len(mean)
    spectrum = transform(mean)
    resolved = np.log(np.maximum(local.frequency, np.float32(1e-3)))
    total = np.zeros_like(spectrum)
    for number, centre in enumerate(local.bands):
        size = min(even_fast_size(2.2 * float(centre) * np.exp(STEP) + 2), box)
        weight = fsc_weights(local.correlation[number].astype(np.float64))
        # half of a band that the local resolution falls on is taken
        weight = weight * np.clip((resolved - np.log(centre)) / STEP + 0.5, 0.0, 1.0)
        part = inverse(cut(spectrum, size) * _triangle(size, float(centre), first=number == 0), size)
        weighted = part * interpolate(weight.astype(np.float32), size)
        _add(total, transform(weighted))
    if bfactor_A2:
        radius = shell_radius(box)
        total *= np.exp(np.float32(-bfactor_A2 / 4 / (box * pixel_size_A) ** 2) * np.square(radius))
    return inverse(total, box) * mask


def _triangle(size: int, centre: float, first: bool) -> Map:
    """Share of a band in every frequency; the first holds everything below it."""
    radius = np.maximum(shell_radius(size), np.float32(1e-3))
    distance = np.log(radius / np.float32(centre)) / np.float32(STEP)
    return np.clip(1 - (np.maximum(distance, 0) if first else np.abs(distance)), 0.0, 1.0)


def _add(total: np.ndarray, spectrum: np.ndarray) -> None:
    """Add a spectrum on a smaller grid."""
    total += cut(spectrum, len(total))
