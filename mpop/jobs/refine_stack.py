"""What the `refine` job does with particle stacks: one amplitude per source and species, then pose by pose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mpop.jobs.halfmaps import SeriesState
from mpop.population import Population
from mpop.records.stack import StackModel
from mpop.refinement.series import DETECTED, SeriesScore, SpeciesReference
from mpop.refinement.stack import NOTHING, PoseSearch, fit_stack, refine_stack

SAMPLE_STACKS, SAMPLE_PARTICLES = 50, 2000
"""So many stacks of a source, and particles in all of them, tell the amplitude of a species."""

References = Mapping[str, SpeciesReference | None]
Amplitudes = dict[tuple[str, str], float]
"""Source and species -> amplitude of the reference in the images; none where nothing was detected."""


def stack_amplitudes(
    population: Population, states: Sequence[SeriesState], references: References, threads: int
) -> Amplitudes:
    """Amplitudes of all species in all sources of stacks, from an even sample of their particles as they stand."""
    found: Amplitudes = {}
    by_source: dict[str, list[SeriesState]] = {}
    for state in states:
        if isinstance(state.model, StackModel):
            by_source.setdefault(state.item.source, []).append(state)
    for source, members in by_source.items():
        for species, reference in references.items():
            held = [state for state in members if species in state.particles]
            if reference is not None and held:
                amplitude = _amplitude(population, held, species, reference, threads)
                if amplitude is not None:
                    found[source, species] = amplitude
    return found


def _amplitude(
    population: Population, held: list[SeriesState], species: str, reference: SpeciesReference, threads: int
) -> float | None:
    """The best common amplitude; None where the species is not seen."""
    sample = held[:: -(-len(held) // SAMPLE_STACKS)]
    step = -(-sum(len(state.particles[species]) for state in sample) // SAMPLE_PARTICLES)
    total = NOTHING
    for state in sample:
        assert isinstance(state.model, StackModel)
        particles = state.particles[species]
        total += fit_stack(
            population.image_loader(state.item, state.model),
            state.model,
            particles.part(np.arange(0, len(particles), step)),
            reference,
            state.pixel_size_A,
            threads,
        )
    return total.amplitude if total.value >= DETECTED else None


def move_stack(
    population: Population,
    state: SeriesState,
    start: SeriesState,
    references: References,
    amplitudes: Amplitudes,
    search: PoseSearch,
    device: str,
    threads: int,
) -> tuple[SeriesState, SeriesScore]:
    """A stack with new poses, stored, and the scores of its species (nan: not detected, not refined).

    start: the stack as the job found it, around which poses are expected.
    """
    assert isinstance(state.model, StackModel)
    load = population.image_loader(state.item, state.model)
    particles, objects = dict(state.particles), dict(state.particle_objects)
    before, after = [], []
    for species, held in state.particles.items():
        reference, amplitude = references[species], amplitudes.get((state.item.source, species))
        if reference is None or amplitude is None:
            before.append(np.nan)
            after.append(np.nan)
            continue
        moved, was, now = refine_stack(
            load,
            state.model,
            held,
            reference,
            amplitude,
            state.pixel_size_A,
            start.particles[species],
            search,
            device,
            threads,
        )
        particles[species], objects[species] = moved, population.write_particles(moved)
        before.append(was.value)
        after.append(now.value)
    return replace(state, particles=particles, particle_objects=objects), SeriesScore(before, after, len(before))
