"""Half-maps whose local resolution is known, for measurements and tests.

A region of resolution d has a random signal of power S0 exp(-B k^2 / 2) over white noise of power 1 in each
half-map, with B such that the FSC S / (S + 1) is 0.143 at k = 1 / d. All regions share one pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Map = NDArray[np.float32]

SNR_AT_THRESHOLD = 0.143 / (1 - 0.143)


@dataclass(frozen=True)
class Planted:
    """resolution_A: 0 where there is no particle. mask: the particle with a soft edge."""

    half1: Map
    half2: Map
    signal: Map
    resolution_A: NDArray[np.float64]
    mask: Map
    pixel_size_A: float


def bfactor_A2(resolution_A: float, low_snr: float) -> float:
    """B of a region."""
    return float(2 * np.log(low_snr / SNR_AT_THRESHOLD) * resolution_A**2)


def snr(frequency: NDArray[np.floating], resolution_A: float, low_snr: float) -> NDArray[np.float64]:
    """Signal power over noise power of a region."""
    return low_snr * np.exp(-bfactor_A2(resolution_A, low_snr) * np.square(frequency, dtype=np.float64) / 2)


def planted(
    box: int,
    pixel_size_A: float,
    resolutions_A: Sequence[float],
    low_snr: float = 30.0,
    seed: int = 0,
    edge_A: float = 6.0,
    radius_part: float = 0.36,
) -> Planted:
    """A ball cut into equal wedges around z, one for each resolution; resolution 0 plants nothing but noise."""
    random = np.random.default_rng(seed)
    axis = (np.arange(box) - box // 2) * pixel_size_A
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(x * x + y * y + z * z)
    ball = radius < radius_part * box * pixel_size_A
    wedge = (np.arctan2(y, x) + np.pi) / (2 * np.pi) * len(resolutions_A)
    region = np.minimum(wedge.astype(int), len(resolutions_A) - 1)
    half = np.fft.rfftfreq(box, pixel_size_A)
    full = np.fft.fftfreq(box, pixel_size_A)
    frequency = np.sqrt(full[:, None, None] ** 2 + full[None, :, None] ** 2 + half**2)
    pattern = np.fft.rfftn(random.standard_normal((box,) * 3))
    signal = np.zeros((box,) * 3)
    for number, resolution in enumerate(resolutions_A):
        if resolution:
            damped = np.fft.irfftn(
                pattern * np.sqrt(snr(frequency, resolution, low_snr)), s=(box,) * 3, axes=(0, 1, 2)
            )
            inside = (ball & (region == number)).astype(np.float64)
            signal += damped * gaussian_filter(inside, edge_A / pixel_size_A / 2.355)
    halves = [(signal + random.standard_normal((box,) * 3)).astype(np.float32) for _ in range(2)]
    truth = np.where(ball, np.asarray(resolutions_A, dtype=np.float64)[region], 0.0)
    mask = np.clip(1 - (radius - radius_part * box * pixel_size_A) / edge_A, 0, 1).astype(np.float32)
    return Planted(halves[0], halves[1], signal.astype(np.float32), truth, mask, pixel_size_A)
