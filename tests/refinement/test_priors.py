"""What half-maps pass through before particles are compared with them."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.errors import InputError
from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import fsc_report
from mpop.maps.masks import soft_sphere
from mpop.refinement.priors import parse_prior, through_prior

BOX, PIXEL_A = 32, 4.0


def half_maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blobs in a sphere with independent noise, and the mask around them."""
    rng = np.random.default_rng(3)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    signal = np.zeros((BOX,) * 3)
    for centre in rng.uniform(-5, 5, (15, 3)):
        signal += np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / 3)
    halves = [(signal + rng.normal(0, 0.15, signal.shape)).astype(np.float32) for _ in range(2)]
    return halves[0], halves[1], soft_sphere(BOX, PIXEL_A, 36.0, 12.0)


def test_fsc_is_the_half_map_times_its_fsc() -> None:
    first, second, mask = half_maps()
    report = fsc_report(first, second, mask, PIXEL_A)
    assert report.resolution_A is not None
    curve = report.corrected
    weights = np.where(curve.frequency <= 1 / report.resolution_A, np.clip(curve.correlation, 0, 1), 0)
    passed = through_prior("fsc", first, second, mask, report, PIXEL_A)
    assert np.array_equal(passed.half1, multiply_radially(first, weights))
    assert np.array_equal(passed.half2, multiply_radially(second, weights))


def test_none_changes_nothing() -> None:
    first, second, mask = half_maps()
    passed = through_prior("none", first, second, mask, fsc_report(first, second, mask, PIXEL_A), PIXEL_A)
    assert passed.half1 is first
    assert passed.half2 is second


def test_isotropic_maps_are_weighted_as_before() -> None:
    """Where all directions were measured alike there is nothing to correct."""
    first, second, mask = half_maps()
    report = fsc_report(first, second, mask, PIXEL_A)
    passed = through_prior("isotropic", first, second, mask, report, PIXEL_A)
    weighted = through_prior("fsc", first, second, mask, report, PIXEL_A)
    assert np.array_equal(passed.half1, weighted.half1)


def test_a_prior_that_is_none_of_them_is_refused() -> None:
    with pytest.raises(InputError, match="--prior spisonet: there are fsc, none, isotropic, denoise"):
        parse_prior("spisonet")
