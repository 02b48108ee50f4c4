"""Whether the check of corrections passes honest ones and the truth, and fails what contradicts the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from mpop.maps.conventions import CONSISTENT
from mpop.maps.judging import changes
from mpop.networks.correction import Correction, CorrectionOptions, correct
from tests.support.uneven_maps import UnevenMaps, uneven_maps

PIXEL_A = 2.0


@dataclass(frozen=True)
class Corrected:
    """Half-maps with a gap, and what a correction made of them."""

    maps: UnevenMaps
    correction: Correction

    def chi2(self, volume: np.ndarray) -> float:
        """Of a map in place of the corrected first half-map."""
        maps = self.maps
        assert self.correction.models is not None
        found = changes(
            maps.half1, maps.half2, volume.astype(np.float32), self.correction.models[0], maps.mask, PIXEL_A
        )
        return found.chi2


@cache
def corrected(noise: float, seed: int) -> Corrected:
    maps = uneven_maps(noise=noise, seed=seed)
    options = CorrectionOptions(steps=0, seed=seed)
    return Corrected(maps, correct(maps.half1, maps.half2, maps.mask, PIXEL_A, options, surely_uneven=True))


@pytest.mark.parametrize("noise", [0.0002, 0.002, 0.02, 0.3, 2.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_honest_corrections_and_the_truth_are_consistent(noise: float, seed: int) -> None:
    found = corrected(noise, seed)
    assert 0.1 < found.chi2(found.correction.half1) < 0.9
    assert 0.4 < found.chi2(found.maps.truth) < CONSISTENT


@pytest.mark.parametrize("noise", [0.02, 0.3, 2.0])
def test_the_truth_leaves_what_noise_explains(noise: float) -> None:
    assert np.mean([corrected(noise, seed).chi2(corrected(noise, seed).maps.truth) for seed in range(3)]) > 0.8


def another(found: Corrected) -> np.ndarray:
    return uneven_maps(seed=50).truth


def scaled(found: Corrected) -> np.ndarray:
    return 1.3 * found.correction.half1


def shifted(found: Corrected) -> np.ndarray:
    """By half a voxel."""
    return shift(found.correction.half1, (0, 0, 0.5), order=3, mode="wrap")


def with_a_blob(found: Corrected) -> np.ndarray:
    """As strong as the strongest place."""
    blob = np.zeros_like(found.maps.truth)
    blob[27, 29, 18] = 1
    blob = gaussian_filter(blob, 1.2)
    return found.correction.half1 + blob * found.maps.truth.max() / blob.max()


@pytest.mark.parametrize("noise", [0.0002, 0.002, 0.02])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("wrong", [another, scaled, shifted, with_a_blob])
def test_what_contradicts_the_data_is_found(
    wrong: Callable[[Corrected], np.ndarray], noise: float, seed: int
) -> None:
    found = corrected(noise, seed)
    assert found.chi2(wrong(found)) > 2 * CONSISTENT


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_in_noise_what_is_larger_than_that_is_found(seed: int) -> None:
    """With 0.3 and twice the signal's power in shell 8: an error of a third of the signal is less than noise."""
    found = corrected(0.3, seed)
    assert found.chi2(shifted(found)) > CONSISTENT
    assert found.chi2(another(found)) > 2 * CONSISTENT
    noisiest = corrected(2.0, seed)
    assert noisiest.chi2(another(noisiest)) > 2 * CONSISTENT
