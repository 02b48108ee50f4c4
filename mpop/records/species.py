"""A species as it is kept in Git: a head, and parts by the first two digits of item ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mpop.records.models import SpeciesHead, SpeciesRecord
from mpop_hooks.schema import BY_ITEM, PART
from mpop_store import version_of


def split(record: SpeciesRecord) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The head, and the parts by their two digits, as JSON and with their versions."""
    parts: dict[str, dict[str, Any]] = {}
    for field in BY_ITEM:
        for item, name in getattr(record, field).items():
            empty = {"kind": PART.kind, "species": record.id, **{key: {} for key in BY_ITEM}}
            parts.setdefault(item[:2], empty)[field][item] = name
    for part in parts.values():
        part["version"] = version_of(part)
    head = record.model_dump(mode="json", exclude=set(BY_ITEM))
    head["n_items"] = len(record.item_versions)
    head["parts"] = {digits: part["version"] for digits, part in parts.items()}
    head["version"] = version_of(head)
    return head, parts


def join(head: SpeciesHead, parts: Iterable[Mapping[str, Any]]) -> SpeciesRecord:
    """The whole species."""
    together: dict[str, dict[str, str]] = {field: {} for field in BY_ITEM}
    for part in parts:
        for field in BY_ITEM:
            together[field] |= part[field]
    return SpeciesRecord.model_validate(head.model_dump() | together)
