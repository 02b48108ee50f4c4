"""What a record names in the object store. The store asks; whoever knows the records answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class References:
    """Names of objects. groups and derived: manifests, whose parts are meant too; files: single objects.

    derived: can be computed again, so they may be missing.
    """

    groups: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()


ReferencesOf = Callable[[Mapping[str, Any]], References]
"""What one record names."""


def no_references(record: Mapping[str, Any]) -> References:
    """For records that name nothing."""
    return References()
