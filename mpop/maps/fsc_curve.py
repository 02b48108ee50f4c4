"""FSC by shell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop_hooks.fsc_end import THRESHOLD, crossing

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FSCCurve:
    """frequency (k,) in 1/A, correlation (k,), one entry per shell from 0 to Nyquist.

    part: of all coefficients those that are independent in the mask, 1 without one. copies: of the asymmetric
    unit, by symmetry; None where that is not known, and every fall counts (`mpop_hooks.fsc_end`).
    """

    frequency: Array
    correlation: Array
    part: float = 1.0
    copies: int | None = None

    def crossing(self, threshold: float) -> float | None:
        """Frequency (1/A) where the curve first falls below and not by chance, linear between shells.

        None when it is below from the first shell on; the last frequency when it never falls below.
        """
        return crossing(self.frequency, self.correlation, threshold, self.part, self.copies)

    def resolution(self, threshold: float = THRESHOLD) -> float | None:
        """1 / `crossing` in A."""
        frequency = self.crossing(threshold)
        return None if frequency is None else 1 / frequency
