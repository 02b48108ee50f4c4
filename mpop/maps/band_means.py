"""What bands show of an FSC that falls across them, and where the FSC itself falls below a threshold.

A band is a Gaussian in log frequency, by the number of its coefficients. It shows the mean of the FSC over its
width: where the FSC is hollow, as at 0.143, more than there is at its centre, and the more so the steeper it
falls. The crossing of the means is therefore displaced, by up to a tenth. How far is known for a given slope of
the FSC, and the slope is seen in the drop from band to band. The one thing assumed is how an FSC bends within the
width of a band: as if SNR fell as exp(-B k^2 / 2), which B-factors, errors of poses and motion make it do.

Beyond Nyquist there are no coefficients: bands near it are narrower, and what is cut off them is not counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.maps.bands import Map
from mpop.maps.shells import shell_radius

Array = NDArray[np.float64]

STEP = float(np.log(1.1))
"""Distance of bands in log frequency."""
BANDWIDTH = 0.2
"""Standard deviation of a band's amplitudes in log frequency; that of its power is smaller by sqrt(2). A narrower
one would ring beyond the window."""
LEAST_BANDWIDTH = 0.1
"""The same of the last bands, which may ring: waves are short there."""
SLOPES = np.geomspace(0.5, 120.0, 32)
"""-d ln SNR / d ln k at the crossing. An SNR of 8 that falls to an FSC of 0.143 has 7.7, one of 10^5 has 26.6."""
PARTS = (0.0, 0.5, 1.0)
"""Of the way from a band to the next."""
POOLED = 1.5
"""Bands over which slopes are pooled, as a standard deviation."""


def bandwidths(bands: Array, nyquist: float) -> Array:
    """(bands,) standard deviation of amplitudes in log frequency: at most the distance to Nyquist, if possible."""
    return np.clip(np.log(nyquist / bands), LEAST_BANDWIDTH, BANDWIDTH)


def band_amplitudes(size: int, centre: float, width: float) -> Map:
    """Amplitudes of the band around `centre` cycles per box on a grid, rfftn layout.

    The power -3/2 undoes that shells grow by k^3 per log frequency.
    """
    log_ratio = np.log(np.maximum(shell_radius(size), np.float32(0.1)) / np.float32(centre))
    exponent = -np.square(log_ratio) / np.float32(2 * width**2) - np.float32(1.5) * log_ratio
    return np.asarray(np.exp(exponent), dtype=np.float32)


class BandMeans:
    """Means of model curves over the bands around `bands` (cycles per box)."""

    def __init__(self, bands: Array, nyquist: float, threshold: float) -> None:
        self.log_bands, self.log_nyquist, self.threshold = np.log(bands), float(np.log(nyquist)), threshold
        widths = bandwidths(bands, nyquist)[:, None]
        self.offsets = widths * np.linspace(-3, 3, 61)
        inside = self.log_bands[:, None] + self.offsets <= self.log_nyquist + 1e-9
        power = np.exp(-np.square(self.offsets / widths)) * inside
        self.weights = power / power.sum(axis=1, keepdims=True)

    def mean(self, band: int, log_crossing: Array) -> Array:
        """(slopes,) what a band shows of FSCs that cross the threshold there, one for each of SLOPES."""
        distance = self.log_bands[band] + self.offsets[band][:, None] - log_crossing
        return self.weights[band] @ model_fsc(distance, SLOPES, self.threshold)

    def crossing(self, first: int, part: float) -> Array:
        """(slopes,) log frequency at which an FSC crosses whose means do so on this part of the way, by bisection.

        The way leads in a straight line from a band to the next.
        """
        low = np.full(len(SLOPES), self.log_bands[first] - 0.5)
        high = low + 1.0
        for _ in range(16):
            middle = (low + high) / 2
            below = (1 - part) * self.mean(first, middle) + part * self.mean(first + 1, middle) < self.threshold
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def intervals(self) -> tuple[Array, Array]:
        """Drops and shifts, both (bands - 1, 3, slopes), of crossings between a band and the next, at PARTS.

        The drop is that from the band before the two to the one after; the shift is how far beyond the crossing of
        the means the FSC itself crosses, in log frequency.
        """
        count = len(self.log_bands)
        drops, shifts = np.empty((2, count - 1, len(PARTS), len(SLOPES)))
        for first in range(count - 1):
            before, after = neighbours(first, count)
            for number, part in enumerate(PARTS):
                at = self.crossing(first, part)
                drops[first, number] = np.maximum.accumulate(self.mean(before, at) - self.mean(after, at))
                shifts[first, number] = at - self.log_bands[first] - part * STEP
        return drops, shifts

    def shifts(self, drop: Array, part: Array, count: Array) -> Array:
        """(bands - 1, 3) shifts of crossings between a band and the next, at PARTS of the way, where any are.

        All (bands - 1,), by interval. drop: mean over the places that cross there. part: their mean way through
        it, 0 to 1. count: how many they are. One place tells little about its slope, and slopes differ less from
        place to place than crossings do: so they are pooled over all that cross between these bands or near them.
        """
        drops, shifts = self.intervals()
        log_slopes = np.log(SLOPES)
        curves = parabola(drops, part[:, None])
        seen = np.array([np.interp(one, curve, log_slopes) for one, curve in zip(drop, curves, strict=True)])
        interval = np.arange(len(count))
        weight = np.exp(-np.square((interval[:, None] - interval) / POOLED) / 2) * count
        total = weight.sum(axis=1)
        pooled = np.divide(weight @ seen, total, out=np.zeros(len(count)), where=total > 0)
        rows = zip(pooled, shifts, strict=True)
        return np.array([[np.interp(slope, log_slopes, one) for one in at_parts] for slope, at_parts in rows])


def parabola(at_parts: NDArray[np.floating], part: NDArray[np.floating]) -> NDArray[np.floating]:
    """Values (n, 3, ...) at PARTS, between them at `part`, (n, ...) or what broadcasts to it."""
    start, middle, end = at_parts[:, 0], at_parts[:, 1], at_parts[:, 2]
    return start + (end - start) * part + (4 * middle - 2 * (start + end)) * part * (1 - part)


def neighbours(first: int, count: int) -> tuple[int, int]:
    """The bands before and after two adjacent ones, the first of which is given."""
    return max(first - 1, 0), min(first + 2, count - 1)


def model_fsc(distance: Array, slope: Array, threshold: float) -> Array:
    """FSC at a distance in log frequency from where it crosses the threshold: SNR exp(-B k^2 / 2), slope B k^2."""
    exponent = -slope * np.expm1(2 * distance) / 2
    ratio = threshold / (1 - threshold) * np.exp(np.clip(exponent, -60.0, 60.0))
    return ratio / (1 + ratio)
