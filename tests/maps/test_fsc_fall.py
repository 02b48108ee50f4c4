"""The test that an iteration must pass, on half-maps of a known signal in fresh noise."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import FSCReport, fsc_report
from mpop.maps.fsc_fall import fall

BOX, PIXEL_A = 48, 4.0


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    radius = np.linalg.norm(np.indices((BOX,) * 3) - BOX // 2, axis=0)
    return np.clip((16 - radius) / 3, 0, 1).astype(np.float32)


def report(mask: np.ndarray, particles: float, seed: int) -> FSCReport:
    """Of half-maps with a signal that falls with frequency, as of so many particles."""
    rng = np.random.default_rng(seed)
    white = np.random.default_rng(0).normal(size=(BOX,) * 3).astype(np.float32)
    signal = multiply_radially(white * (mask > 0), 20 * np.exp(-np.arange(BOX // 2 + 1) / 3)) * np.sqrt(particles)
    halves = [signal + rng.normal(size=signal.shape).astype(np.float32) for _ in range(2)]
    return fsc_report(halves[0], halves[1], mask, PIXEL_A)


def test_z_has_the_variance_of_chance(mask: np.ndarray) -> None:
    """As many particles as the loss that is tolerated leaves, in fresh noise: nothing but chance."""
    found = [fall(report(mask, 1.0, seed), report(mask, 0.9, 1000 + seed), mask, 1) for seed in range(30)]
    z = np.array([one.z for one in found if one is not None])
    assert len(z) == 30
    assert abs(z.mean()) < 4 / np.sqrt(30)
    assert 0.5 < z.std() < 1.5


@pytest.mark.parametrize("particles", [0.95, 1.0, 3.0])
def test_half_maps_as_good_as_before_or_better_pass_in_silence(mask: np.ndarray, particles: float) -> None:
    found = fall(report(mask, 1.0, 1), report(mask, particles, 2), mask, 1)
    assert found is not None
    assert not found.certain


@pytest.mark.parametrize("particles", [0.0, 0.3])
def test_half_maps_that_are_much_worse_are_certain(mask: np.ndarray, particles: float) -> None:
    before, after = report(mask, 1.0, 1), report(mask, particles, 2)
    found = fall(before, after, mask, 1)
    assert found is not None
    assert found.certain
    assert f"to {before.resolution_A:.1f} A went from {found.before:.2f} to {found.after:.2f}" in found.words
    symmetric = fall(before, after, mask, 4)
    assert symmetric is not None
    assert symmetric.z == pytest.approx(found.z / 2), "copies of one unit are one measurement"


def test_noise_has_nothing_to_lose(mask: np.ndarray) -> None:
    assert fall(report(mask, 0.0, 1), report(mask, 1.0, 2), mask, 1) is None
