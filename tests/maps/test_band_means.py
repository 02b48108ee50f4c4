"""Bands of a frequency, the FSC they show, and the crossing that is inferred."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mpop.maps.band_means import (
    STEP,
    BandMeans,
    band_amplitudes,
    bandwidths,
    model_fsc,
    neighbours,
    parabola,
)
from mpop.maps.shells import shell_radius

NYQUIST = 64.0
BANDS = 5.0 * 1.1 ** np.arange(27)


def coefficients(box: int) -> NDArray[np.float64]:
    """How often each value of an rfftn layout stands for a coefficient of the whole."""
    count = np.full((box, box, box // 2 + 1), 2.0)
    count[..., 0] = 1
    count[..., -1] = 1
    return count


@pytest.mark.parametrize("centre", [9.0, 14.0, 18.5])
def test_a_band_is_centred_by_its_coefficients_in_log_frequency(centre: float) -> None:
    radius = np.maximum(shell_radius(64), 0.5).astype(float)
    power = np.square(band_amplitudes(64, centre, 0.2).astype(float)) * coefficients(64) * (radius <= 32)
    mean = (power * np.log(radius)).sum() / power.sum()
    assert mean == pytest.approx(np.log(centre), abs=0.01)
    assert np.sqrt((power * np.square(np.log(radius) - mean)).sum() / power.sum()) == pytest.approx(
        0.2 / np.sqrt(2), rel=0.04
    )


def test_bands_are_narrower_before_nyquist_and_never_too_narrow() -> None:
    found = bandwidths(np.array([8.0, 55.0, 64.0]), NYQUIST)
    assert found == pytest.approx([0.2, np.log(64 / 55), 0.1])


def shown(means: BandMeans, log_crossing: float, slope: float, bend: float) -> NDArray[np.float64]:
    """What the bands show of an SNR whose slope grows by a factor exp(bend) for each unit of log frequency."""
    distance = means.log_bands[:, None] + means.offsets - log_crossing
    exponent = -slope * (np.expm1(bend * distance) / bend if bend else distance)
    ratio = means.threshold / (1 - means.threshold) * np.exp(np.clip(exponent, -60, 60))
    return (means.weights * ratio / (1 + ratio)).sum(axis=1)


def inferred(means: BandMeans, curve: NDArray[np.float64]) -> float:
    """Log frequency of the crossing, by the drop of this curve alone."""
    band = int(np.flatnonzero(curve > means.threshold)[-1])
    before, after = neighbours(band, len(curve))
    part = (curve[band] - means.threshold) / (curve[band] - curve[band + 1])
    drop, parts, count = np.zeros((3, len(curve) - 1))
    drop[band], parts[band], count[band] = curve[before] - curve[after], part, 1
    shift = parabola(means.shifts(drop, parts, count)[[band]], np.array([part]))
    return float(means.log_bands[band] + STEP * part + shift[0])


@pytest.mark.parametrize("threshold", [0.143, 0.5])
@pytest.mark.parametrize("slope", [4.3, 7.7, 12.0, 30.0])
@pytest.mark.parametrize("crossing", [15.0, 31.4, 50.0, 54.0])
def test_the_crossing_is_found_whatever_the_slope(crossing: float, slope: float, threshold: float) -> None:
    means = BandMeans(BANDS, NYQUIST, threshold)
    curve = shown(means, np.log(crossing), slope, bend=2.0)
    assert inferred(means, curve) == pytest.approx(np.log(crossing), abs=0.007)


@pytest.mark.parametrize("threshold", [0.143, 0.5])
@pytest.mark.parametrize(
    ("slope", "bend"), [(4.0, 0.0), (8.0, 0.0), (15.0, 0.0), (6.0, 1.0), (10.0, 1.0), (9.0, 4.0)]
)
def test_another_bend_moves_the_crossing_by_little(slope: float, bend: float, threshold: float) -> None:
    """A power law, an exponential and a cliff: wrong by less than 2.5 %, the crossing of the means by up to 8."""
    means = BandMeans(BANDS, NYQUIST, threshold)
    assert inferred(means, shown(means, np.log(20.0), slope, bend)) == pytest.approx(np.log(20.0), abs=0.025)


def test_slopes_are_pooled_by_how_many_have_been_seen() -> None:
    """A thousand places outvote one that crosses in the next band; far from it, one speaks for itself."""
    means = BandMeans(BANDS, NYQUIST, 0.143)

    def shifts(count: dict[int, int]) -> NDArray[np.float64]:
        drop, part, counts = np.zeros((3, len(BANDS) - 1))
        for band, many in count.items():
            slope = 8.0 if many > 1 else 30.0
            curve = shown(means, means.log_bands[band] + 0.05, slope, 2.0)
            drop[band], counts[band] = curve[band - 1] - curve[band + 2], many
            part[band] = 0.5
        return means.shifts(drop, part, counts)

    gentle, steep = shifts({10: 1000}), shifts({11: 1})
    assert steep[11, 0] < gentle[10, 0] - 0.03
    assert shifts({10: 1000, 11: 1})[11, 0] == pytest.approx(gentle[10, 0], abs=0.002)
    assert shifts({10: 1000, 20: 1})[20, 0] == pytest.approx(shifts({20: 1})[20, 0], abs=0.002)


def test_the_model_crosses_where_it_says() -> None:
    assert model_fsc(np.zeros((1, 1)), np.array([7.7]), 0.143) == pytest.approx(0.143)
    snr = 8.0 * np.exp(-np.log(8.0 * 0.857 / 0.143) * np.square(np.exp(-0.3)))
    slope = np.array([2 * np.log(8.0 * 0.857 / 0.143)])
    assert model_fsc(np.full((1, 1), -0.3), slope, 0.143) == pytest.approx(snr / (1 + snr))
