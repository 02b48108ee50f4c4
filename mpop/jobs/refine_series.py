"""What the `refine` job does with each series: a function of where it stands, and of what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError, StateError
from mpop.jobs.halfmaps import SeriesState
from mpop.jobs.refine_state import RefineState, SeriesNames
from mpop.jobs.selection import Selection
from mpop.population import Population
from mpop.records.models import ItemRecord
from mpop.refinement.groups.group import ParameterGroup
from mpop.refinement.series import SeriesScore, SpeciesReference, gather_images, optimise
from mpop.refinement.system import SeriesSystem
from mpop.refinement.widths import LearnedWidths, WidthSums
from mpop.series.opening import series_of

Array = NDArray[np.float64]
References = Mapping[str, SpeciesReference | None]


@dataclass(frozen=True)
class Moving:
    """A series while it is refined.

    start: as the job found it. theta: how far its parameters have moved since; None where they have not, and of
    stacks, which move pose by pose from where they stand. state: where it stands.
    """

    start: SeriesState
    theta: Array | None
    state: SeriesState

    @property
    def shares_parameters(self) -> bool:
        """Whether its particles have more in common than a microscope; those of others move pose by pose."""
        return series_of(self.start.model).shares_parameters

    @property
    def names(self) -> SeriesNames:
        """The groups that hold its start."""
        return SeriesNames(self.start.model_object, dict(self.start.particle_objects))


@dataclass(frozen=True)
class Moved:
    """A tilt series that moved, its score, and what its images tell of the widths of its parameters."""

    series: Moving
    score: SeriesScore
    sums: WidthSums


def open_series(population: Population, item: ItemRecord, chosen: Selection, before: RefineState | None) -> Moving:
    """A series as it is committed now, and as the iterations before left it."""
    state = SeriesState.load(population, item, chosen.species)
    if before is None or item.id not in before.starts:
        return Moving(state, None, state)
    names = before.starts[item.id]
    start = SeriesState.named(population, item, names.model, names.particles)
    return Moving(start, before.theta.get(item.id), state)


def refuse_what_cannot_move(series: Sequence[Moving], groups: Sequence[ParameterGroup]) -> None:
    """Raises InputError for stacks, where no group moves poses."""
    alone = next((one for one in series if not one.shares_parameters), None)
    if alone is not None and not any(group.per == "particle" for group in groups):
        name = alone.state.item.name
        raise InputError(f"{name} is a stack of particle images, which have nothing but poses to refine")


def move_tilt_series(
    population: Population,
    series: Moving,
    groups: Sequence[ParameterGroup],
    widths: LearnedWidths,
    references: References,
    device: str,
) -> Moved:
    """Move the parameters of a tilt series to where its images agree best with the references.

    Only stores groups, and reads nothing but its raw images. Raises one of `UNUSABLE` where that cannot be done,
    and StateError where theta is of other parameter groups.
    """
    start, held = series.start, list(series.start.particles)
    system = SeriesSystem(start.tilt_series, list(start.particles.values()), groups)
    system.expect(widths.of_series(held))
    theta = np.zeros(system.size) if series.theta is None else series.theta
    if len(theta) != system.size:
        raise StateError(
            f"{series.state.item.name} has {system.size} parameters, and {len(theta)} were handed on by an mpop "
            "with other parameter groups; run that version, or refine anew"
        )
    model, particles = system.updated(theta)
    images = gather_images(
        population.image_loader(series.state.item, model),
        model,
        particles,
        [references[identity] for identity in held],
        start.pixel_size_A,
    )
    theta, score = optimise(system, theta, images, device)
    sums = WidthSums()
    sums.add(system, theta, held, images, device)
    model, particles = system.updated(theta)
    state = replace(
        start,
        item=series.state.item,
        model=model,
        model_object=population.write_tilt_series(model),
        particles=dict(zip(held, particles, strict=True)),
        particle_objects={
            identity: population.write_particles(part) for identity, part in zip(held, particles, strict=True)
        },
    )
    return Moved(Moving(start, theta, state), score, sums)
