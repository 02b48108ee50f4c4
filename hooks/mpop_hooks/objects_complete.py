"""Everything that a record names is in the store: a commit never points at data that is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mpop_hooks.findings import Finding
from mpop_store import MpopError, ObjectStore
from mpop_store.groups import group_objects

PLAIN = ("warp_xml_object", "tomostar_object")
"""Fields that name a file kept byte for byte; all others name groups of arrays."""

Record = Mapping[str, Any]


def named_groups(record: Record) -> Iterator[str]:
    """Names of the groups that a record needs; derived ones may be missing and do not count."""
    for key, value in record.items():
        if key.endswith("_object") and key not in PLAIN and value is not None:
            yield value
    if record.get("kind") == "species":
        yield from record.get("particles", {}).values()
    for raw in record.get("raw", ()):
        if raw.get("stored_object") is not None:
            yield raw["stored_object"]


def named_files(record: Record) -> Iterator[str]:
    """Names of the files that a record needs."""
    yield from (record[key] for key in PLAIN if record.get(key) is not None)


def derived_groups(record: Record) -> Iterator[str]:
    """Names of the groups that a record can do without."""
    yield from (kept["group"] for kept in record.get("derived", {}).get("sums", {}).values())


def check(records: Mapping[str, Record], before: Mapping[str, Record], objects: ObjectStore) -> Iterator[Finding]:
    """Findings for objects, of groups their parts too, that are named but missing."""
    for path, record in records.items():
        needed = list(named_files(record))
        for name in named_groups(record):
            try:
                needed += group_objects(objects, name)
            except MpopError as error:
                yield Finding("objects-complete", path, str(error))
        for name in needed:
            if not objects.has(name):
                yield Finding("objects-complete", path, f"object {name} is named but is not in the store")
