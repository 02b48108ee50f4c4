"""Local resolution of two half-maps.

The maps are filtered to a band first and looked at in a window then, not the other way around. A window or a mask
that comes after the filter correlates nothing (Penczek 2020), so that noise has a local FSC of zero wherever it is
and phases need not be randomised. In a band around frequency k, with a, b the whitened and filtered half-maps, m
the mask and w the window,

    local FSC(x, k) = (w * m r a b)(x) / sqrt( (w * m r a^2)(x) (w * m r b^2)(x) ),    * a convolution,

where the window is a Gaussian of standard deviation 1.2 / k: finer detail is judged from a smaller neighbourhood,
and all bands from the same number of independent coefficients. The factor r is one over the power in a window of
1 / k. It makes all parts of the window count alike; without it a rigid domain, whose power in a high band may be a
hundred times that of a flexible neighbour, would speak for the neighbour too. A much smaller window for r would
make gaps inside a part count like what is beside them, and hold so few coefficients that their chance
agreement, which is power too, would be divided out: at 0.45 / k a low FSC would be found 5 % too low.

A place is resolved up to the frequency that maximises sum_k (FSC - threshold) over bands evenly spaced in log
k, which is where the best falling curve through the values crosses the threshold (isotonic regression). A
chance dip or rise of single bands does not move it far. That is where the means of bands cross; where the FSC does
follows from how steeply it falls (`band_means`). Nothing is reported where the FSC up to there is not
significant: with n independent coefficients in band and window, z = sum n FSC / sqrt(sum n). In maps of pure noise
no place has a positive sum, as a rule.

Bias and spread against planted resolutions are in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.geometry.frequencies import even_fast_size
from mpop.maps.band_means import STEP, BandMeans, band_amplitudes, bandwidths, neighbours, parabola
from mpop.maps.bands import Map, Spectrum, cut, interpolate
from mpop.maps.filters import inverse, scale_shells, transform
from mpop.maps.fsc import THRESHOLD
from mpop.maps.shells import mean_amplitudes, shell_radius

COARSEST_A = 50.0
"""Bands begin here; a place that is resolved to less is reported as not resolved."""
LEAST_CYCLES = 2.0
"""Cycles per box of the lowest band, if that is finer."""
LEAST_AMPLITUDE = 1e-7
"""Of the strongest shell, below which a shell is empty."""
WINDOW = 1.2
"""Standard deviation of the window, in wavelengths."""
EQUAL_POWER_WINDOW = 1.0
"""Likewise, of the window in which power is made equal."""
LEAST_POWER = 1e-4
"""Of the mean, below which power is not made up for: there is nothing, such as beyond a sphere that was cut."""
SIGNIFICANT_Z = 4.0


@dataclass(frozen=True)
class LocalResolution:
    """What is known of every place.

    resolution_A: (z, y, x), 0 outside the mask and where nothing is resolved. frequency: (c, c, c) cycles per
    box up to which a place is resolved, 0 where not. bands: cycles per box; correlation: the local FSC by band,
    (c, c, c).
    """

    resolution_A: Map
    frequency: Map
    bands: NDArray[np.float64]
    correlation: Sequence[NDArray[np.float16]]
    threshold: float


def local_resolution(
    half1: Map, half2: Map, mask: Map, pixel_size_A: float, threshold: float = THRESHOLD
) -> LocalResolution:
    """Local resolution of two half-maps (z, y, x) inside a mask from 0 to 1, at an FSC of `threshold`."""
    box = len(half1)
    bands = band_frequencies(box, pixel_size_A)
    grid = even_fast_size(box / 2)
    correlations: list[NDArray[np.float16]] = []
    crossing = _Crossing(grid, threshold)
    for correlation, independent in _local_correlations(half1, half2, mask, bands, grid):
        crossing.add(correlation, independent)
        correlations.append(correlation.astype(np.float16))
    frequency = _frequencies(crossing, correlations, interpolate(mask, grid), BandMeans(bands, box / 2, threshold))
    found = interpolate((frequency > 0).astype(np.float32), box)
    # interpolated over the found points only
    weighted = interpolate(frequency, box)
    cycles = np.divide(weighted, found, out=np.zeros_like(weighted), where=(found >= 0.5) & (mask >= 0.5))
    resolution = np.divide(box * pixel_size_A, cycles, out=np.zeros_like(cycles), where=cycles > 0)
    return LocalResolution(resolution, frequency, bands, correlations, threshold)


def band_frequencies(box: int, pixel_size_A: float) -> NDArray[np.float64]:
    """Cycles per box of all bands, evenly spaced in log frequency up to Nyquist."""
    first = max(box * pixel_size_A / COARSEST_A, LEAST_CYCLES)
    count = int(np.log(box / 2 / first) / STEP) + 1
    if count < 3:
        raise InputError(
            f"a box of {box} voxels of {pixel_size_A:g} A has no room for local resolution; "
            f"it must hold several waves of {COARSEST_A:g} A or shorter"
        )
    return first * np.exp(STEP * np.arange(count))


def _local_correlations(
    half1: Map, half2: Map, mask: Map, bands: NDArray[np.float64], grid: int
) -> Iterator[tuple[Map, Map]]:
    """By band: the local FSC and the number of independent coefficients behind it, both (grid, grid, grid)."""
    spectra = _whitened(half1, mask), _whitened(half2, mask)
    mask_spectrum = transform(mask)
    for centre, width in zip(bands, bandwidths(bands, len(half1) / 2), strict=True):
        size = min(even_fast_size(2.1 * centre * np.exp(2 * width) + 2), len(half1))
        shape = band_amplitudes(size, float(centre), float(width))
        first, second = (inverse(cut(spectrum, size) * shape, size) for spectrum in spectra)
        inside = np.clip(inverse(cut(mask_spectrum, size), size), 0.0, 1.0)
        window = _gaussian(grid, WINDOW / float(centre))
        products = _equal_power(first, second, inside, float(centre))
        cross, power1, power2 = (inverse(cut(transform(one), grid) * window, grid) for one in products)
        covered = np.clip(inverse(cut(mask_spectrum, grid) * window, grid), 0.0, 1.0)
        norm = np.sqrt(np.maximum(power1, 0) * np.maximum(power2, 0))
        usable = (covered > 0.01) & (norm > 0)
        correlation = np.divide(cross, norm, out=np.zeros_like(cross), where=usable)
        yield np.clip(correlation, -1.0, 1.0), _independent(float(centre)) * covered


def _whitened(half: Map, mask: Map) -> Spectrum:
    """The spectrum of a half-map with the same mean amplitude in all shells, as measured inside the mask.

    A local FSC is the same for any radial filter, were it not for the width of a band: where signal falls off
    steeply, the low side of a band would decide.
    """
    amplitude = mean_amplitudes(transform(half * mask))
    floor = LEAST_AMPLITUDE * float(np.max(amplitude))
    spectrum = transform(half)
    scale_shells(spectrum, np.divide(1, amplitude, out=np.zeros_like(amplitude), where=amplitude > floor))
    return spectrum


def _gaussian(size: int, sd: float) -> Map:
    """Transform of a Gaussian window; sd in boxes."""
    return np.exp(np.float32(-2 * np.pi**2 * sd**2) * np.square(shell_radius(size)))


def _equal_power(first: Map, second: Map, inside: Map, centre: float) -> tuple[Map, Map, Map]:
    """The products m r a b, m r a^2 and m r b^2 of a band."""
    size = len(first)
    narrow = _gaussian(size, EQUAL_POWER_WINDOW / centre)
    squares = inside * first * first, inside * second * second
    powers = [inverse(transform(one) * narrow, size) for one in squares]
    floors = [np.maximum(power, np.float32(LEAST_POWER) * power.mean()) for power in powers]
    factor = np.sqrt(floors[0] * floors[1])
    factor = np.divide(1, factor, out=np.zeros_like(factor), where=factor > 0)
    return inside * first * second * factor, squares[0] * factor, squares[1] * factor


def _independent(centre: float) -> float:
    """Independent coefficients that one step of bands and the whole window hold: the product of their volumes."""
    window = (2 * np.sqrt(np.pi) * WINDOW / centre) ** 3
    return min(window, 1.0) * 4 * np.pi * centre**3 * STEP


class _Crossing:
    """The last band before the falling fit crosses a threshold, one band after the other, at all places."""

    def __init__(self, grid: int, threshold: float) -> None:
        shape = (grid,) * 3
        self.threshold, self.count = np.float32(threshold), 0
        self.sum, self.highest = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.signal, self.variance, self.z = (np.zeros(shape, np.float32) for _ in range(3))
        self.last = np.zeros(shape, np.int16)

    def add(self, correlation: Map, independent: Map) -> None:
        """The next band."""
        self.sum += correlation - self.threshold
        self.signal += independent * correlation
        self.variance += independent
        higher = self.sum > self.highest
        self.highest[higher] = self.sum[higher]
        self.last[higher] = self.count
        self.z[higher] = self.signal[higher] / np.sqrt(self.variance[higher])
        self.count += 1

    @property
    def found(self) -> NDArray[np.bool_]:
        """Where anything is significant."""
        return (self.highest > 0) & (self.z > SIGNIFICANT_Z)


def _frequencies(
    crossing: _Crossing, correlations: Sequence[NDArray[np.float16]], inside: Map, means: BandMeans
) -> Map:
    """Cycles per box up to which places are resolved, 0 where nothing is found.

    Slopes are learnt inside the mask. What does not cross before the last band is resolved up to Nyquist.
    """
    last, count = np.where(crossing.found, crossing.last, -1), len(correlations)
    part = np.zeros(last.shape, np.float32)
    weight, drop, mean_part = np.zeros((3, count - 1))
    for band in np.unique(last[(last >= 0) & (last < count - 1)]):
        places = last == band
        needed = (band, band + 1, *neighbours(int(band), count))
        here, beyond, before, after = (correlations[one][places].astype(np.float32) for one in needed)
        part[places] = _part(here, beyond, crossing.threshold)
        share = np.maximum(inside[places], np.float32(1e-6))
        weight[band] = share.sum()
        drop[band] = (share * (before - after)).sum() / weight[band]
        mean_part[band] = (share * part[places]).sum() / weight[band]
    shifts = np.vstack([means.shifts(drop, mean_part, weight), np.zeros((1, 3))]).astype(np.float32)
    shift = parabola(shifts[last.ravel()], part.ravel()).reshape(part.shape)
    found = np.asarray(means.log_bands, dtype=np.float32)[last] + np.float32(STEP) * part + shift
    found = np.where(last == count - 1, np.inf, found)
    frequency = np.exp(np.minimum(found, np.float32(means.log_nyquist)))
    return np.asarray(np.where(last >= 0, frequency, 0), dtype=np.float32)


def _part(here: NDArray[np.float32], beyond: NDArray[np.float32], threshold: np.float32) -> NDArray[np.float32]:
    """Way from one band to the next, 0 to 1, after which the line between their values meets the threshold."""
    fall = np.maximum(here - beyond, np.float32(1e-3))
    return np.asarray(np.clip((here - threshold) / fall, 0.0, 1.0), dtype=np.float32)
