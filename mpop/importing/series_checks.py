"""What cannot be right of a tilt series, whichever program it is from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt

Array = NDArray[np.float64]

SIZE_TOLERANCE = 0.01
"""Relative difference up to which two statements of a size agree."""


def questioned_exposures(where: str, exposure: Array) -> list[Doubt]:
    """What cannot be right of (n,) exposures before each tilt, e/A^2."""
    if exposure.min() < 0:
        row = int(exposure.argmin())
        doubt = Doubt(
            "exposure-negative",
            where,
            f"the exposure before tilt {row + 1} is {exposure[row]:g} e/A^2",
            "less than none is not possible",
            "high resolution would be made stronger, not weaker, in that image",
            "correct the exposures there",
            grave=True,
        )
        return [doubt]
    unweighted = "all tilts are weighted as if they were the first"
    if not exposure.any():
        doubt = Doubt(
            "exposure-unknown",
            where,
            "no exposures, or all are 0",
            assumed=unweighted,
            way_on="correct the exposures there",
        )
        return [doubt]
    steps = np.diff(np.sort(exposure))
    if not steps.any() and len(exposure) > 1:
        doubt = Doubt(
            "exposure-constant",
            where,
            f"{exposure[0]:g} e/A^2 before every tilt",
            "exposure adds up from tilt to tilt",
            "it was taken as it is",
            "correct the exposures there",
        )
        return [doubt]
    return []


def compared_image(
    where: str, stated: tuple[float, float], measured: tuple[float, float], pixel_size_A: float
) -> list[Doubt]:
    """stated, measured: x, y in A of the images; measured at this pixel size."""
    if np.abs(np.divide(stated, measured) - 1).max() <= SIZE_TOLERANCE:
        return []
    doubt = Doubt(
        "image-size",
        where,
        f"images should be {in_words(stated)} A",
        f"at {pixel_size_A:g} A/px they are {in_words(measured)} A",
        "the latter holds",
        "give the right --angpix",
        grave=True,
    )
    return [doubt]


def in_words(lengths: Iterable[float]) -> str:
    """Lengths in A of a rectangle or a box."""
    return " x ".join(f"{length:.0f}" for length in lengths)
