"""Whether data still hold after a correction, and where it changed what: on planted models."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.judging import changes
from mpop.maps.transfer import TransferModel

BOX, LIMIT, PIXEL_A = 24, 10, 2.0
EVERYWHERE = np.ones((BOX,) * 3, dtype=np.float32)


@pytest.fixture(scope="module")
def model() -> TransferModel:
    """Half of all coefficients, those with |kz| > |kx|, are hardly measured."""
    axis = np.fft.fftfreq(BOX) * BOX
    z, y, x = np.meshgrid(axis, axis, np.arange(BOX // 2 + 1), indexing="ij")
    radius = np.sqrt(z * z + y * y + x * x)
    amplitude = np.where(np.abs(z) > x, 0.05, 1.0) * (radius <= LIMIT)
    ones = np.ones(amplitude.shape, dtype=np.float32)
    return TransferModel(amplitude.astype(np.float32), 0.01 * ones, 4 * ones, np.full(BOX // 2 + 1, 100.0), LIMIT)


def volume(power: float, rng: np.random.Generator) -> np.ndarray:
    """White, with a mean power of each coefficient."""
    return (rng.standard_normal((BOX,) * 3) * np.sqrt(power / BOX**3)).astype(np.float32)


def measure(model: TransferModel, density: np.ndarray, noise: np.ndarray) -> np.ndarray:
    spectrum = model.amplitude * np.fft.rfftn(density) + np.fft.rfftn(noise)
    return np.fft.irfftn(spectrum, s=(BOX,) * 3, axes=(0, 1, 2)).astype(np.float32)


def test_the_truth_leaves_the_noise(model: TransferModel) -> None:
    rng = np.random.default_rng(1)
    density = volume(100, rng)
    half, other = (measure(model, density, volume(4, rng)) for _ in range(2))
    found = changes(half, other, density, model, EVERYWHERE, PIXEL_A)
    assert found.chi2 == pytest.approx(1, abs=0.05)
    assert found.is_consistent
    assert np.nanmean(found.chi2_by_shell[3:]) == pytest.approx(1, abs=0.05)
    assert found.measured_part == pytest.approx(0.5, abs=0.04)
    assert found.frequency[-1] == pytest.approx(LIMIT / (BOX * PIXEL_A))


def test_another_density_is_not_consistent(model: TransferModel) -> None:
    rng = np.random.default_rng(2)
    density = volume(100, rng)
    half, other = (measure(model, density, volume(4, rng)) for _ in range(2))
    found = changes(half, other, volume(100, rng), model, EVERYWHERE, PIXEL_A)
    assert found.chi2 > 0.9 * (1 + 200 / 4), "how much of the noise is left is not known better"
    assert not found.is_consistent


def test_what_is_filled_in_is_where_nothing_was_measured(model: TransferModel) -> None:
    rng = np.random.default_rng(3)
    density = volume(100, rng)
    half, other = (measure(model, density, noise) for noise in (np.zeros_like(density), volume(4, rng)))
    found = changes(half, other, density, model, EVERYWHERE, PIXEL_A)
    assert found.inferred_part > 0.999
    assert found.chi2 < 1e-6
    measured, inferred = found.power_before[:, 4:]
    assert np.nanmean(measured) == pytest.approx(100, rel=0.1)
    assert np.nanmean(inferred) < 1
    assert np.nanmean(found.power_after[1, 4:]) == pytest.approx(100, rel=0.1)


def test_no_change_is_no_change(model: TransferModel) -> None:
    half = volume(10, np.random.default_rng(4))
    found = changes(half, volume(10, np.random.default_rng(5)), half, model, EVERYWHERE, PIXEL_A)
    assert found.inferred_part == 0
    assert np.array_equal(found.power_before, found.power_after, equal_nan=True)
