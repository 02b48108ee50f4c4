"""What particle images are compared with: half-maps as they pass through a prior, each half on its own.

    fsc         the half-map times its FSC: a Wiener filter by shells, the same in all directions
    none        the half-map as it is, up to its resolution
    isotropic   `mpop.maps.weighted_restoration`: a Wiener filter by directions, and what density can be
    denoise     `mpop.networks.denoiser`: a Wiener filter by place, learned from the half-map itself

A half-map is signal plus noise of power SNR^-1 of the signal; FSC = SNR / (1 + SNR) between two of them. The best
estimate of the signal, shell by shell, is the half-map times SNR / (1 + SNR), which is the FSC itself: content
that the halves do not share is not shown to the particles, and resolution rises only as the FSC
does. Where views are missing, that estimate is wrong: their directions hold next to nothing but noise, and
particles that do look from there find a better fit among the common views. A prior that knows what directions hold
keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.maps.filters import multiply_radially, transform
from mpop.maps.fsc import FSCReport
from mpop.maps.reach import reach_A
from mpop.maps.shells import shell_means
from mpop.run import Run

if TYPE_CHECKING:
    from mpop.networks.denoiser import Denoiser

Map = NDArray[np.float32]
Prior = Literal["fsc", "none", "isotropic", "denoise"]
DEFAULT: Prior = "fsc"


def parse_prior(text: str) -> Prior:
    """A prior by its name. Raises InputError."""
    for name in get_args(Prior):
        if text == name:
            return name
    raise InputError(f"--prior {text}: there are {', '.join(get_args(Prior))}")


@dataclass(frozen=True)
class Passed:
    """Both half-maps (z, y, x) as particles should see them, not masked yet. denoiser: what was learned."""

    half1: Map
    half2: Map
    denoiser: Denoiser | None = None


def through_prior(
    prior: Prior,
    half1: Map,
    half2: Map,
    mask: Map,
    report: FSCReport,
    pixel_size_A: float,
    denoiser: Denoiser | None = None,
    weights: tuple[Map, Map] | None = None,
    run: Run = Run(),
) -> Passed:
    """Both half-maps through a prior. report: of the two; denoiser: to go on from, where one is used. weights: of
    the coefficients of either (`mpop.maps.reconstruction.coefficient_weights`), for the isotropic prior."""
    if prior == "none":
        return Passed(half1, half2)
    if prior == "isotropic":
        assert weights is not None, "this prior asks how well each coefficient was measured"
        return _isotropic((half1, half2), weights, mask, report)
    if prior == "denoise":
        return _denoised(half1, half2, mask, pixel_size_A, denoiser, run)
    return _weighted(half1, half2, report)


def _weighted(half1: Map, half2: Map, report: FSCReport) -> Passed:
    weights = _fsc_weights(report)
    return Passed(multiply_radially(half1, weights), multiply_radially(half2, weights))


def _fsc_weights(report: FSCReport) -> NDArray[np.float64]:
    """(shells,) the FSC as far as it reaches, 0 beyond."""
    curve, reach = report.corrected, reach_A(report)
    limit = np.inf if reach is None else (1 + 1e-9) / reach
    return np.where(curve.frequency <= limit, np.clip(curve.correlation, 0.0, 1.0), 0.0)


def _isotropic(halves: tuple[Map, Map], weights: tuple[Map, Map], mask: Map, report: FSCReport) -> Passed:
    """Each restored as the weights of its slices allow; of the other one only means over shells are known."""
    from mpop.maps.weighted_restoration import evidence_of_weights, restore  # the other priors wait for less

    fsc = _fsc_weights(report)
    signal = np.where(fsc[: len(mask) // 2 + 1] > 0, _signal_to_noise(halves, weights, mask), 0.0)
    half1, half2 = (
        restore(half, evidence_of_weights(weight, signal), mask, fsc)
        for half, weight in zip(halves, weights, strict=True)
    )
    return Passed(half1, half2)


def _signal_to_noise(halves: tuple[Map, Map], weights: tuple[Map, Map], mask: Map) -> NDArray[np.float64]:
    """(shells,) power of the density over that of noise in a coefficient of weight 1.

    Coefficients count by their weight, so that those that were hardly measured do not drown the others in noise.
    """
    weight = (weights[0] + weights[1]) / 2
    levels = [half[mask == 0].mean() if (mask == 0).any() else np.float32(0) for half in halves]
    first, second = (transform((half - level) * mask) for half, level in zip(halves, levels, strict=True))
    noise = shell_means(weight * np.square(np.abs(transform(halves[0] - halves[1])))) / 2
    signal = shell_means(weight * np.real(first * second.conj()))
    scale = shell_means(weight) * noise
    return np.divide(np.maximum(signal, 0), scale, out=np.zeros_like(scale), where=scale > 0)


def _denoised(
    half1: Map, half2: Map, mask: Map, pixel_size_A: float, denoiser: Denoiser | None, run: Run
) -> Passed:
    """With a network for each half-map: one that learned from both would let the halves meet."""
    from mpop.networks.denoiser import DenoiseOptions, denoise  # loads torch's networks

    done = denoise(half1, half2, mask, pixel_size_A, DenoiseOptions(networks="independent"), denoiser, run)
    return Passed(done.half1, done.half2, done.denoiser)
