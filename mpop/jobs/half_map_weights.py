"""How well each coefficient of a species' half-maps was measured, from where its particles are.

Half-maps that a job made have sums to tell it. Those that were imported have not: the particles that came with
them are taken for the ones that they were made of.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpop.errors import UNUSABLE
from mpop.geometry.symmetry import symmetry_matrices
from mpop.jobs.halfmaps import SeriesState, empty_target, state_key, stored_sums
from mpop.maps.reconstruction import coefficient_weights
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.refinement.reconstruction import SpeciesTarget, add_series
from mpop.run import Progress
from mpop.series.opening import views_of


@dataclass(frozen=True)
class HalfMapWeights:
    """`mpop.maps.reconstruction.coefficient_weights` of either half. warnings: of what they are without."""

    halves: tuple[NDArray[np.float32], NDArray[np.float32]]
    warnings: list[str] = field(default_factory=list)


def half_map_weights(population: Population, species: SpeciesRecord, progress: Progress) -> HalfMapWeights:
    """The weights of a species' half-maps. Items that cannot be read are passed over, and named."""
    total = empty_target(species)
    warnings: list[str] = []
    made_of = species.item_versions or species.particles
    states = [
        SeriesState.load(population, item, [species])
        for item in population.items().values()
        if item.id in made_of and item.id in species.particles
    ]
    for source in sorted({state.item.source for state in states}):
        members = [state for state in states if state.item.source == source]
        kept = stored_sums(population, species, source, state_key(species, members))
        if kept is not None:
            for half, part in zip(total.halves, kept, strict=True):
                half.add(part)
            continue
        for number, state in enumerate(members, start=1):
            try:
                _add(population, species, state, total)
            except UNUSABLE as error:
                warnings.append(
                    f"{state.item.name}: not all of its views of {species.name} could be weighed, the prior goes "
                    f"without the others: {error}"
                )
            progress("weigh views", number, len(members))
    matrices = symmetry_matrices(species.symmetry)
    half1, half2 = (coefficient_weights(half, matrices) for half in total.halves)
    return HalfMapWeights((half1, half2), warnings)


def _add(population: Population, species: SpeciesRecord, state: SeriesState, total: SpeciesTarget) -> None:
    particles = state.particles[species.id]
    add_series(
        [total],
        population.image_loader(state.item, state.model),
        state.model,
        [views_of(state.model, particles)],
        [particles.half],
        state.pixel_size_A,
    )
