"""Where data are good, as much of them is kept as makes a correction best; elsewhere nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.evenness import well_measured
from mpop.maps.filters import inverse, transform
from mpop.maps.restoration import Restoration, restore
from mpop.maps.reweighting import reweighted, reweighted_mean
from mpop.maps.transfer import TransferModel
from tests.support.uneven_maps import BOX, UnevenMaps, uneven_maps

LIMIT = 22


@pytest.fixture(scope="module")
def uneven() -> UnevenMaps:
    return uneven_maps(noise=0.1)


@pytest.fixture(scope="module")
def restored(uneven: UnevenMaps) -> tuple[Restoration, Restoration]:
    return restore(uneven.half1, uneven.half2, uneven.mask, LIMIT)


def with_errors(volume: np.ndarray, model: TransferModel, strength: float) -> np.ndarray:
    """A map with white errors where directions were well measured, in parts of its own standard deviation."""
    white = np.random.default_rng(0).standard_normal(volume.shape, dtype=np.float32)
    errors = inverse(np.where(well_measured(model), transform(white), np.complex64(0)), BOX)
    return volume + np.float32(strength * volume.std()) * errors


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0, 3.0, 10.0])
def test_a_correction_is_no_worse_than_itself_and_its_data_where_these_are_good(
    uneven: UnevenMaps, restored: tuple[Restoration, Restoration], strength: float
) -> None:
    model = restored[0].model
    wrong = with_errors(uneven.truth, model, strength)
    found = reweighted(uneven.half1, uneven.half2, wrong, model, uneven.mask)
    best = max(uneven.agreement(volume, poor=False) for volume in (uneven.half1, wrong))
    assert uneven.agreement(found, poor=False) > best - 0.002


def test_what_errs_alike_in_both_half_maps_weighs_less_in_their_mean(
    uneven: UnevenMaps, restored: tuple[Restoration, Restoration]
) -> None:
    halves, model = (uneven.half1, uneven.half2), restored[0].model
    wrong = [with_errors(uneven.truth, model, 0.7)] * 2
    each = [
        reweighted(half, other, one, model, uneven.mask)
        for half, other, one in zip(halves, halves[::-1], wrong, strict=True)
    ]
    mean = reweighted_mean(halves, wrong, model, uneven.mask)
    reached = uneven.agreement(mean, poor=False)
    assert reached > uneven.agreement((each[0] + each[1]) / 2, poor=False)
    assert reached > uneven.agreement((uneven.half1 + uneven.half2) / 2, poor=False) + 0.005


def test_poor_directions_and_what_is_beyond_the_limit_stay(
    uneven: UnevenMaps, restored: tuple[Restoration, Restoration]
) -> None:
    model = restored[0].model
    corrected = restored[0].blended
    found = reweighted(uneven.half1, uneven.half2, corrected, model, uneven.mask)
    change = np.abs(transform(found) - transform(corrected))
    well = well_measured(model)
    assert change[well].max() > 1e-3 * np.abs(transform(corrected)).max()
    assert change[~well].max() < 1e-6 * np.abs(transform(corrected)).max()
