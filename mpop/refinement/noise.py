"""Noise power of a tilt image, by which scores and reconstructions are weighted.

sigma^2(|k|) is the expected |F(k)|^2 of a pixel-sized piece of noise, averaged over overlapping windowed
patches and over rings (Welch's method). Particles are a per cent of the power and are left in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.geometry.frequencies import wrapped_indices

PATCH = 256


@dataclass(frozen=True)
class NoiseSpectrum:
    """power: (k,) E|F|^2 per pixel at frequency (k,) cycles per pixel, so that the FFT of an L x L piece has
    power L^2 times this."""

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]

    def at(self, frequency: NDArray[np.floating]) -> NDArray[np.float64]:
        """Power at any frequency (cycles per pixel), linear between rings."""
        return np.interp(frequency, self.frequency, self.power)


def noise_spectrum(image: NDArray[np.float32]) -> NoiseSpectrum:
    """The noise power of an image (y, x)."""
    size = min(PATCH, *image.shape) // 2 * 2
    window = np.hanning(size).astype(np.float32)
    window = np.outer(window, window)
    step = size // 2
    corners = [
        (y, x)
        for y in range(0, image.shape[0] - size + 1, step)
        for x in range(0, image.shape[1] - size + 1, step)
    ]
    total = np.zeros((size, size // 2 + 1))
    for y, x in corners:
        patch = image[y : y + size, x : x + size]
        spectrum = np.asarray(scipy.fft.rfft2((patch - patch.mean()) * window))
        total += np.square(np.abs(spectrum))
    total /= len(corners) * np.square(window, dtype=np.float64).sum()
    return ring_means(total)


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
