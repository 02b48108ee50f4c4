"""A particle whose Fourier transform is known in closed form: Gaussian blobs at random places in a ball."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

SIGMA = 1.2
"""Width of a blob in voxels: 1e-3 of the power at half of Nyquist, nothing beyond Nyquist."""

N_BLOBS = 150


@dataclass(frozen=True)
class Blobs:
    """position (blobs, 3) x, y, z in voxels from the centre of the box; weight (blobs,)."""

    box: int
    position: NDArray[np.float64]
    weight: NDArray[np.float64]

    @classmethod
    def random(cls, box: int, radius: float, seed: int = 0) -> Blobs:
        """Blobs spread evenly through a ball of this radius in voxels."""
        rng = np.random.default_rng(seed)
        direction = rng.normal(size=(N_BLOBS, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        position = direction * (radius - SIGMA) * rng.uniform(size=(N_BLOBS, 1)) ** (1 / 3)
        return cls(box, position, rng.uniform(0.5, 1.5, N_BLOBS))

    def density(self) -> NDArray[np.float64]:
        """(z, y, x) samples of the density."""
        x, y, z = (_profile(self.box, self.position[:, axis]) for axis in range(3))
        return np.einsum("zb,yb,xb,b->zyx", z, y, x, self.weight, optimize=True)

    def image(self, rotation: NDArray[np.float64]) -> NDArray[np.float64]:
        """(y, x) samples of the projection along z after x_image = rotation x_map."""
        moved = self.position @ rotation.T
        x, y = (_profile(self.box, moved[:, axis]) for axis in range(2))
        return np.sqrt(2 * np.pi) * SIGMA * np.einsum("yb,xb,b->yx", y, x, self.weight)

    def transform(self, k: NDArray[np.float64]) -> NDArray[np.complex128]:
        """sum_x density(x) exp(-2 pi i k.x / box) of k (..., 3) in cycles per box."""
        envelope = (
            (2 * np.pi) ** 1.5 * SIGMA**3 * np.exp(-2 * (np.pi * SIGMA / self.box) ** 2 * np.square(k).sum(-1))
        )
        return envelope * (np.exp(-2j * np.pi / self.box * k @ self.position.T) @ self.weight)


def _profile(box: int, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """(box, blobs)."""
    return np.exp(-np.square((np.arange(box) - box // 2)[:, None] - centre) / (2 * SIGMA**2))


@pytest.fixture
def blobs() -> Callable[[int, float], Blobs]:
    """Makes the particle from the box and its radius."""
    return Blobs.random


@pytest.fixture
def random_rows() -> Callable[[int], NDArray[np.float64]]:
    """Makes (n, 2, 3) slice rows of random rotations: the first two rows of A, x_image = A x_map."""
    return lambda count: Rotation.random(count, random_state=1).as_matrix()[:, :2].copy()
