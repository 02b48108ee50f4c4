"""What the benchmark of stores keeps: one species as `.npy` files, and a second version of it.

Three maps of `box`^3 float32 (two half-maps of one signal with their own noise, and a filtered one that is zero
outside the particle), a table of 20,000 particles with 15 float64 columns, sorted by tilt series, and a warp grid
for each of 200 series. In the second version one half-map is another one, and a tenth of the particles have moved.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

BOX = 256
SERIES = 200
PARTICLES = 20_000
COLUMNS = 15
SERIES_COLUMN = 1
GRID = (3, 16, 16)
MAPS = ("half1", "half2", "filtered")
CHANGED = ("half1.npy", "particles.npy")
"""Files that differ between the versions."""


def generate(folder: Path, box: int = BOX) -> None:
    """Write `v1` and `v2`, 208 MB each at full size."""
    rng = np.random.default_rng(7)
    axis = (np.arange(box) - box / 2) * (BOX / box)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    signal = _smooth_noise(rng, box, 2.0)
    signal = np.maximum(signal / signal.std(), 0.3) / (1 + np.exp((radius - 80) / 3))
    half1, half2, later = (
        (factor * signal + 0.35 * _smooth_noise(rng, box, 0.7)).astype(np.float32) for factor in (1.0, 1.0, 1.01)
    )
    filtered = gaussian_filter((half1 + half2) / 2, 1.0)
    filtered[radius > 92] = 0
    table = rng.normal(size=(PARTICLES, COLUMNS))
    table[:, 0] = np.arange(PARTICLES)
    table[:, SERIES_COLUMN] = np.sort(rng.integers(0, SERIES, PARTICLES))
    first, second = folder / "v1", folder / "v2"
    (first / "grids").mkdir(parents=True)
    np.save(first / "half1.npy", half1)
    np.save(first / "half2.npy", half2)
    np.save(first / "filtered.npy", filtered)
    np.save(first / "particles.npy", table)
    for number in range(SERIES):
        np.save(first / "grids" / f"{number:03d}.npy", rng.normal(size=GRID).astype(np.float32))
    shutil.copytree(first, second)
    np.save(second / "half1.npy", later)
    moved = slice(3 * PARTICLES // 10, 4 * PARTICLES // 10)
    table[moved, 2:] += rng.normal(scale=0.01, size=table[moved, 2:].shape)
    np.save(second / "particles.npy", table)


def _smooth_noise(rng: np.random.Generator, box: int, sigma: float) -> NDArray[np.float32]:
    return gaussian_filter(rng.standard_normal((box, box, box), dtype=np.float32), sigma)
