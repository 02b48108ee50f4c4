"""How far half-maps agree, across a gap in the molecule's spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.filters import inverse
from mpop.maps.fsc import THRESHOLD, fsc_report
from mpop.maps.masks import soft_sphere
from mpop.maps.reach import reach_A, reached_shell, resolved_shell
from mpop.maps.shells import shell_radius

BOX, PIXEL_A = 48, 3.0


def test_a_curve_that_only_falls_reaches_its_resolution() -> None:
    fsc = np.linspace(1, -0.2, 25)
    assert reached_shell(fsc, THRESHOLD) == resolved_shell(fsc, THRESHOLD) == 17


def test_behind_a_gap_three_shells_count_and_single_ones_do_not() -> None:
    fsc = np.array([1, 0.9, 0.5, 0.2, 0.05, 0.02, 0.1, 0.3, 0.35, 0.2, 0.05, 0.0, 0.0, 0.25, 0.0, 0.0])
    assert resolved_shell(fsc, THRESHOLD) == 3
    assert reached_shell(fsc, THRESHOLD) == 9
    assert reached_shell(np.where(np.arange(16) < 4, 0.0, fsc), THRESHOLD) == 0, "nothing to begin with"
    assert reached_shell(np.ones(9), THRESHOLD) == 8


def spectrum_with_gap(rng: np.random.Generator) -> np.ndarray:
    """A map of power in shells up to 6 and from 12 to 14."""
    radius = shell_radius(BOX)
    noise = np.fft.rfftn(rng.standard_normal((BOX, BOX, BOX)))
    amplitude = np.where(radius < 6.5, 10.0, np.where((radius > 11.5) & (radius < 14.5), 5.0, 0.0))
    return inverse((noise * amplitude).astype(np.complex64), BOX)


def test_half_maps_reach_the_power_behind_a_gap() -> None:
    rng = np.random.default_rng(1)
    mask = soft_sphere(BOX, PIXEL_A, 50.0, 12.0)
    signal = spectrum_with_gap(rng) * mask
    half1, half2 = (signal + 4 * rng.standard_normal(signal.shape).astype(np.float32) for _ in range(2))
    report = fsc_report(half1, half2, mask, PIXEL_A)
    assert report.resolution_A is not None
    assert report.resolution_A > BOX * PIXEL_A / 10
    reach = reach_A(report)
    assert reach == pytest.approx(BOX * PIXEL_A / 14, rel=0.1)
    noise = rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32)
    assert reach_A(fsc_report(noise[0], noise[1], mask, PIXEL_A)) is None
