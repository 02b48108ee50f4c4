"""From half-maps to the references that particle images are compared with.

Each half-map passes through a prior (`mpop.refinement.priors`), is masked, and is transformed. Content beyond the
reach of the FSC (`mpop.maps.reach`) is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpop.maps.fsc import FSCReport
from mpop.maps.reach import reach_A
from mpop.projection.reference import prepare_reference
from mpop.refinement.priors import DEFAULT, Prior, through_prior
from mpop.refinement.series import SpeciesReference
from mpop.run import Run

if TYPE_CHECKING:
    from mpop.networks.denoiser import Denoiser


def prepare_species(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32],
    report: FSCReport,
    diameter_A: float,
    pixel_size_A: float,
    prior: Prior = DEFAULT,
    denoiser: Denoiser | None = None,
    weights: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    run: Run = Run(),
) -> SpeciesReference | None:
    """Filter, mask and transform both half-maps (z, y, x) of a species; None when they have nothing in common.

    denoiser: of the species, for the prior that goes on from it. weights: of the coefficients of either half-map,
    for the prior that needs them. run: for the one that trains.
    """
    resolution = reach_A(report)
    if resolution is None:
        return None
    passed = through_prior(prior, half1, half2, mask, report, pixel_size_A, denoiser, weights, run)
    halves = tuple(
        prepare_reference(half * mask, pixel_size_A, resolution) for half in (passed.half1, passed.half2)
    )
    return SpeciesReference((halves[0], halves[1]), diameter_A, resolution, passed.denoiser)
