"""What makes the FSC of two half-maps untrustworthy, and how to tell from the maps: one line for each reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import resample, transform
from mpop.maps.fsc import SIGNIFICANT_Z, THRESHOLD, FSCCurve, FSCReport, fsc, mean_amplitudes, significance

RANDOM_LIMIT = 0.1
"""A phase-randomised FSC above this at the resolution is the mask's own correlation; RELION warns at the same."""
LEVEL_PART = 0.5
"""Of the amplitude of a shell: from this on it is mostly the mask's, times the level of the solvent."""
EMPTY_PART = 0.6
"""More zeros than this are more than what lies outside of a sphere: the maps were masked before."""
CUT_AMPLITUDE, CUT_FROM_A = 0.02, 15.0
"""Unfiltered half-maps hold noise up to Nyquist: from 15 A on, there is no shell from which on all have less than
this part of the amplitude of the octave before it."""
RISEN_SHELLS = 3
HAND_BOX = 64
HAND_SHELLS = 16
HAND_GAIN = 0.2
CONTRAST = -0.2
"""Mean FSC below which one map is the other's negative."""
COARSE_PART = 0.25
"""A resolution below this part of Nyquist is coarse enough to ask whether one half is the other's mirror image."""

Map = NDArray[np.float32]


def half_map_doubts(
    half1: Map, half2: Map, mask: Map, report: FSCReport, amplitude: NDArray[np.floating], pixel_size_A: float
) -> list[str]:
    """Why not to trust the FSC; empty when there is no reason.

    mask: that of the report. amplitude: (k,) mean amplitude of the shells of the half-maps' mean.
    """
    found = [
        _masked_before(half1, half2),
        _filtered_before(report, amplitude),
        _never_falls(report),
        _rises_again(mask, report),
        _worse_with_mask(report),
        _mask_correlates(half1, mask, report),
        _opposite_contrast(report),
        _opposite_hand(half1, half2, report, pixel_size_A),
        _no_signal(report),
    ]
    return [line for line in found if line]


def mirrored(volume: Map) -> Map:
    """The other hand: x to -x about the origin voxel box // 2."""
    return np.roll(volume[:, :, ::-1], 1 - len(volume) % 2, axis=2)


def _masked_before(half1: Map, half2: Map) -> str:
    empty = 1 - max(np.count_nonzero(half1), np.count_nonzero(half2)) / half1.size
    if empty <= EMPTY_PART:
        return ""
    return (
        f"{100 * empty:.0f} % of the voxels are exactly 0: the half-maps were masked before, which randomising "
        "phases cannot see; use unmasked half-maps"
    )


