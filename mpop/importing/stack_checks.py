"""What must hold of stacks of particle images, whichever program they are from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError

AT_A_TIME = 64
"""Images that are looked at together."""


def require_one_size(path: Path, stack: NDArray, size: int | None, way_on: str = "") -> None:
    """Raise InputError for images (n, y, x) that are not square and even, or of another size in px than others."""
    _, height, width = stack.shape
    if height != width or size not in (None, width) or width % 2:
        text = f"{path}: images of {width} x {height} px; all must be square, even and of one size"
        raise InputError(f"{text}; {way_on}" if way_on else text)


def require_images(path: Path, stack: NDArray, images: NDArray[np.int64], where: str) -> None:
    """Raise InputError for images, by their place, that a stack does not hold, or that are no numbers.

    where: what lists them.
    """
    beyond = images[images >= len(stack)]
    if len(beyond):
        raise InputError(f"{where}: image {beyond[0] + 1} of {path} is listed, but that holds {len(stack)}")
    for some in np.array_split(images, range(AT_A_TIME, len(images), AT_A_TIME)):
        finite = np.isfinite(np.asarray(stack)[some]).all(axis=(1, 2))
        if not finite.all():
            raise InputError(f"{path}: image {some[~finite][0] + 1} holds NaN or infinity")
