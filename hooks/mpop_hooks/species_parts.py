"""How the records of a species hang together.

`species/<id>.json` is its head; `species/<id>/<ab>.json` holds the particles in the items whose id begins with ab,
and the head names the version of every part. So a commit costs what changed, and the head's version covers all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]

HEAD = "species"
PART = "species-part"


def particle_groups(record: Record) -> Mapping[str, str]:
    """Item id -> group of the particles of a species there, as far as this record names them."""
    return record.get("particles", {}) if record.get("kind") in (HEAD, PART) else {}


def head_path(part: str) -> str:
    """Where the head of a species is, from where one of its parts is."""
    return f"{part.rpartition('/')[0]}.json"


def part_path(head: str, digits: str) -> str:
    """Where a part of a species is, from where its head is."""
    return f"{head.removesuffix('.json')}/{digits}.json"
