"""How far two half-maps have something in common, where it is not one stretch.

The resolution is where the FSC first falls below a threshold. Molecules of helices have little power from 20 to
12 A and much of it around 10, so that the FSC of poor half-maps falls, and rises again. What lies behind the gap
turns particles better than all before it; a refinement that looks no farther than the gap may never get there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.maps.fsc import THRESHOLD, FSCReport

NEIGHBOURS = 3
"""Shells that must reach the threshold together behind a gap, since single ones do so by chance."""


def resolved_shell(fsc: NDArray[np.floating], threshold: float) -> int:
    """The last shell before the FSC (from shell 0) first falls below a threshold; 0 for none."""
    below = np.flatnonzero(np.asarray(fsc)[1:] < threshold) + 1
    return int(below[0]) - 1 if len(below) else len(fsc) - 1


def reached_shell(fsc: NDArray[np.floating], threshold: float) -> int:
    """The last shell that is not below a threshold, nor the mean of it and its neighbours; at least
    `resolved_shell`, and 0 where that is 0."""
    resolved = resolved_shell(fsc, threshold)
    if not resolved:
        return 0
    means = np.convolve(fsc, np.full(NEIGHBOURS, 1 / NEIGHBOURS), mode="valid")
    centre = NEIGHBOURS // 2
    above = np.flatnonzero((means >= threshold) & (fsc[centre:-centre] >= threshold)) + centre
    return max(resolved, int(above[-1])) if len(above) else resolved


def reach_A(report: FSCReport) -> float | None:
    """How far particles can be compared with half-maps: to their resolution or farther; None without one."""
    if report.resolution_A is None:
        return None
    shell = reached_shell(report.corrected.correlation, THRESHOLD)
    return min(report.resolution_A, 1 / float(report.corrected.frequency[shell])) if shell else report.resolution_A
