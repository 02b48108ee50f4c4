"""Windows show the pixels around a particle and no others, whatever their size."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.series.extraction import cut

AROUND = 300
IMAGE = np.arange(1, 421 * 450 + 1, dtype=np.float32).reshape(421, 450)
SURROUNDED = np.pad(IMAGE, AROUND)
ORIGINS = [(0, 0), (220, 200), (449, 420), (7, 419)]
"""x, y: in corners, in the middle, near a border."""


@pytest.mark.parametrize("size", range(1, 601))
def test_every_pixel_of_a_window_is_its_own(size: int) -> None:
    windows = cut(np.pad(IMAGE, size // 2), np.array(ORIGINS) + size // 2, size)
    from_origin = [place - size // 2 for place in range(size)]
    for (x, y), window in zip(ORIGINS, windows, strict=True):
        rows, columns = ([AROUND + centre + step for step in from_origin] for centre in (y, x))
        assert np.array_equal(window, SURROUNDED[rows][:, columns])
