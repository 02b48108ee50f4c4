"""What makes the FSC of two half-maps untrustworthy, and how to tell from the maps: one doubt for each reason.

`fsc`, `local-resolution`, `denoise`, `correct`, `reconstruct`, `refine` and the import of a species ask here;
`fsc3d` and RELION's hook, which know less, ask for some.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.maps.filters import transform
from mpop.maps.fsc import SIGNIFICANT_Z, THRESHOLD, FSCCurve, FSCReport, significance
from mpop.maps.shells import mean_amplitudes
from mpop.maps.volume_checks import unnamed_doubt, volume_doubts

RANDOM_LIMIT = 0.1
"""A phase-randomised FSC above this at the resolution is the mask's own correlation; RELION warns at the same."""
RANDOM_Z = 3.0
"""Shells of small boxes and masks hold so few coefficients that noise is above the limit, too."""
LEVEL_PART = 0.5
"""Of the amplitude of a shell: from this on it is mostly the mask's, times the level of the solvent."""
CUT_AMPLITUDE, CUT_FROM_A = 0.02, 15.0
"""Unfiltered half-maps hold noise up to Nyquist: from 15 A on, there is no shell from which on all have less than
this part of the amplitude of the octave before it."""
NEAR_CUT = 0.85
RISEN_SHELLS = 3

Map = NDArray[np.float32]


def half_map_doubts(
    where: str,
    half1: Map,
    half2: Map,
    mask: Map,
    report: FSCReport,
    amplitude: NDArray[np.floating],
    pixel_size_A: float,
) -> list[Doubt]:
    """Why not to trust the FSC; empty when there is no reason.

    where: the half-maps in words. mask: that of the report. amplitude: (k,) mean amplitude of the shells of the
    half-maps' mean.
    """
    found = [
        _filtered_before(report, amplitude),
        never_falls(report.corrected),
        _rises_again(mask, report),
        _worse_with_mask(report),
        _mask_correlates(half1, mask, report),
        _no_signal(report),
    ]
    resolved = _shell_of(report.corrected, report.corrected.crossing(THRESHOLD))
    volumes = volume_doubts(where, half1, half2, mask, report.unmasked.correlation, resolved, pixel_size_A)
    return [*volumes, *(replace(doubt, where=where) for doubt in found if doubt is not None)]


