"""FSC against what it must be, against RELION's real curves, and its honesty about noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from mpop.maps.filters import inverse, multiply_radially, transform
from mpop.maps.fsc import FSCCurve, fsc, fsc_report, fsc_weights, true_fsc
from mpop.maps.masks import soft_sphere
from mpop.maps.shells import shell_radius

BOX = 48
PIXEL_A = 2.0


def white(rng: np.random.Generator, box: int = BOX) -> np.ndarray:
    return rng.standard_normal((box,) * 3, dtype=np.float32)


def half_maps(seed: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two halves of Gaussian blobs in a sphere plus noise, and a mask around the sphere."""
    rng = np.random.default_rng(seed)
    mask = soft_sphere(BOX, PIXEL_A, 24.0, 8.0)
    signal = multiply_radially(white(rng) * soft_sphere(BOX, PIXEL_A, 20.0, 4.0), np.exp(-np.arange(BOX) / 6.0))
    signal /= signal.std()
    return signal + noise * white(rng), signal + noise * white(rng), mask


def curve(*correlation: float) -> FSCCurve:
    return FSCCurve(np.arange(len(correlation)) / 100.0, np.array(correlation))


def test_of_a_map_with_itself_and_its_negative() -> None:
    volume = white(np.random.default_rng(0))
    np.testing.assert_allclose(fsc(volume, volume, PIXEL_A).correlation, 1.0, atol=1e-6)
    np.testing.assert_allclose(fsc(volume, -3 * volume, PIXEL_A).correlation, -1.0, atol=1e-6)


def test_shells_run_from_zero_to_nyquist() -> None:
    frequency = fsc(np.ones((BOX,) * 3), np.ones((BOX,) * 3), PIXEL_A).frequency
    assert len(frequency) == BOX // 2 + 1
    assert frequency[0] == 0
    assert frequency[1] == pytest.approx(1 / (BOX * PIXEL_A))
    assert frequency[-1] == pytest.approx(1 / (2 * PIXEL_A))


@pytest.mark.parametrize("box", [16, 17])
def test_is_the_correlation_over_the_full_transform(box: int) -> None:
    """Without the short cut over half of the transform."""
    rng = np.random.default_rng(1)
    a, b = white(rng, box), white(rng, box)
    first, second = np.fft.fftn(a), np.fft.fftn(b)
    axis = np.fft.fftfreq(box) * box
    radius = np.rint(np.sqrt(np.sum(np.square(np.meshgrid(axis, axis, axis)), axis=0)))
    expected = []
    for shell in range(box // 2 + 1):
        f, g = first[radius == shell], second[radius == shell]
        expected.append(np.vdot(g, f).real / np.sqrt(np.vdot(f, f).real * np.vdot(g, g).real))
    np.testing.assert_allclose(fsc(a, b, 1.0).correlation, expected, atol=1e-5)


def test_follows_the_signal_to_noise_ratio() -> None:
    """White signal of variance 1 and noise of variance 0.25 in each half: FSC = SNR / (1 + SNR) = 0.8."""
    rng = np.random.default_rng(2)
    signal = white(rng)
    found = fsc(signal + 0.5 * white(rng), signal + 0.5 * white(rng), 1.0).correlation
    assert found[8:].mean() == pytest.approx(0.8, abs=0.005)
    assert np.abs(found[8:] - 0.8).max() < 0.05


def test_a_map_of_zeros_correlates_with_nothing() -> None:
    zeros = np.zeros((BOX,) * 3, dtype=np.float32)
    np.testing.assert_array_equal(fsc(zeros, zeros, 1.0).correlation, 0.0)


def test_resolution_is_linear_between_shells() -> None:
    assert curve(1, 0.9, 0.5, 0.1, 0.4).resolution(0.2) == pytest.approx(100 / 2.75)


def test_resolution_is_at_the_first_crossing() -> None:
    assert curve(1, 0.9, 0.0, 0.9, 0.9, 0.0).resolution(0.45) == pytest.approx(100 / 1.5)


def test_resolution_of_a_curve_that_never_falls_is_nyquist() -> None:
    assert curve(1, 0.9, 0.8, 0.7).resolution() == pytest.approx(100 / 3)


def test_no_resolution_for_a_curve_that_starts_below() -> None:
    assert curve(1, 0.1, 0.9, 0.9, 0.0).resolution() is None


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=30), st.floats(0.05, 0.95))
def test_everything_before_the_crossing_is_above(values: list[float], threshold: float) -> None:
    found = curve(*values)
    crossing = found.crossing(threshold)
    if crossing is None:
        assert values[1] < threshold
    else:
        before = found.correlation[1:][found.frequency[1:] < crossing - 1e-9]
        assert (before >= threshold).all()


def test_true_fsc_is_what_relion_computes(test_data: Path) -> None:
    """Six postprocess.star of a real project: RELION's randomising shell, masked and randomised curves."""
    files = sorted((test_data / "relion5_tomo" / "PostProcess").glob("job*/postprocess.star"))
    assert len(files) == 6
    for file in files:
        table = starfile.read(file)["fsc"]
        unmasked, masked, randomised, corrected = (
            table[f"rln{name}"].to_numpy(dtype=float)
            for name in (
                "FourierShellCorrelationUnmaskedMaps",
                "FourierShellCorrelationMaskedMaps",
                "CorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
                "FourierShellCorrelationCorrected",
            )
        )
        start = int(np.flatnonzero(unmasked[1:] < 0.8)[0]) + 1
        np.testing.assert_allclose(true_fsc(masked, randomised, start), corrected, atol=2e-5)


