"""Filters on plane waves and Gaussians, whose spectra are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop.maps.filters import inverse, low_pass, multiply_radially, resample, resize, transform
from mpop.maps.shells import shell_radius

BOX = 32


def wave(*k: int) -> np.ndarray:
    """cos of k periods per box along z, y, x."""
    z, y, x = np.indices((BOX,) * 3) / BOX
    return np.cos(2 * np.pi * (k[0] * z + k[1] * y + k[2] * x)).astype(np.float32)


def gaussian(box: int, pixel_size_A: float, sigma_A: float, centre_A: tuple[float, float, float]) -> np.ndarray:
    axes = (np.indices((box,) * 3) - box // 2) * pixel_size_A
    distance = sum((axis - c) ** 2 for axis, c in zip(axes, centre_A, strict=True))
    return np.exp(-np.asarray(distance) / (2 * sigma_A**2)).astype(np.float32)


@pytest.mark.parametrize("box", [8, 9])
def test_shell_radius(box: int) -> None:
    radius = shell_radius(box)
    assert radius.shape == (box, box, box // 2 + 1)
    assert radius[0, 0, 0] == 0
    assert radius[-1, 2, 3] == pytest.approx(np.sqrt(1 + 4 + 9))


def test_transform_and_back_in_single_precision() -> None:
    volume = np.random.default_rng(0).normal(size=(BOX,) * 3).astype(np.float32)
    spectrum = transform(volume)
    assert spectrum.dtype == np.complex64
    back = inverse(spectrum, BOX)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, volume, atol=1e-5)


@pytest.mark.parametrize("k", [(0, 0, 3), (0, 4, 0), (5, 0, 0)])
def test_radial_curve_scales_each_wave_by_its_shell(k: tuple[int, int, int]) -> None:
    curve = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    np.testing.assert_allclose(multiply_radially(wave(*k), curve), curve[sum(k)] * wave(*k), atol=1e-5)


def test_radial_curve_is_linear_between_shells_and_zero_beyond() -> None:
    curve = np.array([0.0, 0.0, 1.0, 3.0])
    between = 1 + 2 * (np.sqrt(6) - 2)
    np.testing.assert_allclose(multiply_radially(wave(1, 1, 2), curve), between * wave(1, 1, 2), atol=1e-5)
    np.testing.assert_allclose(multiply_radially(wave(0, 0, 4), curve), 0, atol=1e-5)


def test_low_pass_is_half_at_the_resolution() -> None:
    """Box of 32 voxels of 2 A: 8 A is shell 8; the edge goes from shell 6.5 to 9.5."""
    high = 0.5 + 0.5 * np.cos(np.pi / 6)
    for shell, gain in [(0, 1.0), (6, 1.0), (7, high), (8, 0.5), (9, 1 - high), (10, 0.0)]:
        np.testing.assert_allclose(low_pass(wave(shell, 0, 0), 2.0, 8.0), gain * wave(shell, 0, 0), atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [(32, 48), (48, 32), (32, 32), (32, 30)])
def test_resampling_keeps_densities_in_place(old: int, new: int) -> None:
    """The same Gaussian sampled on both grids; extent 96 A."""
    before, after = (gaussian(box, 96 / box, 6.0, (10.0, -4.0, 7.0)) for box in (old, new))
    found = resample(before, new)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, after, atol=1e-4)


def test_resampling_down_and_up_is_a_low_pass_only() -> None:
    volume = wave(3, 2, 1) + wave(0, 0, 12)
    np.testing.assert_allclose(resample(resample(volume, 16), BOX), wave(3, 2, 1), atol=1e-4)


@given(old=st.integers(2, 20), new=st.integers(2, 20), seed=st.integers(0, 1000))
def test_resizing_keeps_the_origin_voxel(old: int, new: int, seed: int) -> None:
    volume = np.random.default_rng(seed).normal(size=(old,) * 3).astype(np.float32)
    found = resize(volume, new)
    assert found.shape == (new,) * 3
    assert found[(new // 2,) * 3] == volume[(old // 2,) * 3]
    if new >= old:
        np.testing.assert_array_equal(resize(found, old), volume)
        assert found.sum(dtype=float) == pytest.approx(volume.sum(dtype=float), abs=1e-3)
