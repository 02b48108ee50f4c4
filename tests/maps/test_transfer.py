"""What half-maps hold of each coefficient, against what was put into them."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.filters import inverse, transform
from mpop.maps.restoration import restore
from mpop.maps.transfer import TransferModel, amplitude_by_regression, noise_within, transfer_by_power
from tests.support.uneven_maps import BOX, GAP_DEG, UnevenMaps, frequencies, uneven_maps

LIMIT = 22


@pytest.fixture(scope="module")
def uneven() -> UnevenMaps:
    return uneven_maps()


@pytest.fixture(scope="module")
def model(uneven: UnevenMaps) -> TransferModel:
    return restore(uneven.half1, uneven.half2, uneven.mask, LIMIT)[0].model


def test_amplitude_and_noise_are_found_where_they_were_planted(uneven: UnevenMaps, model: TransferModel) -> None:
    angle, radius = frequencies()
    shells = (radius > 5) & (radius < 20)
    inside, outside = shells & (angle < GAP_DEG - 10), shells & (angle > GAP_DEG + 10)
    assert model.amplitude[inside].mean() < 0.04
    assert 0.85 < model.amplitude[outside].mean() <= 1
    assert model.noise[outside].mean() == pytest.approx(uneven.noise, rel=0.05)
    assert model.noise[inside].mean() < 0.1 * uneven.noise


def test_power_alone_finds_the_gap_less_sharply(uneven: UnevenMaps, model: TransferModel) -> None:
    angle, radius = frequencies()
    inside = (radius > 5) & (radius < 20) & (angle < GAP_DEG - 10)
    first = transfer_by_power(uneven.half1, uneven.half2, uneven.mask, LIMIT)
    assert model.amplitude[inside].mean() < first.amplitude[inside].mean() < 0.3


def test_errors_of_the_densities_do_not_make_weak_directions_look_poor() -> None:
    """A density with a tenth of its power around x, measured evenly but for a gap around z."""
    rng = np.random.default_rng(6)
    angle, radius = frequencies()
    axis = np.arange(BOX // 2 + 1)
    weak = axis > np.cos(np.deg2rad(40)) * radius
    truth, *errors = (transform(one) for one in rng.standard_normal((5, BOX, BOX, BOX), dtype=np.float32))
    truth = truth * np.where(weak, np.sqrt(0.1), 1).astype(np.float32)
    planted = np.where((angle < GAP_DEG) & ~weak, 0.2, 1.0).astype(np.float32)
    densities = [inverse((truth + 0.5 * error).astype(np.complex64), BOX) for error in errors[:2]]
    halves = [(planted * truth + 0.5 * noise).astype(np.complex64) for noise in errors[2:]]
    found, _ = amplitude_by_regression((halves[0], halves[1]), (densities[0], densities[1]), LIMIT)
    shells = (radius > 8) & (radius < 20)
    assert found[shells & (axis > np.cos(np.deg2rad(30)) * radius)].mean() > 0.85
    assert found[shells & (angle < GAP_DEG - 10) & ~weak].mean() == pytest.approx(0.2, abs=0.05)


def test_amplitude_is_that_of_friedel_mates_and_ends_at_the_limit(model: TransferModel) -> None:
    plane = model.amplitude[:, :, 0]
    mates = np.roll(plane[::-1, ::-1], 1, axis=(0, 1))
    assert np.allclose(plane[1:, 1:], mates[1:, 1:], atol=1e-5)
    radius = frequencies()[1]
    assert np.all(model.amplitude[radius > LIMIT + 0.5] == 0)
    assert model.amplitude[0, 0, 0] == 1


def test_blending_is_the_mean_weighted_by_errors() -> None:
    rng = np.random.default_rng(1)
    data, prior = rng.standard_normal((2, BOX, BOX, BOX), dtype=np.float32)
    shape = transform(data).shape
    signal = np.full(BOX // 2 + 1, 400.0)
    amplitude, error, noise = (np.full(shape, value, dtype=np.float32) for value in (0.5, np.sqrt(0.03), 3.0))
    model = TransferModel(amplitude, error, noise, signal, LIMIT)
    blended = transform(model.blend(transform(data), prior, np.full(BOX // 2 + 1, 4.0)))
    # variances of data / A and prior: noise of 3 and (0.03 + 0.1^2) 0.5^2 of the signal make 7 / 0.25 = 28, and 4
    expected = (transform(data) / 0.5 / 28 + transform(prior) / 4) / (1 / 28 + 1 / 4)
    inside = frequencies()[1] <= BOX // 2
    assert np.allclose(blended[inside], expected[inside], rtol=1e-4, atol=1e-2)
    assert np.abs(blended[~inside]).max() < 1e-2


def test_measured_part_counts_the_noise_within_the_mask(uneven: UnevenMaps, model: TransferModel) -> None:
    angle, radius = frequencies()
    low = (np.rint(radius) == 8) & (angle > GAP_DEG + 10)
    part = noise_within(uneven.mask)
    assert part == pytest.approx(np.mean(uneven.mask**2), rel=1e-5)
    signal = model.signal[8]
    expected = signal / (signal + part * uneven.noise)
    assert model.measured(part)[low].mean() == pytest.approx(expected, abs=0.05)
    assert model.measured(part)[(np.rint(radius) == 8) & (angle < GAP_DEG - 10)].mean() < 0.1


def root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("noise", [0.002, 0.02, 0.3, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_error_of_the_amplitude_is_what_it_is_off_by(noise: float, seed: int) -> None:
    """Inside the gap, at its edge and in good directions, between 0.01 and 0.5. In the gap A cannot be too low."""
    maps = uneven_maps(noise=noise, seed=seed)
    limit = LIMIT if noise < 1 else 16
    found = restore(maps.half1, maps.half2, maps.mask, limit)[0].model
    angle, radius = frequencies()
    for low, high in ((0, GAP_DEG - 10), (GAP_DEG - 10, GAP_DEG), (GAP_DEG + 10, 90)):
        zone = (radius > 3.5) & (radius < limit) & (angle >= low) & (angle <= high)
        off = root_mean_square((found.amplitude - maps.amplitude)[zone])
        assert 0.75 < root_mean_square(found.amplitude_error[zone]) / off < 3


@pytest.mark.parametrize("noise", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_not_measured_is_not_called_known(noise: float, seed: int) -> None:
    """In noise too: the mean of what is said to be known, against what is."""
    maps = uneven_maps(noise=noise, seed=seed)
    limit = LIMIT if noise < 1 else 16
    found = restore(maps.half1, maps.half2, maps.mask, limit)[0].model
    part = noise_within(maps.mask)
    known, truth = found.measured(part), maps.measured(part)
    angle, radius = frequencies()
    shells = (radius > 3.5) & (radius < limit)
    deep, gap, good = (shells & zone for zone in (angle < GAP_DEG - 10, angle < GAP_DEG, angle > GAP_DEG + 10))
    assert truth[gap].mean() < 0.05
    assert known[deep].mean() < 0.02
    assert known[gap].mean() < 0.08
    assert known[good].mean() == pytest.approx(truth[good].mean(), abs=0.06)
