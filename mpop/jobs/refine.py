"""The `refine` job: multi-particle refinement of chosen series against their species, one commit per iteration.

An iteration scores every series against the half-maps that the last iteration left (the first: those of the
species as committed), moves its parameters, and rebuilds the half-maps from where the particles are now. A
commit holds the new models, the new species, the job's record, and both kinds of edges: item -> the species
versions that it was refined against, species -> the item versions that made its half-maps. An interrupt loses
at most the iteration that was running.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mpop.doubts import Doubt, settle
from mpop.errors import InputError, RefinementError
from mpop.jobs.environment import peak_GiB
from mpop.jobs.erased import blank_tilts, with_erased
from mpop.jobs.half_map_weights import UNUSABLE, half_map_weights
from mpop.jobs.half_sets import Say, half_set_doubts, say_nothing
from mpop.jobs.halfmaps import SeriesState, map_doubts, rebuild
from mpop.jobs.leasing import leased
from mpop.jobs.maps.denoise import stored_denoiser
from mpop.jobs.progress import Progress, silent
from mpop.jobs.reconstruct import new_species
from mpop.jobs.refine_contradictions import contradicted_depth
from mpop.jobs.refine_guard import Agreement, ruin, unseen_doubt
from mpop.jobs.refine_parameters import IterationParameters, RefineParameters
from mpop.jobs.refine_record import Pass, job_record, message
from mpop.jobs.refine_sample import sample
from mpop.jobs.refine_stack import move_stack, stack_amplitudes, stack_spreads
from mpop.jobs.refine_start import HalfMaps, Start, find_start, stored_maps
from mpop.jobs.selection import Selection, names_to_write, select
from mpop.jobs.spec import JobSpec
from mpop.maps.fsc import THRESHOLD
from mpop.population import Population, versioned
from mpop.records.models import FailedSeries, ItemRecord, JobRecord, SpeciesRecord
from mpop.records.stack import StackModel
from mpop.refinement.groups.group import ParameterGroup
from mpop.refinement.priors import Prior
from mpop.refinement.references import prepare_species
from mpop.refinement.series import SeriesScore, SpeciesReference, gather_images, optimise
from mpop.refinement.stack import PoseSearch
from mpop.refinement.system import SeriesSystem
from mpop.refinement.widths import LearnedWidths, WidthSums


@dataclass(frozen=True)
class RefineResult:
    """The commits, oldest first, with the job record of each, the species as they are now, and all doubts."""

    commits: list[str]
    jobs: list[JobRecord]
    species: list[SpeciesRecord]
    doubts: list[Doubt]


@dataclass
class _Series:
    """A series while the job runs: where it started, and how far it has moved. A stack has no system: it moves
    pose by pose, from wherever it stands."""

    start: SeriesState
    system: SeriesSystem | None
    theta: np.ndarray
    state: SeriesState


def _writes(population: Population, parameters: RefineParameters, *_: object, **__: object) -> list[str]:
    return names_to_write(select(population, parameters.species, parameters.sources))


@leased("refine", _writes)
def refine(
    population: Population,
    parameters: RefineParameters,
    device: str = "cpu",
    threads: int = 1,
    progress: Progress = silent,
    until: int | None = None,
    say: Say = say_nothing,
    force: bool = False,
) -> RefineResult:
    """Refine and commit, `parameters.iterations` times, or only the first of these iterations, until one of them.

    say: what to do with doubts as they are found; they are in the records, too. A series whose images cannot be
    read or scored is left as it is and named in the job's record, and so is a species that no series shows. Raises
    RefinementError when no series is left, or when half-maps stop making sense; and DoubtfulInputError, unless
    forced, in place of a commit whose half-maps are certainly worse than those before.
    """
    groups = parameters.chosen_groups
    if not groups:
        raise InputError("nothing to refine: image warp, stage angles and poses are all switched off")
    result = RefineResult([], [], [], [])
    series: dict[str, _Series] = {}
    widths, depth_unclear, before = LearnedWidths(), False, Agreement(frozenset(), {})
    for iteration in range(1, (until or parameters.iterations) + 1):
        started = time.perf_counter()
        chosen = select(population, parameters.species, parameters.sources)
        if iteration == 1:
            result.doubts[:] = half_set_doubts(population, chosen.species)
            say(result.doubts)
        for item in chosen.items:
            series.setdefault(item.id, _open_series(population, item, chosen, groups))
        begun = _start(population, chosen, series, parameters, threads, progress) if iteration == 1 else None
        maps = begun.maps if begun else {one.id: stored_maps(population, one) for one in chosen.species}
        references, warnings = _references(population, chosen.species, maps, parameters.prior, threads, progress)
        if not any(references.values()):
            if iteration > 1:
                break  # nothing left to compare with; the last commit tells
            raise RefinementError(
                "no species has half-maps that agree at any resolution; start from half-maps that do, for example "
                "from another program"
            )
        label = f"iteration {iteration}/{parameters.iterations}"
        search = parameters.search(iteration)
        if begun:
            widths, warnings, depth_unclear = begun.widths, begun.warnings + warnings, begun.depth_unclear
        elif depth_unclear:  # what one iteration refined tells more
            sampled = sample(population, [series[item.id].state for item in chosen.items], references, threads)
            warnings += contradicted_depth(population, sampled, references, threads).warnings
            depth_unclear = False
        _expect(series, widths)
        done = _refine_all(
            population, chosen, series, groups, references, search, device, threads, label, progress
        )
        done.begun, done.widths = begun, widths
        widths = widths.with_more(done.width_sums)
        if begun and widths != done.widths:
            done.widths, done.width_sums = widths, WidthSums()
            _expect(series, widths)
            _move_on(population, chosen, series, references, done, device, threads, label, progress)
            widths = widths.with_more(done.width_sums)
        done.warnings[:0] = [*(map(str, result.doubts) if iteration == 1 else ()), *warnings]
        others = _other_series(population, chosen, done)
        states = [series[item.id].state for item in chosen.items if item.id in done.scores] + others
        unseen = _unseen(chosen, series, references, done)
        kept = [one for one in chosen.species if one not in unseen]
        rebuilt = rebuild(population, kept, states, threads, progress)
        now = Agreement(
            frozenset(state.item.id for state in states), {one: maps.report for one, maps in rebuilt.items()}
        )
        doubts = settle(ruin(population, kept, begun.images if begun else before, now), force)
        doubts += [*map(unseen_doubt, unseen), *blank_tilts(chosen.items, rebuilt), *map_doubts(kept, rebuilt)]
        before = now
        done.warnings += [str(doubt) for doubt in doubts]
        job = job_record(chosen, parameters.of_iteration(iteration), done, device, threads)
        job = job.model_copy(
            update={
                "wall_s": round(time.perf_counter() - started, 3),
                "peak_GiB": round(peak_GiB(), 3),
                "resolution_after_A": {s.name: rebuilt[s.id].report.resolution_A for s in kept},
                "series": with_erased(job.series, chosen.items, rebuilt),
            }
        )
        job = versioned(job)
        items = [_new_item(series[i.id], i, chosen, job) for i in chosen.items if i.id in done.scores]
        versions = {state.item.id: state.item.version for state in others} | {i.id: i.version for i in items}
        species = [
            new_species(
                _with_denoiser(population, one, references[one.id]),
                rebuilt[one.id],
                _particle_objects(one, states),
                versions,
                job.id,
            )
            for one in kept
        ]
        told = message(iteration, parameters.iterations, job)
        commit = population.commit_records([*items, *species, job], told, since=chosen.head)
        result.commits.append(commit)
        result.jobs.append(job)
        known = {(doubt.kind, doubt.where) for doubt in result.doubts}
        new = [doubt for doubt in doubts if (doubt.kind, doubt.where) not in known]
        say(new)
        result.doubts.extend(new)
        result.species[:] = [*species, *unseen]
    return result


def run(population: Population, spec: JobSpec, device: str, threads: int, progress: Progress) -> str:
    """Run a recorded iteration, and those before it; its commit."""
    assert isinstance(spec.parameters, IterationParameters)
    last = spec.parameters.iteration
    return refine(population, spec.parameters, device, threads, progress, until=last, force=True).commits[-1]


def _with_denoiser(
    population: Population, species: SpeciesRecord, reference: SpeciesReference | None
) -> SpeciesRecord:
    """The species with what its prior learned, if it is one that learns."""
    if reference is None or reference.denoiser is None:
        return species
    group = population.write_group(reference.denoiser.to_arrays())
    return species.model_copy(update={"denoiser_object": group})


def _open_series(
    population: Population, item: ItemRecord, chosen: Selection, groups: Sequence[ParameterGroup]
) -> _Series:
    state = SeriesState.load(population, item, chosen.species)
    if isinstance(state.model, StackModel):
        if not any(group.per == "particle" for group in groups):
            raise InputError(f"{item.name} is a stack of particle images, which have nothing but poses to refine")
        return _Series(state, None, np.zeros(0), state)
    system = SeriesSystem(state.tilt_series, list(state.particles.values()), groups)
    return _Series(state, system, np.zeros(system.size), state)


def _references(
    population: Population,
    species: Sequence[SpeciesRecord],
    halves: Mapping[str, HalfMaps],
    prior: Prior,
    threads: int,
    progress: Progress,
) -> tuple[dict[str, SpeciesReference | None], list[str]]:
    """The half-maps of every species through the prior, None for those that agree nowhere; and warnings."""
    references: dict[str, SpeciesReference | None] = {}
    warnings: list[str] = []
    for one in species:
        maps = halves[one.id]
        denoiser = stored_denoiser(population, one) if prior == "denoise" else None
        weights = half_map_weights(population, one, threads, progress) if prior == "isotropic" else None
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
        )
    return references, warnings


def _refine_all(
    population: Population,
    chosen: Selection,
    series: dict[str, _Series],
    groups: Sequence[ParameterGroup],
    references: dict[str, SpeciesReference | None],
    search: PoseSearch,
    device: str,
    threads: int,
    label: str,
    progress: Progress,
) -> Pass:
    """Move the parameters of every series; collect scores and failures."""
    done = Pass(groups)
    done.warnings += [
        f"{one.name}: its half-maps agree at no resolution (FSC below {THRESHOLD}), so it was not used to refine"
        for one in chosen.species
        if references[one.id] is None
    ]
    progress(label, 0, len(chosen.items))
    states = [series[item.id].state for item in chosen.items]
    amplitudes = stack_amplitudes(population, states, references, threads)
    starts = [series[item.id].start for item in chosen.items]
    done.stack_spreads = stack_spreads(population, states, starts, references, amplitudes, search, device, threads)
    for number, item in enumerate(chosen.items, start=1):
        started = time.perf_counter()
        try:
            one = series[item.id]
            if one.system is None:
                state = replace(one.state, item=item)
                one.state, score = move_stack(
                    population,
                    state,
                    one.start,
                    references,
                    amplitudes,
                    done.stack_spreads,
                    search,
                    device,
                    threads,
                )
            else:
                score = _refine_one(
                    population, item, one, one.system, references, done.width_sums, device, threads
                )
        except UNUSABLE as error:
            done.failed.append(FailedSeries(item=item.id, name=item.name, reason=str(error)))
        else:
            done.scores[item.id] = score
            done.seconds[item.id] = round(time.perf_counter() - started, 3)
            done.warnings += _undetected(item, series[item.id], chosen.species, references, score)
        progress(label, number, len(chosen.items))
    if not done.scores:
        reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in done.failed)
        raise RefinementError(f"no series could be refined ({reasons})")
    if all(np.isnan(score.before).all() for score in done.scores.values()):
        raise RefinementError(
            f"none of {len(done.scores)} series shows a signal of any species above noise, so nothing was "
            "refined. Look whether particles lie where the images show them, and at contrast, pixel sizes, "
            "defocus and weights"
        )
    return done


def _expect(series: Mapping[str, _Series], widths: LearnedWidths) -> None:
    for one in series.values():
        if one.system is not None:
            one.system.expect(widths.of_series(list(one.start.particles)))


def _move_on(
    population: Population,
    chosen: Selection,
    series: dict[str, _Series],
    references: dict[str, SpeciesReference | None],
    done: Pass,
    device: str,
    threads: int,
    label: str,
    progress: Progress,
) -> None:
    """Move tilt series once more along the half-maps that they began with: more of their parameters are seen to be
    off now that others have moved, and in the next half-maps a particle would find itself with these errors."""
    moved = [item for item in chosen.items if series[item.id].system is not None and item.id in done.scores]
    for number, item in enumerate(moved, start=1):
        started, one, first = time.perf_counter(), series[item.id], done.scores.pop(item.id)
        assert one.system is not None
        try:
            more = _refine_one(population, item, one, one.system, references, done.width_sums, device, threads)
        except UNUSABLE as error:
            done.failed.append(FailedSeries(item=item.id, name=item.name, reason=str(error)))
        else:
            evaluations = first.evaluations + more.evaluations
            done.scores[item.id] = SeriesScore(first.before, more.after, evaluations)
            done.seconds[item.id] += round(time.perf_counter() - started, 3)
        progress(f"{label}, on", number, len(moved))


def _refine_one(
    population: Population,
    item: ItemRecord,
    series: _Series,
    system: SeriesSystem,
    references: dict[str, SpeciesReference | None],
    sums: WidthSums,
    device: str,
    threads: int,
) -> SeriesScore:
    model, particles = system.updated(series.theta)
    held = list(series.start.particles)
    images = gather_images(
        lambda tilt: population.tilt_image(item, tilt),
        model,
        particles,
        [references[identity] for identity in held],
        series.start.pixel_size_A,
        threads,
    )
    series.theta, score = optimise(system, series.theta, images, device)
    sums.add(system, series.theta, held, images, device)
    model, particles = system.updated(series.theta)
    series.state = replace(
        series.start,
        item=item,
        model=model,
        model_object=population.write_tilt_series(model),
        particles=dict(zip(held, particles, strict=True)),
        particle_objects={
            identity: population.write_particles(part) for identity, part in zip(held, particles, strict=True)
        },
    )
    return score


def _undetected(
    item: ItemRecord,
    series: _Series,
    species: Sequence[SpeciesRecord],
    references: dict[str, SpeciesReference | None],
    score: SeriesScore,
) -> list[str]:
    """Which species could not be used in a series."""
    names = {one.id: one.name for one in species}
    return [
        f"{item.name}: no signal of {names[identity]} above noise, its particles were not used to refine"
        for identity, value in zip(series.start.particles, score.before, strict=True)
        if math.isnan(value) and references[identity] is not None
    ]


def _unseen(
    chosen: Selection,
    series: dict[str, _Series],
    references: dict[str, SpeciesReference | None],
    done: Pass,
) -> list[SpeciesRecord]:
    """Species that have a reference and stand out of noise in no series: their images give no half-map."""
    seen = {
        identity
        for item, score in done.scores.items()
        for identity, value in zip(series[item].start.particles, score.before, strict=True)
        if not math.isnan(value)
    }
    return [one for one in chosen.species if references[one.id] is not None and one.id not in seen]


def _start(
    population: Population,
    chosen: Selection,
    series: dict[str, _Series],
    parameters: RefineParameters,
    threads: int,
    progress: Progress,
) -> Start:
    ids = {item.id for item in chosen.items}
    others = [
        SeriesState.load(population, item, chosen.species)
        for item in population.items().values()
        if item.id not in ids and any(item.id in one.particles for one in chosen.species)
    ]
    states = [series[item.id].state for item in chosen.items]
    return find_start(population, chosen.species, states, others, parameters.chosen_groups, threads, progress)


def _other_series(population: Population, chosen: Selection, done: Pass) -> list[SeriesState]:
    """Series that are not refined now but hold particles of the species, and so belong in its half-maps."""
    failed = {failure.item for failure in done.failed}
    return [
        SeriesState.load(population, item, chosen.species)
        for item in population.items().values()
        if item.id not in done.scores
        and item.id not in failed
        and any(item.id in one.particles for one in chosen.species)
    ]


def _particle_objects(species: SpeciesRecord, states: Sequence[SeriesState]) -> dict[str, str]:
    """Item id -> particle group, with those that moved."""
    moved = {s.item.id: s.particle_objects[species.id] for s in states if species.id in s.particle_objects}
    return species.particles | moved


def _new_item(series: _Series, item: ItemRecord, chosen: Selection, job: JobRecord) -> ItemRecord:
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
