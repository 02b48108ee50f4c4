"""Coefficients that are withheld, and how well what is put in their place can be judged by them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mpop.maps.hold_out import Agreement, agreement, turned, withhold
from mpop.maps.transfer import TransferModel

BOX = 32
PIXEL_A = 3.0
LIMIT = 14


def frequencies() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axis = np.fft.fftfreq(BOX) * BOX
    z, y, x = np.meshgrid(axis, axis, np.arange(BOX // 2 + 1), indexing="ij")
    return z, y, x


def model(gap_deg: float, noise: float, power: float) -> TransferModel:
    """Nothing measured within an angle of the z axis."""
    z, y, x = frequencies()
    radius = np.sqrt(z * z + y * y + x * x)
    polar = np.rad2deg(np.arccos(np.abs(z) / np.maximum(radius, 1e-9)))
    amplitude = np.where((polar < gap_deg) & (radius > 0), 0.02, 1.0)
    amplitude[radius > LIMIT] = 0
    return TransferModel(
        amplitude.astype(np.float32),
        np.where(amplitude < 1, 0.1, 0.0).astype(np.float32),
        np.full(amplitude.shape, noise, dtype=np.float32),
        np.full(BOX // 2 + 1, power),
        LIMIT,
    )


@pytest.fixture(scope="module")
def density() -> np.ndarray:
    rng = np.random.default_rng(3)
    points = np.zeros((BOX,) * 3)
    points[tuple(rng.integers(8, 24, (3, 60)))] = 1
    return gaussian_filter(points, 0.8).astype(np.float32) * 50


def half_map(density: np.ndarray, gaps: TransferModel, rng: np.random.Generator) -> np.ndarray:
    white = np.fft.rfftn(rng.standard_normal(density.shape)) / BOX**1.5
    spectrum = gaps.amplitude * np.fft.rfftn(density) + np.sqrt(gaps.noise) * white
    return np.fft.irfftn(spectrum, s=(BOX,) * 3, axes=(0, 1, 2)).astype(np.float32)


def test_turning_moves_the_axis_of_a_gap() -> None:
    gaps = model(40.0, 1.0, 1.0)
    other = turned(gaps.amplitude, ((2, 1, 0), (False, False, False)))
    z, y, x = (np.abs(one) for one in frequencies())
    radius = np.sqrt(z * z + y * y + x * x)
    inside = (radius > 3) & (radius < LIMIT)
    assert np.all(other[inside & (x > 0.9 * radius)] < 0.1)
    assert np.all(other[inside & (z > 0.9 * radius)] == 1)


@pytest.mark.parametrize("flips", [(False, True, False), (False, True, True)])
def test_turning_keeps_friedel_mates_equal(flips: tuple[bool, bool, bool]) -> None:
    kernel = np.random.default_rng(0).standard_normal((BOX,) * 3)
    even = (np.abs(np.fft.rfftn(kernel)) ** 2).astype(np.float32)
    real = np.fft.irfftn(turned(even, ((1, 2, 0), flips)), s=(BOX,) * 3, axes=(0, 1, 2))
    again = np.fft.rfftn(real)
    assert np.abs(again.imag).max() < 1e-3 * np.abs(again.real).max()
    assert np.allclose(again.real, turned(even, ((1, 2, 0), flips)), rtol=1e-3, atol=1)


def test_the_judgement_is_that_of_the_truth(density: np.ndarray) -> None:
    """Whatever is put in the place of withheld coefficients: its correlation with the truth is estimated right."""
    power = float(np.mean(np.abs(np.fft.rfftn(density)) ** 2))
    gaps = model(35.0, 0.3 * power, power)
    rng = np.random.default_rng(11)
    half1, half2 = half_map(density, gaps, rng), half_map(density, gaps, rng)
    held = withhold(half1, half2, np.ones_like(density), gaps)
    assert held is not None
    mask = np.ones_like(density)
    errors = []
    for quality in (0.3, 0.6, 0.9):
        white = rng.standard_normal(density.shape) * density.std() * 3
        white = np.fft.irfftn(
            np.fft.rfftn(white) * np.abs(np.fft.rfftn(density)) / 1e3, s=(BOX,) * 3, axes=(0, 1, 2)
        )
        inferred = (quality * density / density.std() + (1 - quality) * white / white.std()).astype(np.float32)
        judged = agreement(inferred, held, half1, half2, mask, PIXEL_A)
        truth = agreement(inferred, held, density, density, mask, PIXEL_A)
        shells = slice(4, LIMIT - 2)
        errors.append(np.nanmean(judged.after[shells]) - np.nanmean(truth.after[shells]))
        assert 0.1 < np.nanmean(truth.after[shells]) < 0.999
    assert np.abs(errors).max() < 0.06


def test_what_was_withheld_is_not_in_the_maps_any_more(density: np.ndarray) -> None:
    power = float(np.mean(np.abs(np.fft.rfftn(density)) ** 2))
    gaps = model(35.0, 0.05 * power, power)
    rng = np.random.default_rng(12)
    half1, half2 = half_map(density, gaps, rng), half_map(density, gaps, rng)
    held = withhold(half1, half2, np.ones_like(density), gaps)
    assert held is not None
    left = agreement(held.half1, held, half1, half2, np.ones_like(density), PIXEL_A)
    assert np.nanmax(np.abs(left.after[4 : LIMIT - 2])) < 0.35
    kept = np.fft.rfftn(held.half1)[held.withheld]
    assert np.mean(np.abs(kept) ** 2) < 0.1 * power, "noise of the planted power and almost no signal"


def test_no_room_for_a_gap(density: np.ndarray) -> None:
    gaps = model(88.0, 1.0, 1.0)
    assert withhold(density, density, np.ones_like(density), gaps) is None


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([np.nan, 0.9, 0.8, 0.6, 0.4, 0.9], 1 / 0.03),
        ([np.nan, np.nan, 0.9, 0.6, 0.6, 0.6], 1 / 0.05),
        ([np.nan, 0.3, 0.9, 0.6, 0.6, 0.6], None),
        ([np.nan] * 6, None),
    ],
)
def test_supported_up_to_the_first_shell_that_is_not_trusted(after: list[float], expected: float | None) -> None:
    values = np.array(after)
    found = Agreement(np.linspace(0, 0.05, 6), values, values).supported_to_A
    assert found == (expected if expected is None else pytest.approx(expected))
