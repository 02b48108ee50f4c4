"""Every particle is in one half-set, once, for ever: otherwise the FSC would compare a map with itself.

Half-maps are refined apart so that noise cannot agree between them. A particle that moves to the other half takes
along what it was aligned to, and from then on the resolution is overestimated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpop_hooks.findings import Finding
from mpop_store import MpopError, ObjectStore
from mpop_store.groups import read_group

Record = Mapping[str, Any]


def check(records: Mapping[str, Record], before: Mapping[str, Record], objects: ObjectStore) -> Iterator[Finding]:
    """Findings for particles that belong to no half, are listed twice, or have changed sides."""
    for path, record in records.items():
        if record.get("kind") != "species":
            continue
        old = before.get(path, {}).get("particles", {})
        for item, name in record.get("particles", {}).items():
            message = _problem(objects, name, old.get(item, name))
            if message:
                yield Finding("halves-unmixed", path, f"{message} in item {item}")


def _problem(objects: ObjectStore, name: str, old: str) -> str | None:
    """What is wrong with a particle group that replaces another."""
    try:
        ids, halves = _read(objects, name)
        if not np.isin(halves, (1, 2)).all():
            return "particles belong to neither half 1 nor 2"
        if len(np.unique(ids)) != len(ids):
            return "a particle is listed twice"
        _, here, there = np.intersect1d(ids, (kept := _read(objects, old))[0], return_indices=True)
        moved = np.count_nonzero(halves[here] != kept[1][there])
        return f"{moved} particles have moved to the other half-set" if moved else None
    except MpopError:
        return None  # objects_complete says so


def _read(objects: ObjectStore, name: str) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    arrays, _ = read_group(objects, name)
    return arrays["id"], arrays["half"]
