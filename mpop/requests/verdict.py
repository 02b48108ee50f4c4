"""What the check of a request found, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mpop.merging.conflicts import Conflict
from mpop.merging.plan import Incoming
from mpop.requests.claims import OfferedSpecies
from mpop.requests.matching import Matching
from mpop.requests.records import RequestRecord
from mpop.words import counted

Answer = Literal["can be merged", "can be merged after", "cannot be merged", "merged already"]


@dataclass(frozen=True)
class SeriesCollisions:
    """Collisions in one series of an offered species with one that is there, or with itself.

    kind: "overlap" where two molecules share space, "duplicate" where one was picked twice. overlap: the largest
    shared part of the smaller molecule's volume; nearest_A: the smallest distance of two centres.
    """

    item: str
    series: str
    kind: Literal["overlap", "duplicate"]
    offered: str
    other: str
    count: int
    overlap: float
    nearest_A: float


@dataclass(frozen=True)
class RequestVerdict:
    """Whether a request can be merged. reasons: why not, or what has to be decided first; steps: what to do."""

    answer: Answer
    reasons: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.answer == "cannot be merged":
            return f"cannot be merged, because {self.reasons[0]}" + _and_more(self.reasons)
        if self.answer == "can be merged after":
            return f"can be merged after deciding on {', '.join(self.reasons)}"
        return self.answer


@dataclass(frozen=True)
class RequestCheck:
    """Everything that the check of a request found.

    target, offered: commits that would be joined; offered is the request's own or, where series had to be matched,
    one made from it. collisions: None where they could not be looked for. refusals: broken rules, in words; notes:
    what else a person should know.
    """

    request: RequestRecord
    onto: str
    target: str
    offered: str
    verdict: RequestVerdict
    relation: str = ""
    incoming: Incoming = field(default_factory=Incoming)
    conflicts: list[Conflict] = field(default_factory=list)
    species: list[OfferedSpecies] = field(default_factory=list)
    matching: Matching = field(default_factory=Matching)
    collisions: list[SeriesCollisions] | None = None
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(
    refusals: list[str],
    species: list[OfferedSpecies],
    matching: Matching,
    conflicts: list[Conflict],
    collisions: list[SeriesCollisions] | None,
    author: str,
) -> RequestVerdict:
    """The verdict of findings: what breaks a rule stops the merge, what people may decide waits for them."""
    who = author.partition(" <")[0]
    reasons = [*refusals, *matching.problems]
    reasons += [f"{one.name}: {problem}" for one in species for problem in one.problems]
    if reasons:
        return RequestVerdict("cannot be merged", reasons, [f"{who} corrects it and runs `mpop request update`"])
    steps = [f"--resolve {one.label}={'|'.join(one.ways)}" for one in conflicts]
    if conflicts:
        reasons.append(counted(len(conflicts), "conflict"))
    if collisions:
        reasons.append(counted(sum(one.count for one in collisions), "collision"))
        steps.append("--collisions keep-better|drop-incoming|keep-both")
        steps.append(f"or {who} removes them and runs `mpop request update`")
    return RequestVerdict("can be merged after", reasons, steps) if reasons else RequestVerdict("can be merged")


def _and_more(reasons: list[str]) -> str:
    return f" (and {counted(len(reasons) - 1, 'more reason')})" if len(reasons) > 1 else ""


def plain(check: RequestCheck) -> dict[str, Any]:
    """For `--json`: the events are in the request, the verdict also as a sentence."""
    return {**vars(check), "verdict": {**vars(check.verdict), "sentence": str(check.verdict)}}
