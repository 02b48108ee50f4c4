"""What the `refine` job is asked for, and how its record holds that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from mpop.jobs.defaults import ITERATIONS
from mpop.records.parameters import Absent, Parameters
from mpop.refinement.groups.group import ParameterGroup
from mpop.refinement.groups.registry import chosen_groups, defaults
from mpop.refinement.priors import DEFAULT, Prior
from mpop.refinement.stack import PoseSearch

FIRST_GROUPS = ("image_warp", "stage_angles", "poses")
"""Options that every record names. One that came later is left out where it has its default, so that a job of
before is the same job now."""


class RefineParameters(Parameters):
    """What to refine; the defaults use everything. Names: of species and sources, () for all.

    groups: the options that choose parameter groups (`mpop.refinement.groups.registry`), by name; one that is not
    named has its default. A record holds them beside the other parameters.
    """

    iterations: int = ITERATIONS
    groups: dict[str, Any] = Field(default_factory=dict)
    species: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    prior: Annotated[Prior, Absent("fsc")] = DEFAULT
    """What half-maps pass through before particles are compared with them."""
    search_deg: Annotated[float, Absent(0.0)] = 0.0
    search_A: Annotated[float, Absent(0.0)] = 0.0
    """How far to look around the poses of stacks in the first iteration; each next one looks half as far."""
    seed: Annotated[int | None, Absent(None)] = None
    """Of the first refinements, in which it changed nothing but the job's id. None of now has one."""

    @property
    def chosen_groups(self) -> tuple[ParameterGroup, ...]:
        """The parameter groups of tilt series. Raises InputError for an option that does not exist."""
        return chosen_groups(self.groups)

    def search(self, iteration: int) -> PoseSearch:
        """How far to look in an iteration, counted from 1."""
        return PoseSearch.within(self.search_deg, self.search_A, iteration)

    def of_iteration(self, iteration: int) -> IterationParameters:
        """Those of an iteration, counted from 1."""
        return IterationParameters(**{**dict(self), "iteration": iteration})

    @model_serializer(mode="wrap")
    def _flat(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = plain(self)
        groups, known = values.pop("groups"), defaults()
        return values | {
            name: value
            for name, value in groups.items()
            if name in FIRST_GROUPS or name not in known or self.groups[name] != known[name]
        }

    @model_validator(mode="before")
    @classmethod
    def _by_group(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        given = dict(values)
        named = {name: given.pop(name) for name in defaults() if name in given} | given.get("groups", {})
        named = {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}
        return {**given, "groups": defaults() | named}


class IterationParameters(RefineParameters):
    """Those of one iteration of a refinement, which is a job of its own. iteration: counted from 1."""

    iteration: int
