"""The rule behind every merge: a value that one side left alone is taken from the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

Side = Literal["ours", "theirs"]


class Undecided:
    """The value of a key that the two halves of a virtual base disagree on: it equals nothing, itself included.

    So whatever a side has there counts as its change: if both sides agree that is taken, else it is a conflict.
    """

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__


UNDECIDED: Final = Undecided()
PRESENCE: Final = "presence"
"""The key that says whether a record is there at all."""


def side_taken(base: Any, ours: Any, theirs: Any) -> Side | None:
    """The side whose value the merge takes; None when both changed it and do not agree."""
    if ours == theirs or base == theirs:
        return "ours"
    return "theirs" if base == ours else None


def is_left_open(base: Any, ours: Any, theirs: Any) -> bool:
    """Whether a merge leaves a key undecided: both sides changed it, or what is taken was undecided already."""
    side = side_taken(base, ours, theirs)
    return side is None or (ours if side == "ours" else theirs) is UNDECIDED


def united(base: Iterable[str], ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """What both sides hold, without what either took out of the base; sorted."""
    base, ours, theirs = set(base), set(ours), set(theirs)
    removed = (base - ours) | (base - theirs)
    return sorted((ours | theirs) - removed)
