"""A map from padded sums, without RELION; against RELION's own see tests/jobs/maps/test_relion_hook.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mpop.maps.fsc import fsc
from mpop.maps.gridding import SliceSums, coefficient_weights, reconstruct

BOX, REACH = 24, 11


def phantom() -> np.ndarray:
    rng = np.random.default_rng(1)
    volume = np.zeros((BOX,) * 3)
    volume[tuple(rng.integers(7, 17, (3, 30)))] = rng.uniform(1, 2, 30)
    return gaussian_filter(volume, 1.0)


def sums_of(volume: np.ndarray, weight: np.ndarray, padding: int = 2) -> SliceSums:
    """What slices of a map would add up to if they fell on grid points alone."""
    padded = padding * BOX
    wide = np.zeros((padded,) * 3)
    inner = slice(padded // 2 - BOX // 2, padded // 2 + BOX // 2)
    axis = np.square(np.arange(BOX) - BOX // 2)
    distance = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis)
    # the trilinear kernel of the slices, which reconstruction divides out again
    wide[inner, inner, inner] = volume * np.sinc(distance / padded) ** 2
    spectrum = np.fft.rfftn(np.fft.ifftshift(wide)) / BOX**2
    return SliceSums((spectrum * weight).astype(np.complex64), weight.astype(np.float32), BOX, padding, REACH)


def even_weight(padding: int = 2) -> np.ndarray:
    padded = padding * BOX
    return np.full((padded, padded, padded // 2 + 1), 50.0)


@pytest.mark.parametrize("padding", [1, 2])
def test_a_map_comes_back_from_even_weights(padding: int) -> None:
    volume = phantom()
    found = reconstruct(sums_of(volume, even_weight(padding), padding))
    curve = fsc(volume, found, 1.0).correlation
    assert curve[1 : REACH - 2].min() > 0.99
    assert np.vdot(found, volume) / np.vdot(volume, volume) == pytest.approx(1.0, abs=0.02)


def test_the_prior_damps_as_a_wiener_filter() -> None:
    """W / (W + 1 / (padding^3 tau2)) = 0.5 where 1 / (padding^3 tau2) = W."""
    volume, weight = phantom(), even_weight()
    sums = sums_of(volume, weight)
    prior = np.full(BOX // 2 + 1, 1 / (8 * 50.0))
    found = reconstruct(sums, prior)
    assert np.vdot(found, reconstruct(sums)) / np.vdot(reconstruct(sums), reconstruct(sums)) == pytest.approx(
        0.5, abs=0.02
    )


def test_weights_of_coefficients_follow_the_direction() -> None:
    """Weight 8 times the mean of its surroundings, and Friedel mates of the k_x = 0 plane count."""
    padded = 2 * BOX
    axis = np.fft.fftfreq(padded, 1 / padded)
    weight = np.broadcast_to(10.0 + axis[:, None, None] + 0.5 * axis[None, :, None], even_weight().shape)
    found = coefficient_weights(sums_of(phantom(), weight))
    assert found.shape == (BOX, BOX, BOX // 2 + 1)
    # linear weights are kept by a linear average; k and -k of the plane k_x = 0 average out to the constant
    assert found[3, 2, 5] == pytest.approx(8 * (10 + 6 + 2), rel=1e-5)
    assert found[-3, 2, 5] == pytest.approx(8 * (10 - 6 + 2), rel=1e-5)
    assert found[3, 2, 0] == pytest.approx(8 * (10 + (6 + 2) * 0.5), rel=1e-5)


def test_noise_has_the_variance_that_weights_say() -> None:
    """Sums of noise of variance W make maps whose |transform| / box^2 has variance 1 / coefficient weight."""
    rng = np.random.default_rng(0)
    weight = even_weight()
    noise = rng.standard_normal((2 * BOX,) * 3)
    spectrum = np.fft.rfftn(noise) / np.sqrt((2 * BOX) ** 3) * np.sqrt(weight)
    sums = SliceSums(spectrum.astype(np.complex64), weight.astype(np.float32), BOX, 2, REACH)
    power = np.square(np.abs(np.fft.rfftn(reconstruct(sums)) / BOX**2))
    axis = np.square(np.arange(BOX) - BOX // 2)
    distance = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis)
    kept = 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - BOX / 2) / 3, 0, 1))  # the sphere's mask
    lifted = kept / np.sinc(distance / (2 * BOX)) ** 2  # and the correction of the kernel
    low = np.s_[1:8, 1:8, 1:8]
    ratio = power[low].mean() / (1 / coefficient_weights(sums)[low]).mean()
    assert ratio == pytest.approx(np.square(lifted).mean(), rel=0.12)
