"""The parts of an FSC report, each against numbers by hand or against the full transform."""

from __future__ import annotations

import numpy as np
import plain_numpy
import pytest
from numpy.typing import NDArray

from mpop.maps.filters import transform
from mpop.maps.fsc import (
    FSCCurve,
    FSCReport,
    _by_chance,
    _randomise_phases,
    fsc,
    fsc_report,
    fsc_weights,
    independent_pairs,
    randomising_shell,
    significance,
    true_fsc,
    up_to,
)

BOXES = pytest.mark.parametrize("box", [16, 17])


def white(box: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((box,) * 3, dtype=np.float32)


def curve(*correlation: float) -> FSCCurve:
    return FSCCurve(np.arange(len(correlation)) / 100.0, np.array(correlation))


@BOXES
def test_independent_pairs_are_half_of_the_coefficients_times_the_part_of_the_mask(box: int) -> None:
    """The part is (sum m^2)^2 / (V sum m^4)."""
    counts = np.bincount(plain_numpy.shells(box).ravel())[: box // 2 + 1]
    np.testing.assert_allclose(independent_pairs(np.ones((box,) * 3, np.float32)), counts / 2, rtol=1e-6)
    mask = np.zeros((box,) * 3, np.float32)
    mask[2:8, 3:9, 1:12] = 1.0
    mask[8:12, 3:9, 1:12] = 0.5
    part = (396 + 264 / 4) ** 2 / (box**3 * (396 + 264 / 16))
    np.testing.assert_allclose(independent_pairs(mask), part * counts / 2, rtol=1e-6)


def test_significance_is_counted_in_standard_deviations() -> None:
    mask, correlation = np.ones((16,) * 3, np.float32), np.linspace(0.9, 0.1, 9)
    pairs = np.bincount(plain_numpy.shells(16).ravel())[:9] / 2

    def z(first: int, last: int) -> float:
        shells = slice(first, last + 1)
        return (pairs * correlation)[shells].sum() / np.sqrt(pairs[shells].sum() / 2)

    found = FSCCurve(np.arange(9) / 32, correlation)
    assert significance(found, mask, 5 / 32) == pytest.approx(z(1, 5))
    assert significance(found, mask, 5.5 / 32) == pytest.approx(z(1, 5))
    assert significance(found, mask, 5 / 32, 3 / 32) == pytest.approx(z(3, 5))


def of_significance(z: float, mask: NDArray[np.float32]) -> FSCCurve:
    """A curve of one height, with this z up to shell 4."""
    pairs = independent_pairs(mask)[1:5].sum()
    return FSCCurve(np.arange(9) / 32, np.full(9, z / np.sqrt(2 * pairs)))


@pytest.mark.parametrize(("z", "chance"), [(3.9, True), (4.1, False), (49.0, False)])
def test_four_standard_deviations_are_not_chance(z: float, chance: bool) -> None:
    mask = np.ones((16,) * 3, np.float32)
    assert _by_chance(white(16), white(16, 2), mask, of_significance(z, mask), 4 / 32) is chance


@pytest.mark.parametrize(("z", "chance"), [(49.5, True), (51.0, False)])
def test_what_is_not_beyond_doubt_is_looked_at_again_with_the_solvent_at_0(z: float, chance: bool) -> None:
    """Two maps of noise about a level, of which only the mask's shape agrees."""
    mask = np.zeros((16,) * 3, np.float32)
    mask[3:13, 3:13, 3:13] = 1.0
    halves = white(16) + 30, white(16, 2) + 30
    assert _by_chance(*halves, mask, of_significance(z, mask), 4 / 32) is chance


def test_the_second_look_is_at_what_the_mask_holds() -> None:
    mask = np.zeros((16,) * 3, np.float32)
    mask[3:13, 3:13, 3:13] = 1.0
    signal = 3 * white(16, 5) * mask
    first, second = white(16) + signal + 30, white(16, 2) + signal + 30
    assert not _by_chance(first, second, mask, of_significance(10.0, mask), 4 / 32)
    flat = FSCCurve(np.arange(9) / 32, np.zeros(9))
    assert not _by_chance(first, second, mask, flat, 4 / 32)
    assert _by_chance(first, second, np.ones_like(mask), flat, 4 / 32)  # no solvent: no second look


def test_the_second_look_goes_as_far_as_the_first() -> None:
    """A signal that shells 1 and 2 alone, with few coefficients, would leave in doubt."""
    mask = np.zeros((16,) * 3, np.float32)
    mask[3:13, 3:13, 3:13] = 1.0
    signal = 1.2 * white(16, 5)
    first, second = white(16) + signal, white(16, 2) + signal
    solvent = mask == 0
    seen = fsc(*((half - half[solvent].mean()) * mask for half in (first, second)), 2.0)
    assert significance(seen, mask, 2 / 32) < 3.5 < 4.5 < significance(seen, mask, 4 / 32)
    assert not _by_chance(first, second, mask, of_significance(10.0, mask), 4 / 32)


def test_a_report_asks_for_chance_up_to_its_resolution() -> None:
    """Two shells agree, of 16: twice as far, those without signal would outvote them."""
    box = 32
    kept = plain_numpy.shells(box) <= 2
    signal = np.fft.ifftn(np.fft.fftn(white(box, 3)) * kept).real.astype(np.float32)
    first, second = (3 * signal + white(box, seed) for seed in (1, 2))
    mask = np.ones((box,) * 3, np.float32)
    report = fsc_report(first, second, mask, 2.0)
    assert significance(report.masked, mask, 3 / 64) > 5
    assert significance(report.masked, mask, 5 / 64) < 4
    assert report.resolution_A == pytest.approx(64 / 2.85, rel=0.05)


def test_the_scale_of_maps_does_not_matter() -> None:
    first, second = white(16), white(16) + white(16, 2)
    expected = fsc(first, second, 2.0).correlation
    for scale in (1e-6, 1e6):
        np.testing.assert_allclose(fsc(scale * first, second * scale, 2.0).correlation, expected, rtol=1e-4)


def test_weights_of_what_cannot_be_are_at_the_bounds() -> None:
    np.testing.assert_array_equal(fsc_weights(np.array([-0.5, 0.0, 1.0, 1.5])), [0.0, 0.0, 1.0, 1.0])


@BOXES
@pytest.mark.parametrize("start", [0, 3, 6])
def test_random_phases_change_no_amplitude_and_nothing_before(box: int, start: int) -> None:
    volume = white(box)
    mask = np.ones_like(volume)
    rng = np.random.default_rng(4)
    random = _randomise_phases(transform(volume), start, rng, mask)
    before, after = np.fft.fftn(volume), np.fft.fftn(random)
    # the mean and unpaired coefficients are real, and keep the real part of what phases make of them
    axis = np.array([k if 2 * abs(k) != box else 0 for k in plain_numpy.indices(box)])
    own_mate = (axis[:, None, None] == 0) & (axis[:, None] == 0) & (axis == 0)
    np.testing.assert_allclose(np.abs(after)[~own_mate], np.abs(before)[~own_mate], rtol=1e-3, atol=1e-3)
    axis = np.array(plain_numpy.indices(box))
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    np.testing.assert_allclose(after[radius < start], before[radius < start], atol=1e-3)
    turn = np.angle(after / before)[(radius >= start) & ~own_mate] / (2 * np.pi)
    assert abs(np.exp(2j * np.pi * turn).mean()) < 4 / np.sqrt(turn.size)
    assert np.histogram(turn, 8, (-0.5, 0.5))[0].min() > 0.08 * turn.size
    if start:
        at_start = radius == start
        assert np.abs(after - before)[at_start].min() > 1e-3 * np.abs(before)[at_start].min()
    # of each pair of mates one: neither way round is favoured, or maps of random phases would correlate
    one_of_two = (radius >= start) & (axis > 0) & (2 * axis < box)
    turned = (after / before)[one_of_two]
    assert abs((turned / np.abs(turned)).mean()) < 4 / np.sqrt(turned.size)


def test_randomised_maps_are_masked() -> None:
    mask = np.zeros((16,) * 3, np.float32)
    mask[4:9] = 0.5
    whole, masked = (
        _randomise_phases(transform(white(16)), 3, np.random.default_rng(4), one)
        for one in (np.ones_like(mask), mask)
    )
    np.testing.assert_allclose(masked, whole * mask, atol=1e-6)


def test_phases_are_randomised_from_the_first_shell_below_0_8() -> None:
    assert randomising_shell(curve(0.1, 0.9, 0.81, 0.79, 0.9, 0.1)) == 3
    assert randomising_shell(curve(1.0, 0.5, 0.9)) == 1
    assert randomising_shell(curve(0.1, 0.9, 0.8, 0.8)) == 3


def test_the_random_part_is_taken_out_from_two_shells_after() -> None:
    masked, randomised = np.array([1.0, 0.9, 0.9, 0.8, 0.6, 0.4]), np.array([1.0, 0.5, 0.5, 0.5, 0.2, 1.0])
    found = true_fsc(masked, randomised, 2)
    np.testing.assert_allclose(found, [1.0, 0.9, 0.9, 0.8, 0.5, (0.4 - 0.999) / 0.001])
    np.testing.assert_array_equal(masked, [1.0, 0.9, 0.9, 0.8, 0.6, 0.4])


@pytest.mark.parametrize("resolution_A", [4.0, None])
def test_shells_that_were_not_measured_hold_nothing(resolution_A: float | None) -> None:
    report = FSCReport(
        curve(1, 0.9, 0.8, 0.7, 0.6),
        curve(1, 0.95, 0.85, 0.75, 0.65),
        curve(1, 0.5, 0.4, 0.3, 0.2),
        curve(1, 0.9, 0.9, 0.9, 0.9),
        resolution_A,
        3,
    )
    cut = up_to(report, 2)
    np.testing.assert_array_equal(cut.unmasked.correlation, [1, 0.9, 0.8, 0, 0])
    np.testing.assert_array_equal(cut.masked.correlation, [1, 0.95, 0.85, 0, 0])
    np.testing.assert_array_equal(cut.phase_randomised.correlation, [1, 0.5, 0.4, 0, 0])
    np.testing.assert_array_equal(cut.corrected.correlation, [1, 0.9, 0.9, 0, 0])
    np.testing.assert_array_equal(cut.corrected.frequency, report.corrected.frequency)
    assert cut.randomised_from == 3
    if resolution_A is None:
        assert cut.resolution_A is None
    else:
        assert cut.resolution_A == pytest.approx(100 / (2 + (0.9 - 0.143) / 0.9))
