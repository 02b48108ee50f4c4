"""Flat spectra, bands that add up, and noise of a spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.filters import multiply_radially
from mpop.maps.masks import soft_sphere
from mpop.maps.shells import shell_means
from mpop.maps.whitening import amplitudes, band_nodes, bands_of, coloured_noise, noise_amplitudes

BOX, PIXEL_A = 32, 2.0


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, BOX, BOX, BOX), dtype=np.float32)


def test_bands_add_up_to_the_map(noise: np.ndarray) -> None:
    nodes = band_nodes(12, 6)
    amplitude = np.linspace(2, 3, BOX)
    whole = tuple(slice(0, BOX) for _ in range(3))
    bands = bands_of(noise[0], amplitude, nodes, whole)
    wanted = multiply_radially(noise[0], 1 / amplitude[:13])
    np.testing.assert_allclose(bands.sum(axis=0), wanted, atol=1e-5)
    part = bands_of(noise[0], amplitude, nodes, (slice(3, 9), slice(0, 5), slice(1, 32)))
    np.testing.assert_array_equal(part, bands[:, 3:9, 0:5, 1:32])


def test_spectra_are_flat_from_10_A_on(noise: np.ndarray) -> None:
    falling = np.exp(-np.arange(BOX) / 4)
    halves = [multiply_radially(each, falling) for each in noise]
    mask = soft_sphere(BOX, PIXEL_A, 20.0, 10.0)
    amplitude = amplitudes(halves[0], halves[1], mask, PIXEL_A)
    assert np.all(amplitude[:7] == amplitude[7]), "10 A are 6.4 shells"
    flat = multiply_radially(halves[0] * mask, 1 / amplitude)
    power = shell_means(np.square(np.abs(np.fft.rfftn(flat))))
    assert power[8:] == pytest.approx(1.0, rel=0.3)


def test_noise_has_the_spectrum_that_was_measured(noise: np.ndarray) -> None:
    curve = 1 + np.arange(BOX) / 10
    halves = [multiply_radially(each, curve) for each in noise]
    mask = soft_sphere(BOX, PIXEL_A, 20.0, 10.0)
    signal = np.float32(50) * mask
    found = noise_amplitudes(halves[0] + signal, halves[1] + signal, mask)
    assert found[4:16] == pytest.approx(curve[4:16] * BOX**1.5, rel=0.15)
    made = coloured_noise(found, BOX, np.random.default_rng(1))
    power = shell_means(np.square(np.abs(np.fft.rfftn(made))))
    assert np.sqrt(power[4:16]) == pytest.approx(found[4:16], rel=0.1)
