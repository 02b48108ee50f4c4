"""A species claims the resolution that the FSC of its half-maps shows, and not a better one.

The resolution in the record is what others decide by. It must be where the stored FSC, corrected for the mask,
first falls below 0.143, so that the number cannot be edited, or kept when the maps change. A species that claims
none is always believed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mpop_hooks.findings import Finding
from mpop_hooks.proposal import Proposal
from mpop_store import MpopError, NotFoundError
from mpop_store.arrays.groups import read_array

RULE = "resolution-claim"
ADVICE = "run `mpop reconstruct`, which measures it"

THRESHOLD = 0.143
TOLERANCE = 1e-3
"""Relative: the claim is the same number, computed again."""
SHELLS = 2**16
"""More than any map has."""


def check(proposal: Proposal) -> Iterator[Finding]:
    """Findings for new maps or claims that do not go together."""
    for path, record in proposal.records.items():
        claim, old = record.get("resolution_A"), proposal.before.get(path, {})
        if claim is None or "maps_object" not in record:
            continue
        if (claim, record["maps_object"]) == (old.get("resolution_A"), old.get("maps_object")):
            continue
        try:
            curves = read_array(proposal.objects, record["maps_object"], "fsc")
        except NotFoundError:
            yield Finding(RULE, path, f"a resolution of {claim:g} A is claimed without an FSC", ADVICE)
            continue
        except MpopError:
            continue  # objects_complete says so
        if problem := _problem(float(claim), curves):
            yield Finding(RULE, path, problem, ADVICE)


def _problem(claim_A: float, curves: NDArray[np.floating]) -> str | None:
    """What is wrong with a claim, given the rows frequency (1/A), corrected FSC, ... of the stored curves."""
    if curves.ndim != 2 or len(curves) < 2 or not 3 <= curves.shape[1] <= SHELLS:
        return "the stored FSC is not a set of curves"
    frequency, corrected = curves[:2]
    if not np.isfinite(curves[:2]).all() or (np.diff(frequency) <= 0).any():
        return "the stored FSC holds numbers that no FSC has"
    shown = crossing(frequency, corrected)
    if shown is None:
        return f"a resolution of {claim_A:.2f} A is claimed, but the half-maps agree nowhere"
    if abs(claim_A * shown - 1) > TOLERANCE:
        return f"a resolution of {claim_A:.2f} A is claimed, but the stored FSC shows {1 / shown:.2f} A"
    return None


def crossing(frequency: NDArray[np.floating], correlation: NDArray[np.floating]) -> float | None:
    """Frequency (1/A) where a curve first falls below 0.143, linear between shells.

    The last when it never does; None when it is below from the first shell after 0 on.
    """
    below = np.flatnonzero(correlation[1:] < THRESHOLD) + 1
    if not len(below):
        return float(frequency[-1])
    i = int(below[0])
    if i == 1:
        return None
    part = (correlation[i - 1] - THRESHOLD) / (correlation[i - 1] - correlation[i])
    return float(frequency[i - 1] + part * (frequency[i] - frequency[i - 1]))
