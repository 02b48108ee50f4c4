"""Fourier shell correlation and the resolution that it gives.

    FSC(k) = sum_shell Re(F1 conj F2) / sqrt( sum |F1|^2  sum |F2|^2 )

A mask correlates what it surrounds, so that the masked FSC of noise is not zero. Its part is measured by
randomising phases beyond a shell and masking again: FSC_true = (FSC_masked - FSC_random) / (1 - FSC_random)
(Chen et al. 2013). Where FSC_true of two half-maps falls below 0.143 (`mpop_hooks.fsc_end`) is their resolution.

Maps of nothing but noise also start above 0.143 now and then, as the first shells hold few coefficients and a
mask of volume fraction f leaves only f of them independent: of N_k coefficients in a shell, n_k = f N_k / 2
pairs are, and the variance of the FSC is 1 / (2 n_k). A resolution is given only if the masked FSC up to it,

    z = sum_k n_k FSC_k / sqrt( sum_k n_k / 2 ),

is as far from 0 as chance would not have it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import inverse, transform
from mpop.maps.fsc_curve import FSCCurve
from mpop.maps.shells import amplitude_of, columns_of_mates, real_product, shell_counts, shell_radii, shell_sums
from mpop_hooks.fsc_end import SIGNIFICANT_Z, THRESHOLD, independent_part

RANDOMISE_BELOW = 0.8
"""Phases are randomised from the first shell where the unmasked FSC is below this, as RELION does."""
RANDOMISE_GUARD = 2
"""Shells after that in which the masked FSC is taken as it is: the mask smears signal across the border."""
CERTAIN_Z = 50.0
"""More than what a mask around a constant can give."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FSCReport:
    """All curves of two half-maps; `corrected` is FSC_true and gives `resolution_A`, None for noise.

    randomised_from: the shell from which on phases were randomised.
    """

    unmasked: FSCCurve
    masked: FSCCurve
    phase_randomised: FSCCurve
    corrected: FSCCurve
    resolution_A: float | None
    randomised_from: int


def fsc(a: NDArray[np.floating], b: NDArray[np.floating], pixel_size_A: float) -> FSCCurve:
    """FSC of two cubic maps of one box."""
    return fsc_of_spectra(transform(a), transform(b), pixel_size_A)


def masked_fsc(
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    mask: NDArray[np.float32],
    pixel_size_A: float,
    copies: int | None = None,
) -> FSCCurve:
    """FSC of two cubic maps within a mask."""
    return replace(fsc(a * mask, b * mask, pixel_size_A), part=independent_part(mask), copies=copies)


def fsc_of_spectra(first: NDArray[np.complex64], second: NDArray[np.complex64], pixel_size_A: float) -> FSCCurve:
    """FSC of two maps by their transforms (box, box, box // 2 + 1)."""

    def products(plane: int) -> list[NDArray[np.float32]]:
        a, b = first[plane], second[plane]
        return [real_product(a, b), real_product(a, a), real_product(b, b)]

    box = len(first)
    cross, power1, power2 = shell_sums(products, box)
    norm = np.sqrt(power1 * power2)
    correlation = np.divide(cross, norm, out=np.zeros(len(cross)), where=norm > 0)
    return FSCCurve(np.arange(len(cross)) / (box * pixel_size_A), correlation)


def fsc_report(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32],
    pixel_size_A: float,
    seed: int = 0,
    copies: int | None = None,
) -> FSCReport:
    """Unmasked, masked, phase-randomised and corrected FSC of two half-maps (z, y, x).

    copies: of the asymmetric unit that both were made to have; None where that is not known.
    """
    masked = masked_fsc(half1, half2, mask, pixel_size_A, copies)
    first, second = transform(half1), transform(half2)
    unmasked = replace(fsc_of_spectra(first, second, pixel_size_A), copies=copies)
    start = randomising_shell(unmasked)
    rng = np.random.default_rng(seed)
    random1 = transform(_randomise_phases(first, start, rng, mask))
    del first  # of large maps each spectrum counts
    random2 = transform(_randomise_phases(second, start, rng, mask))
    del second
    randomised = fsc_of_spectra(random1, random2, pixel_size_A)
    corrected = replace(masked, correlation=true_fsc(masked.correlation, randomised.correlation, start))
    resolution = corrected.resolution(THRESHOLD)
    if resolution is not None and _by_chance(half1, half2, mask, masked, 1 / resolution):
        resolution = None
    return FSCReport(unmasked, masked, randomised, corrected, resolution, start)


