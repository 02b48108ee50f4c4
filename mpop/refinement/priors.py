"""What particle images are compared with: half-maps as they pass through a prior, each half on its own.

    fsc         the half-map times its FSC: a Wiener filter by shells, the same in all directions
    none        the half-map as it is, up to its resolution
    isotropic   `mpop.networks.correction`: a Wiener filter by directions, and what density can be
    denoise     `mpop.networks.denoiser`: a Wiener filter by place, learned from the half-map itself

A half-map is signal plus noise of power SNR^-1 of the signal; FSC = SNR / (1 + SNR) between two of them. The best
estimate of the signal, shell by shell, is the half-map times SNR / (1 + SNR), which is the FSC itself: content
that the halves do not share is not shown to the particles, and refinement climbs in resolution only as the FSC
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
from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import FSCReport

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
) -> Passed:
    """Both half-maps through a prior. report: of the two; denoiser: to go on from, where one is used."""
    if prior == "none":
        return Passed(half1, half2)
    if prior == "isotropic":
        return _isotropic(half1, half2, mask, report, pixel_size_A)
    if prior == "denoise":
        return _denoised(half1, half2, mask, pixel_size_A, denoiser)
    return _weighted(half1, half2, report)


def _weighted(half1: Map, half2: Map, report: FSCReport) -> Passed:
    curve = report.corrected
    limit = np.inf if report.resolution_A is None else 1 / report.resolution_A
    weights = np.where(curve.frequency <= limit, np.clip(curve.correlation, 0.0, 1.0), 0.0)
    return Passed(multiply_radially(half1, weights), multiply_radially(half2, weights))


def _isotropic(half1: Map, half2: Map, mask: Map, report: FSCReport, pixel_size_A: float) -> Passed:
    """Without a network, as it is needed in every iteration. FSC weights where nothing was corrected."""
    from mpop.networks.correction import CorrectionOptions, correct  # loads torch's networks

    corrected = correct(half1, half2, mask, pixel_size_A, CorrectionOptions(steps=0))
    if corrected.models is None:
        return _weighted(half1, half2, report)
    return Passed(corrected.half1, corrected.half2)


def _denoised(half1: Map, half2: Map, mask: Map, pixel_size_A: float, denoiser: Denoiser | None) -> Passed:
    """With a network for each half-map: one that learned from both would let the halves meet."""
    from mpop.networks.denoiser import DenoiseOptions, denoise  # loads torch's networks

    done = denoise(half1, half2, mask, pixel_size_A, DenoiseOptions(networks="independent"), denoiser)
    return Passed(done.half1, done.half2, done.denoiser)
