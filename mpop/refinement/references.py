"""From half-maps to the references that particle images are compared with.

A half-map is signal plus noise of power SNR^-1 of the signal; FSC = SNR / (1 + SNR) between two of them. The
best estimate of the signal is the half-map times SNR / (1 + SNR), which is the FSC itself: content that the
halves do not share is not shown to the particles, and refinement climbs in resolution only as the FSC does.
Content beyond the first crossing of 0.143 is left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import FSCReport
from mpop.projection.reference import prepare_reference
from mpop.refinement.series import SpeciesReference


def prepare_species(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32],
    report: FSCReport,
    diameter_A: float,
    pixel_size_A: float,
) -> SpeciesReference | None:
    """Filter, mask and transform both half-maps (z, y, x) of a species; None when they have nothing in common."""
    resolution = report.resolution_A
    if resolution is None:
        return None
    curve = report.corrected
    weights = np.where(curve.frequency <= 1 / resolution, np.clip(curve.correlation, 0.0, 1.0), 0.0)
    halves = tuple(
        prepare_reference(multiply_radially(half, weights) * mask, pixel_size_A, resolution)
        for half in (half1, half2)
    )
    return SpeciesReference((halves[0], halves[1]), diameter_A, resolution)
