"""Doubts: what was read and contradicts what else is known, so that a result would be plausible but wrong.

Every command that checks its input speaks of it in these words: as warnings in text, under `doubts` in `--json`,
and in reports. A doubt that only costs the user a look is noted; one that would make a wrong map is grave. What
takes data in, or makes maps of them, stops at that, unless the user insists with `--force`, and it is a warning
then. What only measures reports it, as part of the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mpop.errors import InputError


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


def _sentence(parts: Iterable[str]) -> str:
    """Parts with semicolons between; after a question begins a new sentence."""
    line = ""
    for part in parts:
        if line.endswith("?"):
            line += f" {part[0].upper()}{part[1:]}"
        else:
            line += f"; {part}" if line else part
    return line
