"""Every record's version is the hash of its content: nobody can change a result and keep its version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mpop_hooks.findings import Finding
from mpop_store import ObjectStore, version_of

Record = Mapping[str, Any]


def check(records: Mapping[str, Record], before: Mapping[str, Record], objects: ObjectStore) -> Iterator[Finding]:
    """Findings for records whose version does not follow from their content."""
    for path, record in records.items():
        if record.get("version") != version_of(record):
            yield Finding("versions-derive", path, "the version of this record is not the hash of its content")
