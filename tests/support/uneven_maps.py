"""Half-maps of atoms in a sphere, with directions around z hardly measured; by numpy's transforms alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

BOX = 48
GAP_DEG = 40.0
"""Half angle of the cones around z that are poor."""
SAMPLING = 0.0005
"""How often coefficients there were measured, in parts of those elsewhere."""
REGULARISATION = 0.1
"""What is added to the sampling before data are divided by it."""


def frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Polar angle (degrees, 0 to 90) and radius of each coefficient in rfftn layout."""
    axis = np.fft.fftfreq(BOX, 1 / BOX)
    z, y, x = np.meshgrid(axis, axis, np.arange(BOX // 2 + 1), indexing="ij")
    radius = np.sqrt(z * z + y * y + x * x)
    return np.rad2deg(np.arccos(np.abs(z) / np.maximum(radius, 1e-9))), radius


@dataclass(frozen=True)
class UnevenMaps:
    """truth, half-maps and mask. spare: one more half-map. noise: its power in good directions. amplitude: what a
    half-map holds of each coefficient of the truth; noise_power: and how much noise, both in rfftn layout."""

    truth: np.ndarray
    half1: np.ndarray
    half2: np.ndarray
    spare: np.ndarray
    mask: np.ndarray
    noise: float
    amplitude: np.ndarray
    noise_power: np.ndarray

    def measured(self, noise_part: float) -> np.ndarray:
        """The part of each coefficient that is known from data, of a truth with its mean power in each shell."""
        radius = frequencies()[1]
        signal = np.square(self.amplitude * _shell_amplitude(np.fft.rfftn(self.truth), radius))
        return signal / (signal + noise_part * self.noise_power)

    def agreement(self, volume: np.ndarray, poor: bool) -> float:
        """Correlation with the truth over shells 4 to 20, where directions are poor or where they are good."""
        angle, radius = frequencies()
        part = (radius > 4) & (radius < 20) & (angle < GAP_DEG - 4 if poor else angle > GAP_DEG + 4)
        first, second = (np.fft.rfftn(one * self.mask)[part] for one in (self.truth, volume))
        # each shell counts alike
        first, second = (one / _shell_amplitude(one, radius[part]) for one in (first, second))
        return float(np.sum(first * second.conj()).real / np.linalg.norm(first) / np.linalg.norm(second))


def _shell_amplitude(values: np.ndarray, radius: np.ndarray) -> np.ndarray:
    shell = np.rint(radius).astype(int)
    of_each = shell.ravel()
    power = np.bincount(of_each, np.abs(values.ravel()) ** 2) / np.maximum(np.bincount(of_each), 1)
    return np.sqrt(power)[shell]


def uneven_maps(gap: bool = True, noise: float = 0.02, seed: int = 0, poor: float = SAMPLING) -> UnevenMaps:
    """noise: its power in parts of the density's in shell 8. poor: the sampling in the gap."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(90, 3))
    places *= (rng.random(90) ** (1 / 3) * 13 / np.linalg.norm(places, axis=1))[:, None]
    truth = np.zeros((BOX,) * 3)
    np.add.at(truth, tuple(np.rint(places + BOX // 2).astype(int).T), rng.uniform(0.5, 1.5, 90))
    truth = gaussian_filter(truth, 0.9)
    mask = np.clip((17 - _distance()) / 3, 0, 1)
    angle, radius = frequencies()
    sampling = np.where((angle < GAP_DEG) & (radius > 2) & gap, poor, 1.0)
    transfer = sampling * (1 + REGULARISATION) / (sampling + REGULARISATION)
    spectrum = np.fft.rfftn(truth)
    power = noise * float(np.mean(np.abs(spectrum[np.rint(radius) == 8]) ** 2))
    halves = [
        np.fft.irfftn(
            transfer
            * (spectrum + np.sqrt(power / sampling) * np.fft.rfftn(rng.normal(size=truth.shape)) / BOX**1.5),
            s=truth.shape,
            axes=(0, 1, 2),
        )
        for _ in range(3)
    ]
    half1, half2, spare = (half.astype(np.float32) for half in halves)
    noise_power = np.square(transfer) * power / sampling
    return UnevenMaps(truth, half1, half2, spare, mask.astype(np.float32), power, transfer, noise_power)


def _distance() -> np.ndarray:
    axis = np.arange(BOX) - BOX // 2
    return np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