def up_to(report: FSCReport, last_shell: int) -> FSCReport:
    """The same with an FSC of 0 beyond the last shell that was measured.

    A mask smears signal into the shells beyond, of both half-maps alike. Without this a map with smaller pixels
    than its images have reads as resolved to its own Nyquist frequency.
    """

    def cut(curve: FSCCurve) -> FSCCurve:
        measured = np.arange(len(curve.correlation)) <= last_shell
        return replace(curve, correlation=np.where(measured, curve.correlation, 0.0))

    unmasked, masked, randomised, corrected = (
        cut(curve) for curve in (report.unmasked, report.masked, report.phase_randomised, report.corrected)
    )
    resolution = None if report.resolution_A is None else corrected.resolution(THRESHOLD)
    return FSCReport(unmasked, masked, randomised, corrected, resolution, report.randomised_from)


def randomising_shell(unmasked: FSCCurve) -> int:
    """The shell from which on phases are randomised; the last one where the FSC never falls that far."""
    below = np.flatnonzero(unmasked.correlation[1:] < RANDOMISE_BELOW) + 1
    return int(below[0]) if len(below) else len(unmasked.correlation) - 1


def true_fsc(masked: Array, randomised: Array, start: int) -> Array:
    """FSC_true of the masked FSC and that with phases randomised from a shell on, all (k,)."""
    corrected = masked.copy()
    beyond = slice(start + RANDOMISE_GUARD, None)
    random = np.minimum(randomised[beyond], 0.999)
    corrected[beyond] = (masked[beyond] - random) / (1 - random)
    return corrected


def _by_chance(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32],
    masked: FSCCurve,
    crossing: float,
) -> bool:
    """Whether maps of noise could have this masked FSC up to the crossing, a frequency (1/A).

    Where the solvent is not at 0, the mask cuts its own shape out of it, which correlates the first shells of any
    two maps. So what is not beyond doubt is looked at again with the solvent at 0.
    """
    if significance(masked, mask, crossing) >= CERTAIN_Z:
        return False
    solvent = mask == 0
    if solvent.any():
        step = float(masked.frequency[1])
        first, second = ((half - half[solvent].mean()) * mask for half in (half1, half2))
        masked = fsc(first, second, 1 / (len(mask) * step))
    return significance(masked, mask, crossing) < SIGNIFICANT_Z


def significance(masked: FSCCurve, mask: NDArray[np.float32], last: float, first: float = 0.0) -> float:
    """z of the masked FSC over the shells from one frequency (1/A) to another, both included, but for shell 0."""
    pairs = independent_pairs(mask)
    used = (masked.frequency > 0) & (masked.frequency >= first) & (masked.frequency <= last)
    return float((pairs * masked.correlation)[used].sum() / np.sqrt(pairs[used].sum() / 2))


def independent_pairs(mask: NDArray[np.float32]) -> Array:
    """(box // 2 + 1,) independent pairs of coefficients in each shell of masked maps."""
    return independent_part(mask) / 2 * shell_counts(len(mask))


def _randomise_phases(
    spectrum: NDArray[np.complex64], start: int, rng: np.random.Generator, mask: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The map with random phases from radius `start` on, masked; amplitudes and all before stay.

    Uses up `spectrum`. In the columns that hold both of a pair of Friedel mates, the phase is the difference of
    two random ones, so that mates have opposite phases.
    """
    box = len(spectrum)
    mates = columns_of_mates(box)
    whole = rng.random((box, box, len(mates)), dtype=np.float32)
    phase_of_mates = whole - np.roll(whole[::-1, ::-1], (1, 1), axis=(0, 1))
    for plane, radius, in_mates in zip(spectrum, shell_radii(box), phase_of_mates, strict=True):
        turns = rng.random(plane.shape, dtype=np.float32)
        turns[:, mates] = in_mates
        angle = np.float32(2 * np.pi) * turns
        beyond, amplitude = radius >= start, amplitude_of(plane)
        np.multiply(amplitude, np.cos(angle), out=plane.real, where=beyond)
        np.multiply(amplitude, np.sin(angle), out=plane.imag, where=beyond)
    random = inverse(spectrum, box, use_up=True)
    random *= mask
    return random


def fsc_weights(correlation: Array) -> Array:
    """sqrt(2 FSC / (1 + FSC)), the expected correlation of the mean of two half-maps with the truth
    (Rosenthal & Henderson 2003); 0 where the FSC is negative."""
    positive = np.clip(correlation, 0.0, 1.0)
    return np.sqrt(2 * positive / (1 + positive))
