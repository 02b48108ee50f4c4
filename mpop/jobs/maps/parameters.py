"""What the jobs on maps are asked for, apart from those that train networks: these have options of their own."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from mpop.errors import InputError
from mpop.maps.conventions import HALF_ANGLE_DEG
from mpop.maps.fsc import THRESHOLD
from mpop.records.parameters import Parameters

PUBLISHED_BFACTOR_A2 = 160.0
"""cryoEF's, when none is given."""


class FSCParameters(Parameters):
    """b_factor_A2: None for the fit. low_pass_A: None for the resolution. mtf: the BLAKE3 of the file, with the
    pixel size of the images that it was measured on, None for that of the maps."""

    b_factor_A2: float | None = None
    low_pass_A: float | None = None
    mtf: str | None = None
    mtf_pixel_size_A: float | None = None


class ComparisonParameters(Parameters):
    """What a map is compared with. other: the BLAKE3 of the file."""

    against: Literal["model", "map"]
    other: str


class DirectionalParameters(Parameters):
    """half_angle_deg: of the cones."""

    half_angle_deg: float = HALF_ANGLE_DEG


class LocalResolutionParameters(Parameters):
    """threshold: of the local FSC. b_factor_A2: of the filtered map, negative sharpens."""

    threshold: float = THRESHOLD
    b_factor_A2: float = 0.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 0 < self.threshold < 1:
            raise InputError(f"--threshold {self.threshold:g}: give a correlation between 0 and 1, 0.143 or 0.5")
        if not np.isfinite(self.b_factor_A2):
            raise InputError(f"--b-factor {self.b_factor_A2:g} is not a number")
        return self


class OrientationsParameters(Parameters):
    """bfactor_A2: of the point spread function."""

    bfactor_A2: float = PUBLISHED_BFACTOR_A2
