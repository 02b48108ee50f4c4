"""The rule behind every merge: a value that one side left alone is taken from the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Side = Literal["ours", "theirs"]


def side_taken(base: Any, ours: Any, theirs: Any) -> Side | None:
    """The side whose value the merge takes; None when both changed it and do not agree."""
    if theirs in (ours, base):
        return "ours"
    return "theirs" if ours == base else None


def value_taken(base: T, ours: T, theirs: T) -> T:
    """The value that the merge takes; ours when both changed it."""
    return theirs if side_taken(base, ours, theirs) == "theirs" else ours


def united(base: Iterable[str], ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """What both sides hold, without what either took out of the base; sorted."""
    base, ours, theirs = set(base), set(ours), set(theirs)
    removed = (base - ours) | (base - theirs)
    return sorted((ours | theirs) - removed)
