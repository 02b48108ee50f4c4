"""What particle images are compared with: half-maps as they pass through a prior, each half on its own.

    fsc         the half-map times its FSC: a Wiener filter by shells, the same in all directions
    none        the half-map as it is, up to its resolution
    isotropic   `mpop.networks.correction`: a Wiener filter by directions, and what density can be

A half-map is signal plus noise of power SNR^-1 of the signal; FSC = SNR / (1 + SNR) between two of them. The best
estimate of the signal, shell by shell, is the half-map times SNR / (1 + SNR), which is the FSC itself: content
that the halves do not share is not shown to the particles, and refinement climbs in resolution only as the FSC
does. Where views are missing, that estimate is wrong: their directions hold next to nothing but noise, and
particles that do look from there find a better fit among the common views. A prior that knows what directions hold
keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import FSCReport

Map = NDArray[np.float32]
Prior = Literal["fsc", "none", "isotropic"]
DEFAULT: Prior = "fsc"


def parse_prior(text: str) -> Prior:
    """A prior by its name. Raises InputError."""
    for name in get_args(Prior):
        if text == name:
            return name
    raise InputError(f"--prior {text}: there are {', '.join(get_args(Prior))}")


def through_prior(
    prior: Prior, half1: Map, half2: Map, mask: Map, report: FSCReport, pixel_size_A: float
) -> tuple[Map, Map]:
    """Both half-maps (z, y, x) as particles should see them, not masked yet; report: of the two."""
    return PRIORS[prior](half1, half2, mask, report, pixel_size_A)


def _fsc(half1: Map, half2: Map, mask: Map, report: FSCReport, pixel_size_A: float) -> tuple[Map, Map]:
    curve = report.corrected
    limit = np.inf if report.resolution_A is None else 1 / report.resolution_A
    weights = np.where(curve.frequency <= limit, np.clip(curve.correlation, 0.0, 1.0), 0.0)
    return multiply_radially(half1, weights), multiply_radially(half2, weights)


def _none(half1: Map, half2: Map, mask: Map, report: FSCReport, pixel_size_A: float) -> tuple[Map, Map]:
    return half1, half2


def _isotropic(half1: Map, half2: Map, mask: Map, report: FSCReport, pixel_size_A: float) -> tuple[Map, Map]:
    from mpop.networks.correction import correct  # loads torch's networks

    corrected = correct(half1, half2, mask, pixel_size_A)
    return corrected.half1, corrected.half2


PRIORS: dict[Prior, Callable[[Map, Map, Map, FSCReport, float], tuple[Map, Map]]] = {
    "fsc": _fsc,
    "none": _none,
    "isotropic": _isotropic,
}
