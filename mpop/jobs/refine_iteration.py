"""An iteration of the `refine` job: from records, and what the iteration before handed on, to one commit.

It scores every series against the half-maps that the last iteration left (the first: those that `find_start`
finds), moves its parameters, and rebuilds the half-maps from where the particles are now. The commit holds the
new models, the new species, the job's record, and both kinds of edges: item -> the species versions that it was
refined against, species -> the item versions that made its half-maps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpop.doubts import settle
from mpop.errors import RefinementError
from mpop.jobs.environment import peak_GiB
from mpop.jobs.erased import blank_tilts, with_erased
from mpop.jobs.half_map_weights import half_map_weights
from mpop.jobs.half_sets import Say, half_set_doubts
from mpop.jobs.halfmaps import RebuiltSpecies, SeriesState, map_doubts, rebuild
from mpop.jobs.maps.denoise import stored_denoiser
from mpop.jobs.reconstruct import new_species
from mpop.jobs.refine_contradictions import contradicted_depth
from mpop.jobs.refine_guard import Agreement, ruin, unseen_doubt
from mpop.jobs.refine_parameters import IterationParameters
from mpop.jobs.refine_pass import move_all, move_on, unseen
from mpop.jobs.refine_record import Pass, job_record, message
from mpop.jobs.refine_sample import sample
from mpop.jobs.refine_series import Moving, References, open_series, refuse_what_cannot_move
from mpop.jobs.refine_start import HalfMaps, Start, find_start, stored_maps
from mpop.jobs.refine_state import RefineState
from mpop.jobs.selection import Selection, select
from mpop.population import Population, versioned
from mpop.records.models import ItemRecord, JobRecord, SpeciesRecord
from mpop.refinement.priors import Prior
from mpop.refinement.references import prepare_species
from mpop.refinement.series import SpeciesReference
from mpop.refinement.widths import WidthSums
from mpop.run import Progress, Run


@dataclass(frozen=True)
class Iteration:
    """The commit, the job's record, the species as they are now, and what is handed to the next iteration."""

    commit: str
    job: JobRecord
    species: list[SpeciesRecord]
    state: RefineState


def iterate(
    population: Population,
    parameters: IterationParameters,
    before: RefineState | None,
    run: Run,
    say: Say,
    force: bool,
) -> Iteration | None:
    """Refine once and commit; None where no half-maps are left to compare with.

    before: what the iteration before handed on, None for the first. say: what to do with doubts as they are found.
    Raises RefinementError, and DoubtfulInputError unless forced, as `mpop.jobs.refine.refine` says.
    """
    started = time.perf_counter()
    chosen = select(population, parameters.species, parameters.sources)
    doubts = half_set_doubts(population, chosen.species) if before is None else []
    say(doubts)
    series = {item.id: open_series(population, item, chosen, before) for item in chosen.items}
    refuse_what_cannot_move(list(series.values()), parameters.chosen_groups)
    begun = _begin(population, chosen, series, parameters, before, run.progress)
    references, warnings = find_references(population, chosen, begun.maps, parameters.prior, run)
    if not any(references.values()):
        if before is not None:
            return None  # the last commit tells
        raise RefinementError(
            "no species has half-maps that agree at any resolution; start from half-maps that do, for example "
            "from another program"
        )
    warnings = [*begun.warnings, *warnings]
    if before is not None and before.depth_unclear:  # what one iteration refined tells more
        sampled = sample(population, [one.state for one in series.values()], references)
        warnings += contradicted_depth(population, sampled, references).warnings
    done = _move(population, chosen, series, parameters, begun, references, run)
    done.begun = begun if before is None else None
    rebuilt = _rebuild(population, chosen, references, done, run.progress)
    found = settle(ruin(population, rebuilt.species, begun.images, rebuilt.agreement), force)
    found += [*map(unseen_doubt, rebuilt.unseen), *blank_tilts(chosen.items, rebuilt.maps)]
    found += map_doubts(rebuilt.species, rebuilt.maps)
    done.warnings = [*map(str, doubts), *warnings, *done.warnings, *map(str, found)]
    state = _handed_on(series, done, begun.depth_unclear, rebuilt.agreement).stored(population)
    job = job_record(chosen, parameters, before and before.name, done, run).model_copy(
        update={
            "wall_s": round(time.perf_counter() - started, 3),
            "peak_GiB": round(peak_GiB(), 3),
            "resolution_after_A": {one.name: rebuilt.maps[one.id].report.resolution_A for one in rebuilt.species},
            "result_object": state.name,
        }
    )
    job = versioned(job.model_copy(update={"series": with_erased(job.series, chosen.items, rebuilt.maps)}))
    items, species = _new_records(population, chosen, references, done, rebuilt, job)
    text = message(parameters.iteration, parameters.iterations, job)
    commit = population.commit_records([*items, *species, job], text, since=chosen.head)
    say(found)
    return Iteration(commit, job, [*species, *rebuilt.unseen], state)


def _begin(
    population: Population,
    chosen: Selection,
    series: Mapping[str, Moving],
    parameters: IterationParameters,
    before: RefineState | None,
    progress: Progress,
) -> Start:
    """What the iteration starts from."""
    if before is not None:
        maps = {one.id: stored_maps(population, one) for one in chosen.species}
        return Start(maps, {}, before.images, before.widths, [], depth_unclear=False)
    states = [one.state for one in series.values()]
    others = _others(population, chosen, set(series))
    return find_start(population, chosen.species, states, others, parameters.chosen_groups, progress)


