"""Noise power of an image, by which scores and reconstructions are weighted and images are scaled.

sigma^2(|k|) is the expected |F(k)|^2 of a pixel-sized piece of noise, averaged over windowed patches and over
rings (Welch's method). Particles are a per cent of the power and are left in. Pixels that were filled hold no
noise: the power of a patch is that of its other pixels, and a patch of fewer than half is left out, as is one that
is far louder or quieter than most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.errors import BlankImageError, InputError
from mpop.geometry.frequencies import wrapped_indices

PATCH = 256
PATCHES = 8
"""At most so many along each axis, evenly spread; they overlap by half at most."""
LEAST_SEEN = 0.1
"""Of a patch that is used at all, if there is none of which half was measured."""
OUTLYING = 4.0
"""Patches of more than so many times the power of the middle one, or of as much less, are no ice."""


@dataclass(frozen=True)
class NoiseSpectrum:
    """power: (k,) E|F|^2 per pixel at frequency (k,) cycles per pixel, so that the FFT of an L x L piece has
    power L^2 times this."""

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]

    def at(self, frequency: NDArray[np.floating]) -> NDArray[np.float64]:
        """Power at any frequency (cycles per pixel), linear between rings."""
        return np.interp(frequency, self.frequency, self.power)

    @property
    def level(self) -> float:
        """The power that half of all components exceed: that of the detector's noise, however loud the ice or the
        background is in the few components of low frequency."""
        order = np.argsort(self.power)
        components = np.cumsum(np.arange(len(self.power))[order])  # a ring has as many as its radius says
        return float(self.power[order][np.searchsorted(components, components[-1] / 2)])

    def scaled(self, factor: float) -> NoiseSpectrum:
        """That of the same image times a factor."""
        return NoiseSpectrum(self.frequency, self.power * factor**2)


def unit_factor(noise: NoiseSpectrum, pixel_size_A: float) -> float:
    """By what an image is multiplied so that its noise has power 1 per A^2: the sum of the image over an area then
    has noise of the variance that the area has in A^2, whatever the gain and the pixel size."""
    return pixel_size_A / float(np.sqrt(noise.level))


def noise_spectrum(image: NDArray[np.float32], present: NDArray[np.bool_] | None = None) -> NoiseSpectrum:
    """The noise power of an image (y, x). present: which of its pixels were measured; None: all.

    Raises BlankImageError for an image without enough pixels, and InputError for one without noise.
    """
    size = min(PATCH, *image.shape) // 2 * 2
    window = np.hanning(size).astype(np.float32)
    window = np.outer(window, window)
    weight = np.square(window)
    whole = float(weight.sum(dtype=np.float64))
    spectra, parts = [], []
    for y in _starts(image.shape[0], size):
        for x in _starts(image.shape[1], size):
            patch = image[y : y + size, x : x + size]
            seen = whole
            if present is None:
                patch = patch - patch.mean()
            else:
                here = present[y : y + size, x : x + size]
                seen = float((weight * here).sum(dtype=np.float64))
                if seen < LEAST_SEEN * whole:
                    continue
                patch = np.where(here, patch - patch[here].mean(), np.float32(0))
            spectrum = np.asarray(scipy.fft.rfft2(patch * window))
            spectra.append(np.square(np.abs(spectrum)))
            parts.append(seen)
    if not spectra:
        raise BlankImageError("hardly any pixel of the image was measured: the rest is blank or dirt")
    power = np.array([spectrum.mean() / seen for spectrum, seen in zip(spectra, parts, strict=True)])
    seen = np.array(parts)
    usual = seen >= min(whole / 2, seen.max())
    middle = np.median(power[usual])
    usual &= (power <= OUTLYING * middle) & (power >= middle / OUTLYING)
    total = np.zeros((size, size // 2 + 1))
    for number in np.flatnonzero(usual):
        total += spectra[number]
    return ring_means(total / seen[usual].sum())


def _starts(length: int, size: int) -> list[int]:
    """Where patches begin along an axis."""
    count = min(PATCHES, (length - size) // (size // 2) + 1)
    return np.linspace(0, length - size, count).astype(int).tolist()


def ring_means(total: NDArray[np.float64]) -> NoiseSpectrum:
    """The spectrum of power (size, size // 2 + 1) by its mean over rings; the one at 0 is taken from the next.

    Raises InputError when a ring has no power.
    """
    size = len(total)
    radius = np.hypot(wrapped_indices(size)[:, None], np.arange(size // 2 + 1))
    ring = np.rint(radius).astype(int).ravel()
    rings = size // 2 + 1
    power = (np.bincount(ring, total.ravel()) / np.bincount(ring))[:rings]
    power[0] = power[1]  # the mean was removed
    if not np.all(power > 0):
        raise InputError("the image has no noise in some frequency band (constant or filtered to zero)")
    return NoiseSpectrum(np.arange(rings) / size, power)
