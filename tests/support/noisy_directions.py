"""Half-maps of a random ball whose noise may be stronger in some directions."""

from __future__ import annotations

import math

import numpy as np

from mpop.maps.filters import inverse, multiply_radially, transform
from mpop.maps.masks import soft_sphere
from mpop.maps.shells import shell_radius


def half_maps(seed: int, noise_along_z: float = 1.0, box: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two half-maps and a mask, (box, box, box). noise_along_z: gain of the noise within 45 degrees of z."""
    rng = np.random.default_rng(seed)
    mask = soft_sphere(box, 1.0, box / 3, 4.0)
    ball = rng.standard_normal(mask.shape, dtype=np.float32) * soft_sphere(box, 1.0, box / 3 - 2, 3.0)
    signal = multiply_radially(ball, np.exp(-np.arange(box) * 12 / box))
    signal /= signal[mask > 0.5].std()
    kz = np.abs(np.fft.fftfreq(box) * box)[:, None, None]
    gain = np.where(kz > shell_radius(box) * math.sqrt(0.5), noise_along_z, 1.0).astype(np.float32)
    halves = [
        signal + 0.3 * inverse(transform(rng.standard_normal(mask.shape, dtype=np.float32)) * gain, box)
        for _ in range(2)
    ]
    return halves[0], halves[1], mask
