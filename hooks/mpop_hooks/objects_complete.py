"""Everything that a record names is in the store: a commit never points at data that is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mpop_hooks.findings import Finding
from mpop_store import ObjectStore


def named_objects(record: Mapping[str, Any]) -> Iterator[str]:
    """Names of the objects that a record needs; derived ones may be missing and do not count."""
    for key, value in record.items():
        if key.endswith("_object") and value is not None:
            yield value
    if record.get("kind") == "species":
        yield from record.get("particles", {}).values()
    for raw in record.get("raw", ()):
        if raw.get("stored_object") is not None:
            yield raw["stored_object"]


def check(records: Mapping[str, Mapping[str, Any]], objects: ObjectStore) -> Iterator[Finding]:
    """Findings for objects that are named but missing."""
    for path, record in records.items():
        for name in named_objects(record):
            if not objects.has(name):
                yield Finding("objects-complete", path, f"object {name} is named but is not in the store")
