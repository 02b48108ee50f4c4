"""Every particle is in one half-set and there once: otherwise the FSC would compare a map with itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mpop_hooks.findings import Finding
from mpop_store import MpopError, ObjectStore
from mpop_store.groups import read_group


def check(records: Mapping[str, Mapping[str, Any]], objects: ObjectStore) -> Iterator[Finding]:
    """Findings for particles that belong to no half, or are listed twice."""
    for path, record in records.items():
        if record.get("kind") != "species":
            continue
        for item, name in record.get("particles", {}).items():
            try:
                arrays, _ = read_group(objects, name)
            except MpopError:
                continue  # objects_complete says so
            if not np.isin(arrays["half"], (1, 2)).all():
                yield Finding("halves-unmixed", path, f"particles in item {item} belong to neither half 1 nor 2")
            if len(np.unique(arrays["id"])) != len(arrays["id"]):
                yield Finding("halves-unmixed", path, f"a particle is listed twice in item {item}")
