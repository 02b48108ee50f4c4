"""The distance between maps."""

from __future__ import annotations

import numpy as np
import pytest
from example_population import maps

from mpop.comparison import compare_maps
from mpop.errors import InputError


def test_a_planted_difference() -> None:
    half = maps(0)["half1"]
    same = compare_maps(half, half.copy(), 10.0)
    assert (same.largest, same.rms, same.relative, same.lowest_fsc) == pytest.approx((0, 0, 0, 1))
    other = half.copy()
    other[3, 4, 5] += 8.0
    found = compare_maps(half, other, 10.0)
    assert found.largest == pytest.approx(8.0, rel=1e-6)
    assert found.rms == pytest.approx(8.0 / 8000**0.5, rel=1e-6)
    assert found.relative == pytest.approx(found.rms / np.sqrt(np.mean(half**2)), rel=1e-5)
    assert 0.5 < found.lowest_fsc < 1.0


def test_fsc_counts_up_to_the_resolution_only() -> None:
    rng = np.random.default_rng(1)
    coarse = np.fft.ifftn(np.fft.fftn(rng.normal(size=(20, 20, 20))) * (radius() < 0.2)).real.astype(np.float32)
    noisy = coarse + np.fft.ifftn(np.fft.fftn(rng.normal(size=(20, 20, 20))) * (radius() > 0.3)).real
    noisy = noisy.astype(np.float32)
    assert compare_maps(coarse, noisy, 10.0, resolution_A=60.0).lowest_fsc == pytest.approx(1.0, abs=1e-3)
    assert compare_maps(coarse, noisy, 10.0).lowest_fsc < 0.5


def radius() -> np.ndarray:
    axis = np.fft.fftfreq(20)
    return np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)


def test_maps_of_other_boxes_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        compare_maps(np.zeros((4, 4, 4), np.float32), np.zeros((6, 6, 6), np.float32), 1.0)