def _filtered_before(report: FSCReport, amplitude: NDArray[np.floating]) -> str:
    """The outermost tenth is left out: reconstructions leave their corners and last shells empty."""
    frequency = report.corrected.frequency
    last = int(0.9 * (len(frequency) - 1))
    for shell in range(int(np.searchsorted(frequency, 1 / CUT_FROM_A)), last + 1):
        if amplitude[shell : last + 1].max() < CUT_AMPLITUDE * amplitude[shell // 2 : shell].max():
            return (
                f"beyond {1 / frequency[shell]:.1f} A the half-maps are almost empty: they were low-pass filtered "
                "before, and their FSC says nothing there; use unfiltered half-maps"
            )
    return ""


def _never_falls(report: FSCReport) -> str:
    curve = report.corrected
    if (curve.correlation[1:] < THRESHOLD).any():
        return ""
    least, nyquist = float(curve.correlation[1:].min()), 1 / curve.frequency[-1]
    return (
        f"the FSC never falls below {least:.2f} up to Nyquist, {nyquist:.2f} A: either the half-maps are not "
        "independent (are they two versions of one map?), or their pixels are too large for what they resolve"
    )


def _rises_again(mask: Map, report: FSCReport) -> str:
    """Only where several shells in a row are above the threshold, as no noise is."""
    curve, crossing = report.corrected, report.corrected.crossing(THRESHOLD)
    beyond = 0 if crossing is None else _shell_of(report, crossing) + 1
    above = np.flatnonzero(curve.correlation[beyond:] >= THRESHOLD) + beyond if beyond else np.empty(0, int)
    runs = np.split(above, np.flatnonzero(np.diff(above) > 1) + 1)
    risen = [
        run
        for run in runs
        if len(run) >= RISEN_SHELLS
        and significance(curve, mask, *curve.frequency[[run[-1], run[0]]]) >= SIGNIFICANT_Z
    ]
    if not risen or crossing is None:
        return ""
    most, last = max(float(curve.correlation[run].max()) for run in risen), curve.frequency[risen[-1][-1]]
    return (
        f"the FSC falls below {THRESHOLD} at {1 / crossing:.2f} A, where resolution is told, but rises again, to "
        f"{most:.2f}, and is above as far as {1 / last:.2f} A: look at the curve. Is there a gap of the CTF, or "
        "were both half-maps corrected, denoised or filtered?"
    )


def _worse_with_mask(report: FSCReport) -> str:
    with_mask, without = report.corrected.resolution(THRESHOLD), report.unmasked.resolution(THRESHOLD)
    if without is None or (with_mask is not None and 1 / with_mask > 1 / without - report.corrected.frequency[1]):
        return ""
    reached = "nothing" if with_mask is None else f"{with_mask:.2f} A"
    return f"resolution is {reached} with the mask and {without:.2f} A without: does the mask lie on the particle?"


def _mask_correlates(half: Map, mask: Map, report: FSCReport) -> str:
    shell = _shell_of(report, report.corrected.crossing(THRESHOLD))
    at = max(shell, report.randomised_from + 2)
    if at >= len(report.phase_randomised.correlation) or shell == 0:
        return ""
    random = float(report.phase_randomised.correlation[at])
    if random <= RANDOM_LIMIT:
        return ""
    found = f"with random phases the FSC is still {random:.2f} at {1 / report.corrected.frequency[at]:.2f} A: "
    level = _level_in_shell(half, mask, at)
    if level is not None:
        return (
            f"{found}the mask is too tight or too hard for a solvent at {level:.3g} and not at 0, out of which it "
            "cuts its own shape; subtract that from both half-maps, or use a softer mask"
        )
    return (
        f"{found}the mask is too tight or too hard, and correlates the half-maps by itself; use a wider, softer "
        "one"
    )


def _level_in_shell(half: Map, mask: Map, shell: int) -> float | None:
    """The mean of the solvent, where the mask times it is most of what the masked half-map has in a shell."""
    solvent = mask == 0
    if not solvent.any():
        return None
    level = half[solvent].mean(dtype=np.float64)
    shape, whole = (mean_amplitudes(transform(one))[shell] for one in (mask, half * mask))
    return float(level) if abs(level) * shape > LEVEL_PART * whole else None


def _opposite_hand(half1: Map, half2: Map, report: FSCReport, pixel_size_A: float) -> str:
    shell = _shell_of(report, report.corrected.crossing(THRESHOLD))
    coarse = shell <= COARSE_PART * (len(report.corrected.frequency) - 1)
    if not coarse or not of_opposite_hand(half1, half2, pixel_size_A):
        return ""
    return "one half-map agrees much better with the mirror image of the other: they are of opposite hand"


def _opposite_contrast(report: FSCReport) -> str:
    if not of_opposite_contrast(report.unmasked):
        return ""
    return "one half-map is the negative of the other: density is white in one and black in the other"


def of_opposite_contrast(curve: FSCCurve) -> bool:
    """Whether two maps anticorrelate in the coarse shells."""
    return float(curve.correlation[1 : HAND_SHELLS + 1].mean()) < CONTRAST


def of_opposite_hand(first: Map, second: Map, pixel_size_A: float) -> bool:
    """Whether a map agrees with the mirror image of another, and much better than with the other."""
    small = min(len(first), HAND_BOX)
    voxel = pixel_size_A * len(first) / small
    a, b = resample(first, small), resample(second, small)
    shells = slice(1, HAND_SHELLS)
    same, other = (float(fsc(a, one, voxel).correlation[shells].mean()) for one in (b, mirrored(b)))
    return other > HAND_GAIN + max(same, 0.0)


def _no_signal(report: FSCReport) -> str:
    return "" if report.resolution_A else "the half-maps do not agree beyond what chance gives: no resolution"


def _shell_of(report: FSCReport, frequency: float | None) -> int:
    """The last whole shell up to a frequency; 0 for None."""
    step = float(report.corrected.frequency[1])
    return 0 if frequency is None else int(frequency / step + 1e-6)
