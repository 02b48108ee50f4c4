"""From what a person says about conflicts to one way for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mpop.errors import InputError
from mpop.merging.conflicts import WAYS, Conflict, Way
from mpop.merging.three_way import Side


@dataclass(frozen=True)
class Decision:
    """How a conflict is resolved. side: the one that is taken, None for both and pool. by: the number for it."""

    conflict: Conflict
    way: Way
    side: Side | None
    by: str = ""

    @property
    def in_words(self) -> str:
        """The way, and what it came to."""
        return f"{self.way} ({self.side}: {self.by})" if self.by else self.way


def parse_resolution(text: str) -> tuple[str, Way]:
    """`species/ribosome=pool` as its key and way. Raises InputError."""
    key, found, way = text.rpartition("=")
    if not found or "/" not in key or way not in WAYS:
        raise InputError(
            f"--resolve {text}: write KIND/NAME=WAY, for example species/ribosome=pool or 'item/*=better'; "
            f"ways are {', '.join(WAYS)}"
        )
    return key, way


def decide(
    conflicts: list[Conflict], resolutions: Mapping[str, Way], default: Side | None = None
) -> dict[str, Decision]:
    """Decisions by key; conflicts that nothing is said about are left out.

    resolutions: key (`species/<id>`, `item/<name>`, `item/*`) -> way; a later one overrules. default: for all the
    others. Raises InputError for a key that no conflict has, and for a way that a conflict does not allow.
    """
    decisions = {} if default is None else {one.key: Decision(one, default, default) for one in conflicts}
    for pattern, way in resolutions.items():
        for conflict in _matching(conflicts, pattern):
            decisions[conflict.key] = _decision(conflict, way)
    return decisions


def _matching(conflicts: list[Conflict], pattern: str) -> list[Conflict]:
    exact = [one for one in conflicts if one.key == pattern]
    found = exact or [one for one in conflicts if fnmatchcase(one.label, pattern) or fnmatchcase(one.key, pattern)]
    if not found:
        known = ", ".join(one.label for one in conflicts[:5]) or "none"
        more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
        raise InputError(f"no conflict is called {pattern} (there are: {known}{more})")
    if len(found) > 1 and not set(pattern) & set("*?["):
        raise InputError(f"{pattern} means several; give an id: {', '.join(one.key for one in found)}")
    return found


def _decision(conflict: Conflict, way: Way) -> Decision:
    if way == "pool" and conflict.pool is not None and not conflict.pool.possible:
        raise InputError(f"{conflict.label} cannot be pooled: {conflict.pool.reason}")
    if way not in conflict.ways:
        raise InputError(f"{conflict.label} cannot be resolved by {way}, only by {', '.join(conflict.ways)}")
    if way == "better":
        if conflict.better.side is None:
            raise InputError(
                f"{conflict.label}: neither side is better: {conflict.better.by}; choose ours or theirs"
            )
        return Decision(conflict, way, conflict.better.side, conflict.better.by)
    return Decision(conflict, way, way if way in ("ours", "theirs") else None)
