"""Policies: what must hold before a commit becomes visible. One module each, asked in this order."""

from collections.abc import Mapping
from typing import Any

from mpop_hooks import halves_unmixed, objects_complete, versions_derive
from mpop_hooks.findings import Finding
from mpop_store import ObjectStore

POLICIES = (versions_derive, objects_complete, halves_unmixed)

__all__ = ["POLICIES", "Finding", "check_records"]


Record = Mapping[str, Any]


def check_records(
    records: Mapping[str, Record], before: Mapping[str, Record], objects: ObjectStore
) -> list[Finding]:
    """All findings about the records that a commit adds or changes.

    records: by path, as they would be; before: by path, as they are in the commit before, where they are.
    """
    return [finding for policy in POLICIES for finding in policy.check(records, before, objects)]
