"""Guinier plot, B-factor and sharpening of maps whose decay is known."""

from __future__ import annotations

import numpy as np
import pytest
from noisy_halves import noisy_halves

from mpop.maps.filters import inverse, scale_shells, transform
from mpop.maps.fsc import FSCCurve, fsc_report
from mpop.maps.sharpening import guinier_plot, sharpening_curve, weights_of_shells

BOX, PIXEL_A = 64, 1.5
FREQUENCY = np.arange(BOX // 2 + 1) / (BOX * PIXEL_A)


def certain() -> FSCCurve:
    return FSCCurve(FREQUENCY, np.ones(len(FREQUENCY)))


@pytest.mark.parametrize("b_factor", [0.0, 60.0, 250.0])
def test_white_points_decay_by_their_b_factor(b_factor: float) -> None:
    """Points at random places have the same mean amplitude in all shells, before they are blurred."""
    truth = noisy_halves(BOX, PIXEL_A, b_factor).truth
    fit = guinier_plot(transform(truth), certain()).fit(3.2)
    assert fit is not None
    assert fit.b_factor_A2 == pytest.approx(-b_factor, abs=6)
    assert fit.from_A == pytest.approx(9.6)
    assert fit.to_A == pytest.approx(96 / 30)
    if b_factor:
        assert fit.r_squared > 0.97


def test_sharpening_takes_the_decay_back() -> None:
    spectrum = transform(noisy_halves(BOX, PIXEL_A, 150.0).truth)
    before = guinier_plot(spectrum, certain()).fit(3.2)
    assert before is not None
    scale_shells(spectrum, sharpening_curve(certain(), before.b_factor_A2))
    after = guinier_plot(spectrum, certain()).fit(3.2)
    assert after is not None
    assert after.b_factor_A2 == pytest.approx(0, abs=0.5)  # not 0: curves are linear between shells
    assert after.intercept == pytest.approx(before.intercept, abs=0.01)


def test_amplitudes_do_not_depend_on_the_box() -> None:
    """A wave of amplitude a has |F| = a / 2 in both of its coefficients. Shell 1 has 18, radii 1 and 1.41."""
    for box in (16, 32):
        wave = 3 * np.cos(2 * np.pi * np.arange(box) / box).astype(np.float32)
        volume = np.broadcast_to(wave, (box,) * 3).copy()
        flat = FSCCurve(np.arange(box // 2 + 1) / box, np.ones(box // 2 + 1))
        assert guinier_plot(transform(volume), flat).original[1] == pytest.approx(np.log(2 * 1.5 / 18), abs=1e-5)


def test_the_fit_does_not_hang_on_the_random_phases() -> None:
    """A line to the first shell without positive FSC would. It is less steep than the signal's: the amplitudes
    hold the noise of the whole box, the weights are those of the masked maps, in RELION as here."""
    maps = noisy_halves(BOX, PIXEL_A, 150.0, noise=0.7)
    spectrum = transform((maps.half1 + maps.half2) / 2)
    found = []
    for seed in range(6):
        report = fsc_report(maps.half1, maps.half2, maps.mask, PIXEL_A, seed)
        assert report.resolution_A is not None
        fit = guinier_plot(spectrum, report.corrected).fit(report.resolution_A)
        assert fit is not None
        found.append(fit.b_factor_A2)
    assert np.std(found) < 4
    assert -150 < np.mean(found) < -100


def test_too_few_shells_give_no_line() -> None:
    assert guinier_plot(transform(noisy_halves(BOX, PIXEL_A).truth), certain()).fit(7.5) is None


def test_nothing_is_left_beyond_the_first_shell_without_signal() -> None:
    weights = weights_of_shells(np.array([1.0, 1 / 7, 0.5, -0.1, 0.9]))
    np.testing.assert_allclose(weights, [1.0, 0.5, np.sqrt(1 / 1.5), 0.0, 0.0])


def test_low_pass_is_half_at_its_resolution_and_ends_within_two_shells() -> None:
    curve = sharpening_curve(certain(), 0.0, low_pass_A=96 / 20)
    np.testing.assert_allclose(curve[[0, 18, 20, 22]], [1.0, 1.0, 0.5, 0.0], atol=1e-9)
    assert (np.diff(curve) <= 0).all()


def test_the_mtf_is_divided_out() -> None:
    mtf = np.linspace(1.0, 0.4, len(FREQUENCY))
    spectrum = transform(noisy_halves(BOX, PIXEL_A, 50.0).truth)
    plain = guinier_plot(spectrum, certain())
    scale_shells(spectrum, mtf)
    divided = guinier_plot(spectrum, certain(), mtf)
    assert divided.without_mtf is not None
    np.testing.assert_allclose(divided.without_mtf[1:-1], plain.original[1:-1], atol=0.02)
    np.testing.assert_allclose(sharpening_curve(certain(), 0.0, mtf=mtf), 1 / mtf)


def test_the_weighted_map_is_nearer_to_the_truth() -> None:
    maps = noisy_halves(BOX, PIXEL_A, 100.0, noise=1.0)
    report = fsc_report(maps.half1, maps.half2, maps.mask, PIXEL_A)
    mean = (maps.half1 + maps.half2) / 2
    spectrum = transform(mean)
    scale_shells(spectrum, sharpening_curve(report.corrected, 0.0, report.resolution_A))
    weighted = inverse(spectrum, BOX)
    inside = maps.mask > 0.5
    before, after = (np.corrcoef(one[inside], maps.truth[inside])[0, 1] for one in (mean, weighted))
    assert after > before + 0.05
