"""Every particle is in one half-set, once, for ever: otherwise the FSC would compare a map with itself.

Half-maps are refined apart so that noise cannot agree between them. A particle that moves to the other half takes
along what it was aligned to, and from then on the resolution is overestimated. A merge is compared with each of
its parents, so two labs that put one particle on different sides cannot be joined.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mpop_hooks.proposal import Proposal
from mpop_hooks.schema import particle_groups
from mpop_hooks.violations import Violation
from mpop_store import MpopError, ObjectStore
from mpop_store.arrays.groups import read_group

RULE = "halves-unmixed"
ADVICE = "give every particle the half-set that it had, and reconstruct"


def check(proposal: Proposal) -> Iterator[Violation]:
    """Findings for particles that belong to no half, are listed twice, or have changed sides."""
    for path, record in proposal.records.items():
        old = particle_groups(proposal.before.get(path, {}))
        for item, name in particle_groups(record).items():
            if name != old.get(item) and (message := _problem(proposal.objects, name, old.get(item))):
                yield Violation(RULE, path, f"{message} in item {item}", ADVICE)


def _problem(objects: ObjectStore, name: str, old: str | None) -> str | None:
    """What is wrong with a particle group that replaces another."""
    try:
        ids, halves = _read(objects, name)
        if not np.isin(halves, (1, 2)).all():
            return "particles belong to neither half 1 nor 2"
        if len(np.unique(ids)) != len(ids):
            return "a particle is listed twice"
        if old is None:
            return None
        kept = _read(objects, old)
        _, here, there = np.intersect1d(ids, kept[0], return_indices=True)
        moved = np.count_nonzero(halves[here] != kept[1][there])
        return f"{moved} particles have moved to the other half-set" if moved else None
    except MpopError:
        return None  # objects_complete says so


def _read(objects: ObjectStore, name: str) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    arrays, _ = read_group(objects, name)
    return arrays["id"], arrays["half"]
