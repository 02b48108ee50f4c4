"""What the `refine` job is asked for, and how its record holds that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mpop.jobs.defaults import ITERATIONS
from mpop.refinement.groups.group import ParameterGroup
from mpop.refinement.groups.registry import chosen_groups, defaults
from mpop.refinement.priors import DEFAULT, Prior
from mpop.refinement.stack import PoseSearch

LATER = ("prior", "search_deg", "search_A")
"""Parameters that the first refinements did not have."""


@dataclass(frozen=True)
class RefineParameters:
    """What to refine; the defaults use everything. Names: of species and sources, () for all.

    groups: the options that choose parameter groups (`mpop.refinement.groups.registry`), by name; one that is not
    named has its default.
    """

    iterations: int = ITERATIONS
    groups: Mapping[str, Any] = field(default_factory=dict)
    species: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    seed: int = 0
    prior: Prior = DEFAULT
    """What half-maps pass through before particles are compared with them."""
    search_deg: float = 0.0
    search_A: float = 0.0
    """How far to look around the poses of stacks in the first iteration; each next one looks half as far."""

    @property
    def chosen_groups(self) -> tuple[ParameterGroup, ...]:
        """The parameter groups of tilt series. Raises InputError for an option that does not exist."""
        return chosen_groups(defaults() | dict(self.groups))

    def search(self, iteration: int) -> PoseSearch:
        """How far to look in an iteration, counted from 1."""
        return PoseSearch.within(self.search_deg, self.search_A, iteration)

    @property
    def recorded(self) -> dict[str, Any]:
        """As a job's record holds them. What came later is left out where it is as it was before, so that a job of
        then is the same job now."""
        later = {one.name: one.default for one in fields(self) if one.name in LATER}
        values = asdict(self) | defaults()
        values |= values.pop("groups")
        return {name: value for name, value in values.items() if name not in later or value != later[name]}

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> RefineParameters:
        """Those that a job's record holds. Raises TypeError for one that does not exist."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in recorded.items()
        }
        groups = {name: values.pop(name) for name in defaults() if name in values}
        return cls(groups=groups, **values)
