"""Half-maps of points in a sphere, blurred by a B-factor, each with noise of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import multiply_radially
from mpop.maps.masks import soft_sphere

Map = NDArray[np.float32]


@dataclass(frozen=True)
class NoisyHalves:
    """truth: without noise, standard deviation 1 inside of the mask, a soft sphere."""

    half1: Map
    half2: Map
    mask: Map
    truth: Map
    pixel_size_A: float


def noisy_halves(
    box: int = 64, pixel_size_A: float = 1.5, b_factor_A2: float = 100.0, noise: float = 0.5, seed: int = 1
) -> NoisyHalves:
    """White noise of the given standard deviation; the particle's radius is a third of the box."""
    rng = np.random.default_rng(seed)
    radius = box * pixel_size_A / 3
    inside = np.argwhere(soft_sphere(box, pixel_size_A, radius, 1e-3) > 0.5)
    chosen = inside[rng.choice(len(inside), len(inside) // 20, replace=False)]
    points = np.zeros((box,) * 3, dtype=np.float32)
    points[tuple(chosen.T)] = 1
    frequency = np.arange(box) / (box * pixel_size_A)
    truth = multiply_radially(points, np.exp(-b_factor_A2 / 4 * np.square(frequency)))
    mask = soft_sphere(box, pixel_size_A, radius + 2 * pixel_size_A, 8 * pixel_size_A)
    truth /= truth[mask > 0.9].std()
    halves = [truth + noise * rng.standard_normal(truth.shape, dtype=np.float32) for _ in range(2)]
    return NoisyHalves(halves[0], halves[1], mask, truth, pixel_size_A)
