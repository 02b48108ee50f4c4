"""What the `refine` job does with particle stacks: one amplitude per source and species, then pose by pose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpop.jobs.halfmaps import SeriesState
from mpop.population import Population
from mpop.records.stack import StackModel
from mpop.refinement.pose_prior import PoseSpread
from mpop.refinement.series import DETECTED, SeriesScore, SpeciesReference
from mpop.refinement.stack import NOTHING, PoseSearch, fit_stack, pose_spread, refine_stack
from mpop.series.opening import series_of

SAMPLE_STACKS = 50
"""So many stacks tell what is common to all."""
AMPLITUDE_PARTICLES, SPREAD_PARTICLES = 2000, 500
"""So many particles, in all of them, tell the amplitude of a species and how far its poses are off."""
SPREAD_PASSES = 2
"""The first takes poses for uncertain as the user leaves them, and finds too much."""

References = Mapping[str, SpeciesReference | None]
Amplitudes = dict[tuple[str, str], float]
"""Source and species -> amplitude of the reference in the images; none where nothing was detected."""
Spreads = dict[str, PoseSpread]
"""Species -> how far its particles are from where the job found them."""


def stack_amplitudes(population: Population, states: Sequence[SeriesState], references: References) -> Amplitudes:
    """Amplitudes of all species in all sources of stacks, from an even sample of their particles as they stand."""
    found: Amplitudes = {}
    by_source: dict[str, list[SeriesState]] = {}
    for state in states:
        if not series_of(state.model).shares_parameters:
            by_source.setdefault(state.item.source, []).append(state)
    for source, members in by_source.items():
        for species, reference in references.items():
            held = [state for state in members if species in state.particles]
            if reference is not None and held:
                amplitude = _amplitude(population, held, species, reference)
                if amplitude is not None:
                    found[source, species] = amplitude
    return found


def _amplitude(
    population: Population, held: list[SeriesState], species: str, reference: SpeciesReference
) -> float | None:
    """The best common amplitude; None where the species is not seen."""
    total = NOTHING
    for number, rows in _sample(held, species, AMPLITUDE_PARTICLES):
        state, model = held[number], stack_model(held[number])
        load, particles = population.image_loader(state.item, model), state.particles[species].part(rows)
        total += fit_stack(load, model, particles, reference, state.pixel_size_A)
    return total.amplitude if total.value >= DETECTED else None


def stack_spreads(
    population: Population,
    states: Sequence[SeriesState],
    starts: Sequence[SeriesState],
    references: References,
    amplitudes: Amplitudes,
    search: PoseSearch,
    device: str,
) -> Spreads:
    """How far particles are from where the job found them, by species, from an even sample of them.

    starts: the series as the job found them, in the order of states.
    """
    spreads: Spreads = {}
    for species, reference in references.items():
        held = [
            (state, start)
            for state, start in zip(states, starts, strict=True)
            if (state.item.source, species) in amplitudes and species in state.particles
        ]
        if reference is None or not held:
            continue
        for _ in range(SPREAD_PASSES):
            total = PoseSpread()
            for number, rows in _sample([state for state, _ in held], species, SPREAD_PARTICLES):
                state, start = held[number]
                total += pose_spread(
                    population.image_loader(state.item, state.model),
                    stack_model(state),
                    state.particles[species].part(rows),
                    reference,
                    amplitudes[state.item.source, species],
                    state.pixel_size_A,
                    start.particles[species].part(rows),
                    search.expecting(spreads.get(species)),
                    device,
                )
            spreads[species] = total
    return spreads


def stack_model(state: SeriesState) -> StackModel:
    """The model of a stack."""
    assert isinstance(state.model, StackModel)
    return state.model


def _sample(held: Sequence[SeriesState], species: str, count: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """About so many particles of a species, evenly from some of the stacks that hold it: number and rows."""
    apart = -(-len(held) // SAMPLE_STACKS)
    some = range(0, len(held), apart)
    step = max(1, -(-sum(len(held[number].particles[species]) for number in some) // count))
    for number in some:
        yield number, np.arange(0, len(held[number].particles[species]), step)


def move_stack(
    population: Population,
    state: SeriesState,
    start: SeriesState,
    references: References,
    amplitudes: Amplitudes,
    spreads: Spreads,
    search: PoseSearch,
    device: str,
) -> tuple[SeriesState, SeriesScore]:
    """A stack with new poses, stored, and the scores of its species (nan: not detected, not refined).

    start: the stack as the job found it, around which poses are expected.
    """
    model = stack_model(state)
    load = population.image_loader(state.item, model)
    particles, objects = dict(state.particles), dict(state.particle_objects)
    before, after = [], []
    for species, held in state.particles.items():
        reference, amplitude = references[species], amplitudes.get((state.item.source, species))
        if reference is None or amplitude is None:
            before.append(np.nan)
            after.append(np.nan)
            continue
        done = refine_stack(
            load,
            model,
            held,
            reference,
            amplitude,
            state.pixel_size_A,
            start.particles[species],
            search.expecting(spreads.get(species)),
            device,
        )
        particles[species], objects[species] = done.particles, population.write_particles(done.particles)
        before.append(done.before.value)
        after.append(done.after.value)
    return replace(state, particles=particles, particle_objects=objects), SeriesScore(before, after, len(before))
