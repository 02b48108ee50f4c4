"""The gap between imported and true parameters, on maps whose quality is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.jobs.evaluate import HalfMaps, SpeciesEvaluation, Stages, _area, _evaluate_species
from mpop.jobs.truth import PoseError
from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import FSCCurve
from mpop.records.models import SpeciesRecord

BOX, PIXEL_A = 48, 3.0
FREQUENCY = np.arange(BOX // 2 + 1) / (BOX * PIXEL_A)
ERRORS = Stages(PoseError(5.0, 2.5), PoseError(0.7, 0.9), PoseError(0.0, 0.0))
NO_ANGLES = np.zeros((0, 3))
SPECIES = SpeciesRecord(
    id="one",
    name="one",
    symmetry="C1",
    diameter_A=70.0,
    pixel_size_A=PIXEL_A,
    box=BOX,
    maps_object="",
    resolution_A=None,
    particles={},
    n_particles=0,
)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Random density inside a ball."""
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    inside = z**2 + y**2 + x**2 < 14**2
    return (np.random.default_rng(0).normal(size=inside.shape) * inside).astype(np.float32)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    """The ball with a soft edge."""
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    return np.clip((20 - np.sqrt(z**2 + y**2 + x**2)) / 5, 0, 1).astype(np.float32)


def halves(truth: np.ndarray, blur_A: float, seed: int) -> HalfMaps:
    """Two noisy maps blurred by poses that are blur_A off: exp(-2 pi^2 k^2 blur^2)."""
    blurred = multiply_radially(truth, np.exp(-2 * np.pi**2 * FREQUENCY**2 * blur_A**2))
    rng = np.random.default_rng(seed)
    first, second = (blurred + rng.normal(0, 0.05, truth.shape).astype(np.float32) for _ in range(2))
    return first, second


def evaluated(truth: np.ndarray, mask: np.ndarray, after: HalfMaps) -> SpeciesEvaluation:
    """Against a floor blurred by 5 A and a ceiling blurred by nothing."""
    stages = Stages(halves(truth, 5.0, 1), after, halves(truth, 0.0, 2))
    return _evaluate_species(SPECIES, stages, len(truth) // 2, truth, mask, ERRORS, NO_ANGLES)


def test_parameters_left_alone_close_nothing(truth: np.ndarray, mask: np.ndarray) -> None:
    assert evaluated(truth, mask, halves(truth, 5.0, 3)).gap_closed == pytest.approx(0.0, abs=0.02)


def test_true_parameters_close_all(truth: np.ndarray, mask: np.ndarray) -> None:
    assert evaluated(truth, mask, halves(truth, 0.0, 3)).gap_closed == pytest.approx(1.0, abs=0.01)


def test_half_the_error_closes_a_part(truth: np.ndarray, mask: np.ndarray) -> None:
    one = evaluated(truth, mask, halves(truth, 2.5, 3))
    assert one.gap_closed is not None and 0.3 < one.gap_closed < 0.95
    assert one.fsc_area.before < one.fsc_area.after < one.fsc_area.ceiling
    assert one.resolution_A.before > one.resolution_A.after > one.resolution_A.ceiling


def test_without_a_gap_nothing_can_be_closed(truth: np.ndarray, mask: np.ndarray) -> None:
    same = halves(truth, 0.0, 4)
    evaluated = _evaluate_species(SPECIES, Stages(same, same, same), BOX // 2, truth, mask, ERRORS, NO_ANGLES)
    assert evaluated.gap_closed is None


def test_area_is_the_mean_from_40_A_to_the_limit() -> None:
    frequency = np.arange(0, 101) / 500
    correlation = np.where(frequency < 1 / 40 - 1e-9, 5.0, np.where(frequency <= 1 / 8 + 1e-9, 0.6, -3.0))
    assert _area(FSCCurve(frequency, correlation), 8.0) == pytest.approx(0.6)
