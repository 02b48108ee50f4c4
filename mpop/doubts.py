"""Doubts: what was read and contradicts what else is known, so that a result would be plausible but wrong.

Every command that checks its input speaks of it in these words: as warnings in text, under `doubts` in `--json`,
and in reports. A doubt that only costs the user a look is noted; one that would make a wrong map is grave. What
takes data in, or makes maps of them, stops at that, unless the user insists with `--force`, and it is a warning
then. What only measures reports it, as part of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mpop.errors import InputError

NAMED = 3
"""Places that are named in one doubt of many."""


@dataclass(frozen=True)
class Doubt:
    """One contradiction, in parts that make one line.

    kind: a stable word for scripts, such as `half-sets-overlap`. where: file, series, species or column. read:
    what was read there. against: what contradicts it. assumed: with what mpop goes on. way_on: what the user can
    do, an option or a step. grave: mpop stops, unless forced.
    """

    kind: str
    where: str
    read: str
    against: str = ""
    assumed: str = ""
    way_on: str = ""
    grave: bool = False

    def __str__(self) -> str:
        line = f"{self.where}: {self.read}"
        if self.against:
            line += f", but {self.against}"
        return _sentence(part for part in (line, self.assumed, self.way_on) if part)


class DoubtfulInputError(InputError):
    """Input that can be read, but contradicts what else is known."""

    def __init__(self, doubts: Iterable[Doubt]) -> None:
        self.doubts = list(doubts)
        super().__init__(_sentence([*map(str, self.doubts), "insist with --force"]))


def reported(doubts: Iterable[Doubt]) -> dict[str, Any]:
    """What JSON holds of them: the sentences as `warnings`, and the parts of each as `doubts`."""
    doubts = list(doubts)
    return {"warnings": [str(doubt) for doubt in doubts], "doubts": [asdict(doubt) for doubt in doubts]}


def settle(doubts: Iterable[Doubt], force: bool) -> list[Doubt]:
    """The doubts to go on with. Raises DoubtfulInputError with every grave one, unless forced."""
    doubts = list(doubts)
    grave = [doubt for doubt in doubts if doubt.grave]
    if grave and not force:
        raise DoubtfulInputError(grave)
    return doubts


def gathered(doubts: Iterable[Doubt]) -> list[Doubt]:
    """One doubt for all of a kind, with the words of the first: a mistake is seldom made in one series only."""
    kinds: dict[tuple[str, bool], list[Doubt]] = {}
    for doubt in doubts:
        kinds.setdefault((doubt.kind, doubt.grave), []).append(doubt)
    return [_as_one(alike) for alike in kinds.values()]


def _as_one(alike: Sequence[Doubt]) -> Doubt:
    first, places = alike[0], list(dict.fromkeys(doubt.where for doubt in alike))
    if len(places) == 1:
        return first
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return replace(first, where=f"{', '.join(places[:NAMED])}{more} (the first)" if more else ", ".join(places))


def _sentence(parts: Iterable[str]) -> str:
    """Parts with semicolons between; after a question begins a new sentence."""
    line = ""
    for part in parts:
        if line.endswith("?"):
            line += f" {part[0].upper()}{part[1:]}"
        else:
            line += f"; {part}" if line else part
    return line
