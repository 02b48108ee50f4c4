"""Masks: where they are 1, where 0, and how they fall."""

from __future__ import annotations

import numpy as np
import pytest
from noisy_halves import noisy_halves

from mpop.maps.fsc import fsc_report
from mpop.maps.masks import particle_mask, soft_edge, soft_sphere


def test_sphere_by_hand() -> None:
    """Pixels of 2 A, radius 10 A, edge 8 A: 1 to voxel 5, 1/2 at 7, 0 from 9 on."""
    mask = soft_sphere(32, 2.0, 10.0, 8.0)
    assert mask.shape == (32, 32, 32)
    assert mask.dtype == np.float32
    line = [1.0] * 6 + [0.5 + 0.5 * np.cos(np.pi / 4), 0.5, 0.5 - 0.5 * np.cos(np.pi / 4)] + [0.0] * 3
    np.testing.assert_allclose(mask[16, 16, 16:28], line, atol=1e-6)
    np.testing.assert_array_equal(mask[16, 16, 16:28], mask[16:28, 16, 16])
    np.testing.assert_array_equal(mask[1:], mask[:0:-1])  # symmetric about the origin voxel


def test_sphere_has_its_volume() -> None:
    mask = soft_sphere(64, 1.5, 30.0, 1e-6)
    assert mask.sum() * 1.5**3 == pytest.approx(4 / 3 * np.pi * 30.0**3, rel=0.01)


def test_soft_edge_leaves_the_inside_and_falls_over_its_width() -> None:
    binary = np.zeros((20, 20, 20), dtype=bool)
    binary[:, :, :8] = True
    mask = soft_edge(binary, 3.0, 12.0)
    assert mask.dtype == np.float32
    line = [1.0] * 8 + [0.5 + 0.5 * np.cos(np.pi * part) for part in (0.25, 0.5, 0.75)] + [0.0] * 9
    np.testing.assert_allclose(mask[4, 9], line, atol=1e-6)


def test_soft_edge_is_the_same_wherever_the_array_ends() -> None:
    """Distances are computed around what is masked only; in the middle of much nothing they must not change."""
    rng = np.random.default_rng(0)
    small = rng.random((14, 16, 12)) > 0.99
    large = np.zeros((60, 60, 60), dtype=bool)
    part = (slice(20, 34), slice(22, 38), slice(18, 30))
    large[part] = small
    expected = _edge_by_brute_force(large, 2.0, 9.0)
    np.testing.assert_allclose(soft_edge(large, 2.0, 9.0), expected, atol=1e-6)
    np.testing.assert_allclose(soft_edge(small, 2.0, 9.0), expected[part], atol=1e-6)
    assert soft_edge(np.zeros((5, 5, 5), dtype=bool), 1.0, 3.0).max() == 0


def _edge_by_brute_force(binary: np.ndarray, pixel_size_A: float, edge_A: float) -> np.ndarray:
    inside = np.argwhere(binary)
    voxels = np.argwhere(np.ones_like(binary))
    nearest = np.min([np.square(voxels - one).sum(axis=1) for one in inside], axis=0)
    part = np.clip(np.sqrt(nearest) * pixel_size_A / edge_A, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * part)).reshape(binary.shape)


@pytest.mark.parametrize(("box", "pixel_size_A", "b_factor"), [(64, 1.5, 60), (96, 1.0, 60), (40, 4.5, 1500)])
def test_the_particle_is_found_in_noise(box: int, pixel_size_A: float, b_factor: float) -> None:
    """A sphere of a third of the box, of points, at a signal-to-noise ratio of one inside of it."""
    maps = noisy_halves(box, pixel_size_A, b_factor, noise=1.0)
    mask = particle_mask((maps.half1 + maps.half2) / 2, pixel_size_A)
    assert mask is not None
    assert mask.dtype == np.float32
    assert mask.min() == 0 and mask.max() == 1
    power = np.square(maps.truth)
    assert (power * (mask > 0.99)).sum() > 0.99 * power.sum()
    radius = box * pixel_size_A / 3
    grown = (1 + 20 / radius) ** 3 * 4 / 3 * np.pi * (radius / pixel_size_A) ** 3
    assert (mask > 0.5).sum() < 1.2 * grown


def test_a_found_mask_does_not_correlate_noise() -> None:
    maps = noisy_halves(64, 1.5, 60.0, noise=1.0)
    mask = particle_mask((maps.half1 + maps.half2) / 2, 1.5)
    assert mask is not None
    report = fsc_report(maps.half1, maps.half2, mask, 1.5)
    assert np.abs(report.phase_randomised.correlation[report.randomised_from + 3 :]).max() < 0.1


def test_crumbs_are_left_out_and_companions_are_not() -> None:
    volume = np.zeros((64, 64, 64), dtype=np.float32)
    volume[20:36, 20:36, 20:36] = 1.0
    volume[42:54, 42:54, 42:54] = 1.0
    volume[8:12, 50:54, 50:54] = 1.0
    mask = particle_mask(volume, 4.0)
    assert mask is not None
    assert mask[28, 28, 28] == mask[48, 48, 48] == 1
    assert mask[10, 52, 52] == 0


def test_nothing_is_found_in_noise() -> None:
    for seed in range(5):
        assert particle_mask(np.random.default_rng(seed).normal(size=(48, 48, 48)), 2.0) is None