def test_report_finds_the_resolution_of_the_signal_not_of_the_mask() -> None:
    first, second, mask = half_maps(3, noise=3.0)
    report = fsc_report(first, second, mask, PIXEL_A)
    start = int(np.flatnonzero(report.unmasked.correlation[1:] < 0.8)[0]) + 1
    assert report.masked.correlation[start:].mean() > report.unmasked.correlation[start:].mean()
    assert report.resolution_A == report.corrected.resolution()
    # the truth: FSC over the same mask of signals whose noise is known
    without_mask = report.unmasked.resolution()
    assert without_mask is not None
    assert report.resolution_A is not None
    assert 2 * PIXEL_A < report.resolution_A < without_mask


def test_a_tight_mask_does_not_make_noise_resolved() -> None:
    """Beyond the signal the masked FSC of two maps that share a mask's edge is not zero; FSC_true is."""
    rng = np.random.default_rng(4)
    mask = (soft_sphere(BOX, PIXEL_A, 20.0, 1e-3) > 0.5).astype(np.float32)
    shared = multiply_radially(white(rng), (np.arange(BOX) < 6).astype(float))
    shared += 5 * shared.std()  # a bright background that the mask cuts off
    noisy = [shared + 0.3 * shared.std() * white(rng) for _ in range(2)]
    report = fsc_report(noisy[0], noisy[1], mask, PIXEL_A)
    beyond = slice(10, None)
    assert report.masked.correlation[beyond].mean() > 0.5
    assert abs(report.corrected.correlation[beyond].mean()) < 0.1


def test_randomised_phases_keep_amplitudes_and_low_frequencies() -> None:
    first, second, _ = half_maps(5, noise=1.0)
    everywhere = np.ones_like(first)
    report = fsc_report(first, second, everywhere, PIXEL_A)
    start = int(np.flatnonzero(report.unmasked.correlation[1:] < 0.8)[0]) + 1
    np.testing.assert_allclose(
        report.phase_randomised.correlation[:start], report.unmasked.correlation[:start], atol=1e-4
    )
    assert np.abs(report.phase_randomised.correlation[start + 1 :]).mean() < 0.05


def test_is_the_same_for_the_same_seed() -> None:
    first, second, mask = half_maps(6, noise=2.0)
    again, other = (fsc_report(first, second, mask, PIXEL_A, seed) for seed in (0, 1))
    report = fsc_report(first, second, mask, PIXEL_A)
    np.testing.assert_array_equal(report.corrected.correlation, again.corrected.correlation)
    assert np.abs(report.corrected.correlation - other.corrected.correlation).max() > 0
    assert report.resolution_A == pytest.approx(other.resolution_A, rel=0.02)


def test_noise_has_no_resolution() -> None:
    """The first shells of noise are above 0.143 in about 4 of 10 such maps; that is not a resolution."""
    mask, above, given_out = soft_sphere(32, 1.0, 8.0, 4.0), 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        report = fsc_report(white(rng, 32), white(rng, 32), mask, 1.0)
        above += report.corrected.resolution() is not None
        given_out += report.resolution_A is not None
    assert above >= 5
    assert given_out == 0


def test_a_coarse_map_still_has_its_resolution() -> None:
    """Signal to about a third of the particle's diameter: what a first average may have."""
    rng = np.random.default_rng(7)
    low = multiply_radially(white(rng), (np.arange(BOX) <= 5).astype(float))
    low /= low.std()
    first, second = (low + white(rng) for _ in range(2))
    report = fsc_report(first, second, soft_sphere(BOX, PIXEL_A, 24.0, 8.0), PIXEL_A)
    assert report.resolution_A == pytest.approx(BOX * PIXEL_A / 6.5, rel=0.25)


def test_weights_are_the_expected_correlation_with_the_truth() -> None:
    """C_ref = sqrt(2 FSC / (1 + FSC)): 0.143 gives 0.5."""
    np.testing.assert_allclose(fsc_weights(np.array([1.0, 1 / 7, 0.0, -0.5])), [1.0, 0.5, 0.0, 0.0])
    rng = np.random.default_rng(8)
    signal = white(rng)
    first, second = signal + 1.5 * white(rng), signal + 1.5 * white(rng)
    expected = fsc((first + second) / 2, signal, 1.0).correlation[8:]
    found = fsc_weights(fsc(first, second, 1.0).correlation)[8:]
    assert np.abs(found - expected).mean() < 0.03


def test_shells_of_the_filters_are_those_of_the_fsc() -> None:
    """Removing the shells up to 4 of one map leaves the FSC whole from 5 on."""
    volume = white(np.random.default_rng(9))
    cut = inverse(np.where(np.rint(shell_radius(BOX)) > 4, transform(volume), 0), BOX)
    found = fsc(volume, cut, 1.0).correlation
    np.testing.assert_allclose(found[5:], 1.0, atol=1e-5)


@pytest.mark.parametrize("level", [1.0, 10.0])
def test_noise_about_a_level_has_no_resolution(level: float) -> None:
    """A mask cuts its own shape out of a level, and two such shapes agree."""
    mask = soft_sphere(32, PIXEL_A, 0.42 * 64, 6.0)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        report = fsc_report(white(rng, 32) + level, white(rng, 32) + level, mask, PIXEL_A)
        assert report.resolution_A is None


def test_a_level_changes_no_resolution_of_a_signal() -> None:
    first, second, mask = half_maps(3, noise=2.0)
    plain, raised = (fsc_report(first + level, second + level, mask, PIXEL_A) for level in (0.0, 1.0))
    assert plain.resolution_A is not None
    assert raised.resolution_A == pytest.approx(plain.resolution_A, rel=0.03)
