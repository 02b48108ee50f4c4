"""A species claims the resolution that the FSC of its half-maps shows, and not a better one.

The resolution in the record is what others decide by. It must be where the stored FSC, corrected for the mask,
ends (`mpop_hooks.fsc_end`), so that the number cannot be edited, or kept when the maps change. Where it first
falls below 0.143 is believed, too: the first versions claimed that. A species that claims none is always believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpop_hooks.fields import POINT_GROUP
from mpop_hooks.fsc_end import THRESHOLD, crossing, independent_part
from mpop_hooks.proposal import Proposal
from mpop_hooks.violations import Violation
from mpop_store import MpopError, NotFoundError
from mpop_store.arrays.groups import read_array
from mpop_store.objects.store import ObjectStore

RULE = "resolution-claim"
ADVICE = "run `mpop reconstruct`, which measures it"

TOLERANCE = 1e-3
"""Relative: the claim is the same number, computed again."""
SHELLS = 2**16
"""More than any map has."""


def check(proposal: Proposal) -> Iterator[Violation]:
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
            yield Violation(RULE, path, f"a resolution of {claim:g} A is claimed without an FSC", ADVICE)
            continue
        except MpopError:
            continue  # objects_complete says so
        problem = _problem(float(claim), curves)
        if problem and _problem(float(claim), curves, _independent(proposal.objects, record)):
            yield Violation(RULE, path, problem, ADVICE)


def _independent(objects: ObjectStore, record: Mapping[str, Any]) -> tuple[float, int | None]:
    """The part of all coefficients that is independent in the mask, and the copies of the asymmetric unit; None of
    them where the mask is not stored."""
    try:
        mask = read_array(objects, record["maps_object"], "mask")
    except MpopError:
        return 1.0, None
    if mask.ndim != 3 or not np.isfinite(mask).all() or not mask.any():
        return 1.0, None
    return independent_part(mask), copies(record.get("symmetry"))


def copies(symmetry: object) -> int | None:
    """How many asymmetric units a molecule of a point group has; None for what is no point group."""
    if not isinstance(symmetry, str) or not POINT_GROUP.fullmatch(symmetry):
        return None
    order = int(symmetry[1:]) if symmetry[0] in "CD" else 1
    return {"C": 1, "D": 2, "T": 12, "O": 24, "I": 60}[symmetry[0]] * order


def _problem(
    claim_A: float, curves: NDArray[np.floating], independent: tuple[float, int | None] = (1.0, None)
) -> str | None:
    """What is wrong with a claim, given the rows frequency (1/A), corrected FSC, ... of the stored curves."""
    if curves.ndim != 2 or len(curves) < 2 or not 3 <= curves.shape[1] <= SHELLS:
        return "the stored FSC is not a set of curves"
    frequency, corrected = curves[:2]
    if not np.isfinite(curves[:2]).all() or (np.diff(frequency) <= 0).any():
        return "the stored FSC holds numbers that no FSC has"
    shown = crossing(frequency, corrected, THRESHOLD, *independent)
    if shown is None:
        return f"a resolution of {claim_A:.2f} A is claimed, but the half-maps agree nowhere"
    if abs(claim_A * shown - 1) > TOLERANCE:
        return f"a resolution of {claim_A:.2f} A is claimed, but the stored FSC shows {1 / shown:.2f} A"
    return None
