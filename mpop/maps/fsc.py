"""Fourier shell correlation and the resolution that it gives.

    FSC(k) = sum_shell Re(F1 conj F2) / sqrt( sum |F1|^2  sum |F2|^2 )

A mask correlates what it surrounds, so that the masked FSC of noise is not zero. Its part is measured by
randomising phases beyond a shell and masking again: FSC_true = (FSC_masked - FSC_random) / (1 - FSC_random)
(Chen et al. 2013). Resolution is where FSC_true of two half-maps first falls below 0.143.

Maps of nothing but noise also start above 0.143 now and then, as the first shells hold few coefficients and a
mask of volume fraction f leaves only f of them independent: of N_k coefficients in a shell, n_k = f N_k / 2
pairs are, and the variance of the FSC is 1 / (2 n_k). A resolution is given only if the masked FSC up to it,

    z = sum_k n_k FSC_k / sqrt( sum_k n_k / 2 ),

is as far from 0 as chance would not have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import inverse, shell_radius, transform

THRESHOLD = 0.143
RANDOMISE_BELOW = 0.8
"""Phases are randomised from the shell where the unmasked FSC falls below this."""
RANDOMISE_GUARD = 2
"""Shells after that in which the masked FSC is taken as it is: the mask smears signal across the border."""
SIGNIFICANT_Z = 4.0

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FSCCurve:
    """frequency (k,) in 1/A, correlation (k,), one entry per shell from 0 to Nyquist."""

    frequency: Array
    correlation: Array

    def crossing(self, threshold: float) -> float | None:
        """Frequency (1/A) where the curve first falls below, linear between shells.

        None when it is below from the first shell on; the last frequency when it never falls below.
        """
        below = np.flatnonzero(self.correlation[1:] < threshold) + 1
        if len(below) == 0:
            return float(self.frequency[-1])
        i = int(below[0])
        if i == 1:
            return None
        high, low = self.correlation[i - 1], self.correlation[i]
        part = (high - threshold) / (high - low)
        return float(self.frequency[i - 1] + part * (self.frequency[i] - self.frequency[i - 1]))

    def resolution(self, threshold: float = THRESHOLD) -> float | None:
        """1 / `crossing` in A."""
        frequency = self.crossing(threshold)
        return None if frequency is None else 1 / frequency


@dataclass(frozen=True)
class FSCReport:
    """All curves of two half-maps; `corrected` is FSC_true and gives `resolution_A`, None for noise."""

    unmasked: FSCCurve
    masked: FSCCurve
    phase_randomised: FSCCurve
    corrected: FSCCurve
    resolution_A: float | None


def fsc(a: NDArray[np.floating], b: NDArray[np.floating], pixel_size_A: float) -> FSCCurve:
    """FSC of two cubic maps of one box."""
    return _fsc(transform(a), transform(b), a.shape[0], pixel_size_A)


def _fsc(first: NDArray[np.complex64], second: NDArray[np.complex64], box: int, pixel_size_A: float) -> FSCCurve:
    cross = _shell_sums((first * second.conj()).real, box)
    norm = np.sqrt(_shell_sums(np.abs(first) ** 2, box) * _shell_sums(np.abs(second) ** 2, box))
    correlation = np.divide(cross, norm, out=np.zeros(len(cross)), where=norm > 0)
    return FSCCurve(np.arange(len(cross)) / (box * pixel_size_A), correlation)


def _shell_sums(values: NDArray[np.floating], box: int) -> Array:
    """Sums over shells 0 .. box // 2 of the full transform; values (box, box, box // 2 + 1) in rfftn layout."""
    shell = np.rint(shell_radius(box)).astype(np.int32)
    sums = 2 * np.bincount(shell.ravel(), values.ravel()).astype(np.float64)
    # these planes hold both of each pair of Friedel mates
    for column in {0, box // 2} if box % 2 == 0 else {0}:
        sums -= np.bincount(shell[..., column].ravel(), values[..., column].ravel(), minlength=len(sums))
    return sums[: box // 2 + 1]


def fsc_report(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32],
    pixel_size_A: float,
    seed: int = 0,
) -> FSCReport:
    """Unmasked, masked, phase-randomised and corrected FSC of two half-maps (z, y, x)."""
    box = half1.shape[0]
    first, second = transform(half1), transform(half2)
    unmasked = _fsc(first, second, box, pixel_size_A)
    masked = fsc(half1 * mask, half2 * mask, pixel_size_A)
    below = np.flatnonzero(unmasked.correlation[1:] < RANDOMISE_BELOW) + 1
    start = int(below[0]) if len(below) else box // 2
    rng = np.random.default_rng(seed)
    randomised = fsc(
        _randomise_phases(first, box, start, rng) * mask,
        _randomise_phases(second, box, start, rng) * mask,
        pixel_size_A,
    )
    corrected = FSCCurve(masked.frequency, true_fsc(masked.correlation, randomised.correlation, start))
    resolution = corrected.resolution(THRESHOLD)
    if resolution is not None and _significance(masked, mask, 1 / resolution) < SIGNIFICANT_Z:
        resolution = None
    return FSCReport(unmasked, masked, randomised, corrected, resolution)


def true_fsc(masked: Array, randomised: Array, start: int) -> Array:
    """FSC_true of the masked FSC and that with phases randomised from a shell on, all (k,)."""
    corrected = masked.copy()
    beyond = slice(start + RANDOMISE_GUARD, None)
    random = np.minimum(randomised[beyond], 0.999)
    corrected[beyond] = (masked[beyond] - random) / (1 - random)
    return corrected


def _significance(masked: FSCCurve, mask: NDArray[np.float32], crossing: float) -> float:
    """z of the masked FSC over the shells from 1 to the crossing, a frequency (1/A)."""
    box = len(mask)
    squared = np.square(mask, dtype=np.float64)
    fraction = squared.sum() ** 2 / (box**3 * np.square(squared).sum())
    pairs = fraction / 2 * _shell_sums(np.ones((box, box, box // 2 + 1), dtype=np.float32), box)
    used = (masked.frequency > 0) & (masked.frequency <= crossing)
    return float((pairs * masked.correlation)[used].sum() / np.sqrt(pairs[used].sum() / 2))


def _randomise_phases(
    spectrum: NDArray[np.complex64], box: int, start: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The map with random phases from a shell on; amplitudes and everything before stay."""
    noise = transform(rng.standard_normal((box,) * 3, dtype=np.float32))  # Hermitian random phases
    phase = noise / np.maximum(np.abs(noise), np.finfo(np.float32).tiny)
    beyond = shell_radius(box) >= start - 0.5
    return inverse(np.where(beyond, np.abs(spectrum) * phase, spectrum), box)


def fsc_weights(correlation: Array) -> Array:
    """sqrt(2 FSC / (1 + FSC)), the expected correlation of the mean of two half-maps with the truth
    (Rosenthal & Henderson 2003); 0 where the FSC is negative."""
    positive = np.clip(correlation, 0.0, 1.0)
    return np.sqrt(2 * positive / (1 + positive))