def _others(population: Population, chosen: Selection, without: set[str]) -> list[SeriesState]:
    """Series that are not refined now but hold particles of the species, and so belong in its half-maps."""
    return [
        SeriesState.load(population, item, chosen.species)
        for item in population.items().values()
        if item.id not in without and any(item.id in one.particles for one in chosen.species)
    ]


def find_references(
    population: Population,
    chosen: Selection,
    halves: Mapping[str, HalfMaps],
    prior: Prior,
    run: Run,
) -> tuple[dict[str, SpeciesReference | None], list[str]]:
    """The half-maps of every species through the prior, None for those that agree nowhere; and warnings."""
    references: dict[str, SpeciesReference | None] = {}
    warnings: list[str] = []
    for one in chosen.species:
        maps = halves[one.id]
        denoiser = stored_denoiser(population, one) if prior == "denoise" else None
        weights = half_map_weights(population, one, run.progress) if prior == "isotropic" else None
        warnings += weights.warnings if weights else []
        references[one.id] = prepare_species(
            maps.half1,
            maps.half2,
            population.maps(one)["mask"],
            maps.report,
            one.diameter_A,
            one.pixel_size_A,
            prior,
            denoiser,
            weights and weights.halves,
            run,
        )
    return references, warnings


def _move(
    population: Population,
    chosen: Selection,
    series: Mapping[str, Moving],
    parameters: IterationParameters,
    begun: Start,
    references: References,
    run: Run,
) -> Pass:
    """Move all series; in the first iteration once more where others that moved show more of what is off."""
    groups, search = parameters.chosen_groups, parameters.search(parameters.iteration)
    label = f"iteration {parameters.iteration}/{parameters.iterations}"
    widths = begun.widths
    done = move_all(population, chosen, series, groups, widths, references, search, label, run)
    done.widths, done.learned = widths, widths.with_more(done.width_sums)
    if parameters.iteration == 1 and done.learned != widths:
        done.widths, done.width_sums = done.learned, WidthSums()
        move_on(population, chosen, done, done.widths, references, label, run)
        done.learned = done.widths.with_more(done.width_sums)
    return done


@dataclass(frozen=True)
class _Rebuilt:
    """New half-maps by species id, of those that some series shows; those that none does are `unseen`. states: the
    series that they are made of; others: those of them that were not refined."""

    maps: dict[str, RebuiltSpecies]
    species: list[SpeciesRecord]
    unseen: list[SpeciesRecord]
    states: list[SeriesState]
    others: list[SeriesState]

    @property
    def agreement(self) -> Agreement:
        """Of the new half-maps."""
        items = frozenset(state.item.id for state in self.states)
        return Agreement(items, {one: maps.report for one, maps in self.maps.items()})


def _rebuild(
    population: Population,
    chosen: Selection,
    references: References,
    done: Pass,
    progress: Progress,
) -> _Rebuilt:
    gone = unseen(chosen, references, done)
    kept = [one for one in chosen.species if one not in gone]
    others = _others(population, chosen, {*done.series, *(failure.item for failure in done.failed)})
    states = [done.series[item.id].state for item in chosen.items if item.id in done.series] + others
    return _Rebuilt(rebuild(population, kept, states, progress), kept, gone, states, others)


def _handed_on(series: Mapping[str, Moving], done: Pass, depth_unclear: bool, images: Agreement) -> RefineState:
    """What the next iteration needs; a series that failed is where it was."""
    now = {**series, **done.series}
    theta = {item: one.theta for item, one in now.items() if one.theta is not None}
    starts = {item: one.names for item, one in now.items()}
    return RefineState(starts, theta, done.learned, depth_unclear, images)


def _new_records(
    population: Population,
    chosen: Selection,
    references: References,
    done: Pass,
    rebuilt: _Rebuilt,
    job: JobRecord,
) -> tuple[list[ItemRecord], list[SpeciesRecord]]:
    """The series that moved and the species that were rebuilt, each naming the other's versions."""
    items = [_new_item(done.series[item.id], item, chosen, job) for item in chosen.items if item.id in done.series]
    versions = {state.item.id: state.item.version for state in rebuilt.others}
    versions |= {item.id: item.version for item in items}
    species = [
        new_species(
            _with_denoiser(population, one, references[one.id]),
            rebuilt.maps[one.id],
            _particle_objects(one, rebuilt.states),
            versions,
            job.id,
        )
        for one in rebuilt.species
    ]
    return items, species


def _with_denoiser(
    population: Population, species: SpeciesRecord, reference: SpeciesReference | None
) -> SpeciesRecord:
    """The species with what its prior learned, if it is one that learns."""
    if reference is None or reference.denoiser is None:
        return species
    group = population.write_group(reference.denoiser.to_arrays())
    return species.model_copy(update={"denoiser_object": group})


def _particle_objects(species: SpeciesRecord, states: Sequence[SeriesState]) -> dict[str, str]:
    """Item id -> particle group, with those that moved."""
    moved = {s.item.id: s.particle_objects[species.id] for s in states if species.id in s.particle_objects}
    return species.particles | moved


def _new_item(series: Moving, item: ItemRecord, chosen: Selection, job: JobRecord) -> ItemRecord:
    used = {one.id: one.version for one in chosen.species_in(item)}
    new = item.model_copy(
        update={
            "model_object": series.state.model_object,
            "species_versions": item.species_versions | used,
            "job": job.id,
            "parent": item.version,
            "merged": [],
        }
    )
    return versioned(new)