def _filtered_before(report: FSCReport, amplitude: NDArray[np.floating]) -> Doubt | None:
    """The outermost tenth is left out: reconstructions leave their corners and last shells empty.

    A filter far beyond the resolution, as of starting maps, takes nothing from the FSC.
    """
    frequency = report.corrected.frequency
    resolved = 1 / report.resolution_A if report.resolution_A else np.inf
    last = int(0.9 * (len(frequency) - 1))
    for shell in range(int(np.searchsorted(frequency, 1 / CUT_FROM_A)), last + 1):
        if amplitude[shell : last + 1].max() < CUT_AMPLITUDE * amplitude[shell // 2 : shell].max():
            if resolved < NEAR_CUT * frequency[shell]:
                return None
            return unnamed_doubt(
                "half-maps-filtered",
                f"beyond {1 / frequency[shell]:.1f} A the half-maps are almost empty: they were low-pass filtered "
                "before, and their FSC says nothing there",
                "use unfiltered half-maps",
            )
    return None


def never_falls(curve: FSCCurve) -> Doubt | None:
    """A curve that stays above 0.143."""
    if (curve.correlation[1:] < THRESHOLD).any():
        return None
    least, nyquist = float(curve.correlation[1:].min()), 1 / curve.frequency[-1]
    return unnamed_doubt(
        "fsc-never-falls",
        f"the FSC never falls below {least:.2f} up to Nyquist, {nyquist:.2f} A: either the half-maps are not "
        "independent (are they two versions of one map?), or their pixels are too large for what they resolve",
    )


def _rises_again(mask: Map, report: FSCReport) -> Doubt | None:
    """Only where several shells in a row are above the threshold, as no noise is."""
    curve, crossing = report.corrected, report.corrected.crossing(THRESHOLD)
    beyond = 0 if crossing is None else _shell_of(curve, crossing) + 1
    above = np.flatnonzero(curve.correlation[beyond:] >= THRESHOLD) + beyond if beyond else np.empty(0, int)
    runs = np.split(above, np.flatnonzero(np.diff(above) > 1) + 1)
    risen = [
        run
        for run in runs
        if len(run) >= RISEN_SHELLS
        and significance(curve, mask, *curve.frequency[[run[-1], run[0]]]) >= SIGNIFICANT_Z
    ]
    if not risen or crossing is None:
        return None
    most, last = max(float(curve.correlation[run].max()) for run in risen), curve.frequency[risen[-1][-1]]
    return unnamed_doubt(
        "fsc-rises-again",
        f"the FSC falls below {THRESHOLD} at {1 / crossing:.2f} A, which counts as the resolution, but rises "
        f"again, to {most:.2f}, and is above up to {1 / last:.2f} A: is there a gap of the CTF, or were both "
        "half-maps corrected, denoised or filtered?",
        "look at the curve",
    )


def _worse_with_mask(report: FSCReport) -> Doubt | None:
    with_mask, without = report.corrected.resolution(THRESHOLD), report.unmasked.resolution(THRESHOLD)
    if without is None or (with_mask is not None and 1 / with_mask > 1 / without - report.corrected.frequency[1]):
        return None
    reached = "nothing" if with_mask is None else f"{with_mask:.2f} A"
    return unnamed_doubt(
        "worse-with-mask",
        f"resolution is {reached} with the mask and {without:.2f} A without: does the mask lie on the particle?",
    )


def _mask_correlates(half: Map, mask: Map, report: FSCReport) -> Doubt | None:
    shell = _shell_of(report.corrected, report.corrected.crossing(THRESHOLD))
    at = max(shell, report.randomised_from + 2)
    if at >= len(report.phase_randomised.correlation) or shell == 0:
        return None
    random = float(report.phase_randomised.correlation[at])
    frequency = float(report.corrected.frequency[at])
    if random <= RANDOM_LIMIT or significance(report.phase_randomised, mask, frequency, frequency) < RANDOM_Z:
        return None
    found = f"with random phases the FSC is still {random:.2f} at {1 / frequency:.2f} A: "
    level = _level_in_shell(half, mask, at)
    if level is not None:
        return unnamed_doubt(
            "mask-correlates",
            f"{found}the mask is too tight or too hard for a solvent at {level:.3g} and not at 0, out of which it "
            "cuts its own shape",
            "subtract that from both half-maps, or use a softer mask",
        )
    return unnamed_doubt(
        "mask-correlates",
        f"{found}the mask is too tight or too hard, and correlates the half-maps by itself",
        "use a wider, softer one",
    )


def _level_in_shell(half: Map, mask: Map, shell: int) -> float | None:
    """The mean of the solvent, where the mask times it is most of what the masked half-map has in a shell."""
    solvent = mask == 0
    if not solvent.any():
        return None
    level = half[solvent].mean(dtype=np.float64)
    shape, whole = (mean_amplitudes(transform(one))[shell] for one in (mask, half * mask))
    return float(level) if abs(level) * shape > LEVEL_PART * whole else None


def _no_signal(report: FSCReport) -> Doubt | None:
    if report.resolution_A:
        return None
    return unnamed_doubt(
        "no-signal", "the half-maps do not agree beyond what chance gives: no resolution", grave=True
    )


def _shell_of(curve: FSCCurve, frequency: float | None) -> int:
    """The last whole shell up to a frequency; 0 for None."""
    step = float(curve.frequency[1])
    return 0 if frequency is None else int(frequency / step + 1e-6)
