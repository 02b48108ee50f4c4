"""Spectra are flat, matched or spliced where asked for, and left alone elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mpop.maps.filters import transform
from mpop.maps.fsc import fsc
from mpop.maps.shells import mean_amplitudes
from mpop.maps.spectra import spliced, whitened, with_spectrum_of

BOX = 40


def blob(seed: int, sigma: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((BOX,) * 3)
    return gaussian_filter(noise, sigma, mode="wrap").astype(np.float32)


EVERYTHING = np.ones((BOX,) * 3, dtype=np.float32)


def test_whitened_shells_are_level_and_others_untouched() -> None:
    volume = blob(1)
    flat = whitened(volume, EVERYTHING, 5, 14)
    before, after = mean_amplitudes(transform(volume)), mean_amplitudes(transform(flat))
    assert before[5] > 3 * before[14]
    # the filter is linear between shells, so that neighbours of the border share in it
    np.testing.assert_allclose(after[5:14], after[5], rtol=0.15)
    np.testing.assert_allclose(after[:5], before[:5], rtol=0.1)
    np.testing.assert_allclose(after[16:20], before[16:20], rtol=1e-3)
    assert fsc(volume, flat, 1.0).correlation[1:14].min() > 0.95


def test_a_spectrum_is_taken_over_and_phases_are_kept() -> None:
    volume, model = blob(1), 3 * blob(2, 0.8)
    matched = with_spectrum_of(volume, model, EVERYTHING)
    wanted = mean_amplitudes(transform(model))
    np.testing.assert_allclose(mean_amplitudes(transform(matched))[1:16], wanted[1:16], rtol=0.15)
    assert fsc(volume, matched, 1.0).correlation[1:16].min() > 0.95
    partly = with_spectrum_of(volume, model, EVERYTHING, last=6)
    np.testing.assert_allclose(
        mean_amplitudes(transform(partly))[9:20], mean_amplitudes(transform(volume))[9:20], rtol=1e-3
    )


def test_one_map_ends_where_the_other_begins() -> None:
    low, high = blob(1), blob(2)
    both = spliced(low, high, 8)
    assert fsc(both, low, 1.0).correlation[1:6].min() > 0.999
    assert fsc(both, high, 1.0).correlation[11:].min() > 0.999
    assert both.mean() == pytest.approx(low.mean(), abs=1e-6)
