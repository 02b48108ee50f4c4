"""The words in which two states of a population are compared. Data only; `compare` fills it in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mpop.comparison.models import Quantity
from mpop.comparison.particles import ParticleChange
from mpop.records.models import SourceType

Kind = Literal["added", "removed", "changed"]
Settings = dict[str, tuple[Any, Any]]
"""Name of a number or text -> (before, after)."""


@dataclass(frozen=True)
class SeriesParticles:
    """The particles of a species in one tilt series or stack."""

    item: str
    name: str
    particles: ParticleChange


@dataclass(frozen=True)
class SpeciesDifference:
    """particles: how many before and after in all; what moved, of those whose arrays are here. series: those in
    which particles changed."""

    id: str
    name: str
    kind: Kind
    resolution_before_A: float | None
    resolution_after_A: float | None
    version_before: str | None
    version_after: str | None
    maps_changed: bool
    settings: Settings
    particles: ParticleChange
    series: list[SeriesParticles]


@dataclass(frozen=True)
class ItemDifference:
    """A tilt series or a stack. quantities: what of its model changed, and by how much."""

    id: str
    name: str
    kind: Kind
    version_before: str | None
    version_after: str | None
    model_changed: bool
    quantities: list[Quantity]
    settings: Settings
    type: SourceType


@dataclass(frozen=True)
class SourceDifference:
    """A source; its items by name."""

    id: str
    name: str
    kind: Kind
    items_added: list[str]
    items_removed: list[str]
    settings: Settings
    type: SourceType


@dataclass(frozen=True)
class JobDifference:
    """A job that only one of the states records, or that they record differently (it ran again).

    parameters: as the later state has them. settings: of one that ran again, what it recorded otherwise.
    parameters_changed: against the job of the same verb that made what this one replaced, if there was one.
    """

    id: str
    verb: str
    parameters: dict[str, Any]
    seed: int
    parameters_changed: Settings
    kind: Kind = "added"
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """Everything that differs between a commit and another, or the working state (after: None).

    missing: what could not be compared because its arrays are not here, in words.
    """

    before: str
    after: str | None
    settings: Settings
    species: list[SpeciesDifference] = field(default_factory=list)
    items: list[ItemDifference] = field(default_factory=list)
    sources: list[SourceDifference] = field(default_factory=list)
    jobs: list[JobDifference] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def is_none(self) -> bool:
        """Whether nothing differs."""
        return not (self.settings or self.species or self.items or self.sources or self.jobs)
