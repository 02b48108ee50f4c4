"""Restored half-maps: nearer to the truth everywhere, and each its own."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.evenness import well_measured
from mpop.maps.filters import transform
from mpop.maps.judging import changes
from mpop.maps.restoration import (
    SMALLEST_SHARE,
    Restoration,
    above_solvent,
    error_of_density,
    restore,
    restore_alone,
    solvent_noise,
)
from mpop.maps.transfer import TransferModel
from tests.support.uneven_maps import BOX, GAP_DEG, UnevenMaps, frequencies, uneven_maps

LIMIT = 22


@pytest.fixture(scope="module")
def uneven() -> UnevenMaps:
    return uneven_maps()


@pytest.fixture(scope="module")
def restored(uneven: UnevenMaps) -> tuple[Restoration, Restoration]:
    return restore(uneven.half1, uneven.half2, uneven.mask, LIMIT)


def test_what_was_not_measured_is_found_and_the_rest_gets_better(
    uneven: UnevenMaps, restored: tuple[Restoration, Restoration]
) -> None:
    for half, found in zip((uneven.half1, uneven.half2), restored, strict=True):
        assert uneven.agreement(half, poor=True) < 0.2
        assert uneven.agreement(found.blended, poor=True) > 0.6
        assert uneven.agreement(found.blended, poor=False) > uneven.agreement(half, poor=False) + 0.005


@pytest.mark.parametrize("seed", [1, 2])
def test_noisy_maps_get_better_too(seed: int) -> None:
    uneven = uneven_maps(noise=0.3, seed=seed)
    found, _ = restore(uneven.half1, uneven.half2, uneven.mask, LIMIT)
    assert uneven.agreement(found.blended, poor=True) > uneven.agreement(uneven.half1, poor=True) + 0.3
    assert uneven.agreement(found.blended, poor=False) > uneven.agreement(uneven.half1, poor=False) + 0.05


def test_a_gap_without_noise_is_no_evidence_of_nothing() -> None:
    """Where nothing was measured, half-maps hold neither signal nor noise."""
    uneven = uneven_maps(poor=1e-6)
    angle, radius = frequencies()
    found, _ = restore(uneven.half1, uneven.half2, uneven.mask, LIMIT)
    in_gap = (radius > 5) & (radius < 20) & (angle < GAP_DEG - 8)
    assert found.model.noise[in_gap].mean() < 0.01 * uneven.noise
    assert found.model.amplitude[in_gap].mean() > 1e-4, "hundred times the truth, and yet not believed"
    assert well_measured(found.model)[in_gap].mean() < 0.01
    assert uneven.agreement(found.blended, poor=True) > 0.65
    assert uneven.agreement(found.blended, poor=False) > uneven.agreement(uneven.half1, poor=False) + 0.01


def test_density_obeys_the_mask_and_the_solvent(
    uneven: UnevenMaps, restored: tuple[Restoration, Restoration]
) -> None:
    assert restored[0].density.min() == 0
    assert not restored[0].density[uneven.mask == 0].any()


def test_noise_of_one_half_map_does_not_enter_the_other(
    uneven: UnevenMaps, restored: tuple[Restoration, Restoration]
) -> None:
    """With another half-map 2, restored half-map 1 changes as estimates do, not by what is in half-map 2."""
    again, _ = restore(uneven.half1, uneven.spare, uneven.mask, LIMIT)
    change = (again.blended - restored[0].blended) * uneven.mask
    planted = (uneven.spare - uneven.half2) * uneven.mask
    assert abs(np.corrcoef(change.ravel(), planted.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(("own_noise", "best"), [(0.0, 0.5), (-0.5, 0.5), (0.3, SMALLEST_SHARE)])
def test_the_error_of_a_density_is_found_without_the_truth(own_noise: float, best: float) -> None:
    """A density with an error of its own, of half the power of the noise, or with a part of its data's noise.

    With e = c n the mean (1 - a) (y + e) + a (y + n) has no error at a = -c / (1 - c): 1/3 for c = -1/2, which an
    error of half the power gives as well. For c > 0 that is negative: data cannot help.
    """
    maps = uneven_maps(gap=False, noise=0.3)
    shape = (BOX, BOX, BOX // 2 + 1)
    model = TransferModel(
        np.ones(shape, dtype=np.float32),
        np.zeros(shape, dtype=np.float32),
        np.full(shape, maps.noise, dtype=np.float32),
        np.ones(BOX // 2 + 1),
        LIMIT,
    )
    error = own_noise * (maps.half1 - maps.truth)
    if not own_noise:
        white = np.random.default_rng(4).standard_normal(maps.truth.shape)
        error = white * np.sqrt(0.5 * maps.noise / BOX**3)
    density = (maps.truth + error).astype(np.float32)
    everywhere = np.ones_like(maps.mask)
    found = error_of_density(density, transform(maps.half1), transform(maps.half2), model, everywhere)
    assert np.median(found[8:LIMIT]) == pytest.approx(best * maps.noise, rel=0.1)


def test_restoring_alone_with_a_known_model_does_as_well(
    uneven: UnevenMaps, restored: tuple[Restoration, Restoration]
) -> None:
    found = restored[0]
    again = restore_alone(transform(uneven.half1), found.model, found.density_error, uneven.mask)
    assert uneven.agreement(again, poor=True) > uneven.agreement(found.blended, poor=True) - 0.05
    assert uneven.agreement(again, poor=False) > uneven.agreement(found.blended, poor=False) - 0.005


def test_above_solvent() -> None:
    volume = np.array([[[-1.0, 0.5, 2.0]]], dtype=np.float32)
    mask = np.array([[[1.0, 1.0, 0.5]]], dtype=np.float32)
    assert above_solvent(volume, mask, 1.0).tolist() == [[[0.0, 0.0, 0.5]]]
    assert solvent_noise(volume, mask) == 0.0
    assert solvent_noise(volume, np.zeros_like(mask)) == pytest.approx(volume.std())


def test_a_noisier_half_map_is_known_by_its_solvent(uneven: UnevenMaps) -> None:
    rng = np.random.default_rng(3)
    solvent = solvent_noise(uneven.half2, uneven.mask)
    noisier = uneven.half2 + np.float32(2 * solvent) * rng.standard_normal(uneven.half2.shape, dtype=np.float32)
    first, second = restore(uneven.half1, noisier, uneven.mask, LIMIT)
    assert np.median(second.model.noise / first.model.noise) == pytest.approx(5, rel=0.1)
    for half, other, found in ((uneven.half1, noisier, first), (noisier, uneven.half1, second)):
        assert changes(half, other, found.blended, found.model, uneven.mask, 2.0).is_consistent
