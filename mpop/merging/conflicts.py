"""What two sides disagree on, in numbers to decide by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mpop.merging.three_way import Side
from mpop.records.models import SourceType

Way = Literal["ours", "theirs", "better", "both", "pool"]
WAYS: tuple[Way, ...] = ("ours", "theirs", "better", "both", "pool")


@dataclass(frozen=True)
class Numbers:
    """One side of a conflict. version None: this side removed the record.

    resolution_A: of a species, its own. score: of a tilt series, what its refinement ended with; scores compare
    only when both sides refined against the same references. against_A: species name -> resolution of the
    half-maps that the series was refined against. particles: how many; of a tilt series of all species. series:
    how many made the half-maps of a species, 0 if they were imported; types: of their sources.
    who, when: of the commit that made this version.
    """

    version: str | None
    parent: str | None = None
    job: str | None = None
    verb: str | None = None
    who: str | None = None
    when: str | None = None
    resolution_A: float | None = None
    score: float | None = None
    against_A: dict[str, float | None] = field(default_factory=dict)
    particles: int | None = None
    series: int | None = None
    types: list[SourceType] = field(default_factory=list)


@dataclass(frozen=True)
class Better:
    """Which side is better, and by which number; side None: why that cannot be said."""

    side: Side | None
    by: str


@dataclass(frozen=True)
class PoolPreview:
    """What pooling two sides of a species would give. possible False: `reason` says why not.

    Resolutions of the half-maps; fsc: frequency (1/A), then the corrected correlation of ours, of theirs and of
    the pooled half-maps, one value per shell. rotation_deg, shift_A: how the incoming map lies in ours.
    reread: tilt series whose raw images must be read to do it; if there are any, the numbers come only then.
    """

    possible: bool
    reason: str
    ours_A: float | None = None
    theirs_A: float | None = None
    pooled_A: float | None = None
    particles: int | None = None
    rotation_deg: float = 0.0
    shift_A: float = 0.0
    reread: int = 0
    fsc: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Conflict:
    """A record that both sides changed, and not to the same.

    key: `item/<id>`, `species/<id>` or `source/<id>`, what a resolution names. ways: how it may be resolved.
    """

    key: str
    name: str
    reason: str
    ways: tuple[Way, ...]
    base: Numbers | None
    ours: Numbers
    theirs: Numbers
    better: Better
    pool: PoolPreview | None = None

    @property
    def label(self) -> str:
        """The key with the name in place of the id, as people write it."""
        return f"{self.key.split('/')[0]}/{self.name}"
