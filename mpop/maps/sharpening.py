"""Sharpening: the Guinier plot of a map, the B-factor that a line through it gives, and the map without the decay.

Beyond about 10 A the mean amplitude of a protein's shells falls as exp(-B s^2 / 4), s the frequency in 1/A, for
all reasons that a map is blurred for. What is fitted is the mean of two half-maps after division by the detector's
MTF, weighted by C_ref = sqrt(2 FSC / (1 + FSC)), which leaves of each shell what is signal (Rosenthal & Henderson
2003). The sign is RELION's: sharpening is a negative B-factor.

The line runs from 10 A to the resolution. RELION's goes on by default to the first shell whose
corrected FSC is not positive, which is a matter of chance: with other random phases its B-factor of one pair of
half-maps changes by tens of A^2 (docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.maps.fsc import FSCCurve, fsc_weights
from mpop.maps.shells import mean_amplitudes

FIT_FROM_A = 10.0
LOWEST_FSC = 1e-4
"""From the first shell on whose corrected FSC is below this, nothing of a map is left."""
MIN_FIT_SHELLS = 5
EDGE_SHELLS = 2.0
"""Width of the low-pass filter's raised cosine."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BFactorFit:
    """A line through the weighted Guinier plot: ln F = intercept + slope s^2, B = 4 slope, in A^2.

    r_squared: of the points about the line. from_A, to_A: resolutions of the first and the last point. shells: how
    many points. error_A2: standard error of B.
    """

    slope_A2: float
    intercept: float
    r_squared: float
    from_A: float
    to_A: float
    shells: int
    error_A2: float

    @property
    def b_factor_A2(self) -> float:
        """Negative where amplitudes decay."""
        return 4 * self.slope_A2


@dataclass(frozen=True)
class GuinierPlot:
    """ln of the mean amplitude of shells 0 to Nyquist, each (k,); NaN where nothing is left of the map.

    Amplitudes are those of a transform that divides by the number of voxels. without_mtf: divided by the MTF,
    equal to `original` when none was given. weighted: by C_ref as well.
    """

    frequency: Array
    original: Array
    without_mtf: Array | None
    weighted: Array

    def fit(self, to_A: float, from_A: float = FIT_FROM_A) -> BFactorFit | None:
        """The line through the weighted amplitudes of a range of resolution; None for fewer than five shells."""
        step = 1e-6 * self.frequency[1]
        used = (self.frequency >= 1 / from_A - step) & (self.frequency <= 1 / to_A + step)
        used &= np.isfinite(self.weighted)
        if used.sum() < MIN_FIT_SHELLS:
            return None
        frequency, amplitude = self.frequency[used], self.weighted[used]
        slope, intercept = np.polyfit(np.square(frequency), amplitude, 1)
        r_squared = float(np.corrcoef(np.square(frequency), amplitude)[0, 1]) ** 2
        first, last, shells = float(frequency[0]), float(frequency[-1]), len(frequency)
        unexplained = float(np.square(amplitude - np.polyval([slope, intercept], np.square(frequency))).sum())
        error = np.sqrt(unexplained / (shells - 2)) / (np.square(frequency).std() * np.sqrt(shells))
        return BFactorFit(float(slope), float(intercept), r_squared, 1 / first, 1 / last, shells, 4 * float(error))


def weights_of_shells(corrected: Array) -> Array:
    """C_ref of shells (k,), 0 from the first one on whose corrected FSC is below `LOWEST_FSC`."""
    below = np.flatnonzero(corrected < LOWEST_FSC)
    weights = fsc_weights(corrected)
    if len(below):
        weights[below[0] :] = 0.0
    return weights


def guinier_plot(spectrum: NDArray[np.complex64], corrected: FSCCurve, mtf: Array | None = None) -> GuinierPlot:
    """Of a transform (box, box, box // 2 + 1). mtf: (k,) of the detector at the shells."""
    with np.errstate(divide="ignore"):
        original = np.log(mean_amplitudes(spectrum) / len(spectrum) ** 3)
        without_mtf = None if mtf is None else _finite(original - np.log(mtf))
        weighted = (original if mtf is None else without_mtf) + np.log(weights_of_shells(corrected.correlation))
    return GuinierPlot(corrected.frequency, _finite(original), without_mtf, _finite(weighted))


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def sharpening_curve(
    corrected: FSCCurve, b_factor_A2: float, low_pass_A: float | None = None, mtf: Array | None = None
) -> Array:
    """(k,) what shells are multiplied by: C_ref / MTF, exp(-B s^2 / 4), and a low-pass with a soft edge."""
    frequency = corrected.frequency
    curve = weights_of_shells(corrected.correlation) * np.exp(-b_factor_A2 / 4 * np.square(frequency))
    if mtf is not None:
        curve /= mtf
    if low_pass_A is not None:
        shell = float(frequency[1])
        phase = np.clip((frequency - 1 / low_pass_A) / (EDGE_SHELLS * shell) + 0.5, 0.0, 1.0)
        curve *= 0.5 + 0.5 * np.cos(np.pi * phase)
    return curve
