"""`mpop reproduce`: a recorded job run again from its recorded inputs, and its result compared with the record.

The run happens in a scratch repository that reads the population's objects and writes its own: no reference moves
and the working state stays. Sums that are kept as derived objects are computed again, unless asked otherwise. An
iteration of a refinement goes on from the state that the one before stored. The first versions stored none: their
iterations are run together with those before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpop.comparison import MapDifference, ParticleChange, Quantity, compare_maps, compare_models
from mpop.comparison.particles import compare_particles, summarise
from mpop.errors import InputError, StateError
from mpop.jobs.environment import choose_device, software_versions
from mpop.jobs.result_differences import ResultDifference, result_differences
from mpop.jobs.verbs import spec_of, verb_of
from mpop.population import Population, typed
from mpop.records.models import FailedSeries, JobRecord, SourceType, SpeciesHead, SpeciesRecord
from mpop.records.tilt_series import ParticleSet
from mpop.run import Progress, Run, silent
from mpop_hooks.record_types import RecordType
from mpop_hooks.schema import ITEM, JOB, SPECIES, STATE, references_of
from mpop_store.arrays.groups import group_objects
from mpop_store.git.repository import Commit, Repository
from mpop_store.git.scratch import scratch

MAPS = ("half1", "half2")


@dataclass(frozen=True)
class SpeciesAgain:
    """A species as recorded and as it came out again. maps: by name, how far apart; empty when they are equal."""

    name: str
    is_identical: bool
    resolution_recorded_A: float | None
    resolution_again_A: float | None
    maps: dict[str, MapDifference]
    particles: ParticleChange


@dataclass(frozen=True)
class ItemAgain:
    """A tilt series or a stack. quantities: of its model that came out otherwise."""

    name: str
    is_identical: bool
    quantities: list[Quantity]
    type: SourceType


@dataclass(frozen=True)
class Reproduction:
    """What running a job again gave.

    base: the commit that it was run from. same_job: whether the job had the same inputs as recorded; of a later
    iteration they are results of those before. result: what of the job's figures and arrays came out otherwise, of
    jobs on maps. failed: series that failed now. environment: (recorded, now) of
    versions, device and threads that differ.
    """

    commit: str
    base: str
    job: JobRecord
    is_identical: bool
    same_job: bool
    species: list[SpeciesAgain]
    items: list[ItemAgain]
    result: list[ResultDifference]
    failed: list[FailedSeries]
    environment: dict[str, tuple[Any, Any]]


class _Again(Population):
    """A scratch population whose raw images lie where those of the real one do."""

    def __init__(self, repository: Repository, root: Path) -> None:
        super().__init__(repository)
        self._root = root

    @property
    def root(self) -> Path:
        """Folder of the real population."""
        return self._root


def reproduce(
    population: Population,
    revision: str,
    device: str | None = None,
    threads: int | None = None,
    keep_sums: bool = False,
    progress: Progress = silent,
) -> Reproduction:
    """Run the job of a commit again and compare.

    device, threads: as recorded if not given, as far as this machine has them. keep_sums: use Fourier sums that
    are kept beside the species instead of reading all their images again. Raises StateError for a commit without a
    job that can be run again, and what the job itself raises.
    """
    commit = population.repository.show(revision)
    job = _job_of(population, commit)
    runner = verb_of(job).runner
    if runner is None:
        raise StateError(
            f"commit {commit.id[:10]} ({commit.subject}): a {job.verb} cannot be run again by itself; reproduce "
            "the commits it came from"
        )
    base = _base(population, commit, job)
    spec = spec_of(job)
    run = Run(_device(job, device), job.threads if threads is None else threads, progress)
    with scratch(population.repository, base, () if keep_sums else _sums(population, base)) as repository:
        again = _Again(repository, population.root)
        ran = _job_of(again, repository.show(runner(again, spec, run)))
        species = [_species(population, again, one, commit.id) for (one,) in _changed(commit, SPECIES).values()]
        items = [_item(population, again, one, commit.id) for (one,) in _changed(commit, ITEM).values()]
        result = _result(population, again, job, ran)
    failed = {one.item for one in job.failed}
    now = software_versions() | {"device": ran.device, "threads": ran.threads}
    recorded = job.software | {"device": job.device, "threads": job.threads}
    return Reproduction(
        commit.id,
        base,
        job,
        not result and all(one.is_identical for one in [*species, *items]),
        ran.id == job.id,
        species,
        items,
        result,
        [one for one in ran.failed if one.item not in failed],
        {name: (recorded.get(name), now.get(name)) for name in now if recorded.get(name) != now.get(name)},
    )


def _changed(commit: Commit, of: RecordType) -> dict[str, tuple[str, ...]]:
    """Path -> key of the records of a type that a commit changed, in order."""
    return of.keys(sorted(commit.changed))


def _job_of(population: Population, commit: Commit) -> JobRecord:
    """The job that made a commit. Raises StateError when there is none."""
    paths = [path for path in _changed(commit, JOB) if commit.changed[path] == "A"]
    short = f"commit {commit.id[:10]} ({commit.subject})"
    if len(paths) != 1:
        many = f"brought {len(paths)} jobs; give the commit of one of them" if paths else "was not made by a job"
        raise StateError(f"{short} {many}")
    return typed(JobRecord, paths[0], population.repository.read(paths[0], commit.id))


def _base(population: Population, commit: Commit, job: JobRecord) -> str:
    """The newest commit, on the way back along first parents, that holds the inputs of the job.

    Of a later iteration of a refinement whose record does not name what was handed on to it: of the first one.
    """
    repository = population.repository
    versions = {path: version for path, version in job.inputs.items() if path != STATE}
    for before in _first_parents(repository, commit):
        if job.parameters.get("iteration", 1) > 1 and STATE not in job.inputs:
            earlier = job.parameters | {"iteration": job.parameters["iteration"] - 1}
            for path in _changed(before, JOB):
                found = typed(JobRecord, path, repository.read(path, before.id))
                if (found.verb, found.parameters) == (job.verb, earlier):
                    return _base(population, before, found)
        elif all(_version(repository, path, before.id) == version for path, version in versions.items()):
            return before.id
    raise StateError(
        f"commit {commit.id[:10]}: what its job started from is not in the history here; `mpop fetch` more of it"
    )


def _first_parents(repository: Repository, commit: Commit) -> Iterator[Commit]:
    while commit.parents:
        commit = repository.show(commit.parents[0])
        yield commit


def _version(repository: Repository, path: str, at: str) -> str | None:
    oid = repository.find(path, at)
    return None if oid is None else repository.load(oid).get("version")


def _sums(population: Population, base: str) -> set[str]:
    """The objects of all sums that are kept at a commit, as far as they are here."""
    objects = population.objects.offline()
    kept = [name for one in population.species_heads(base).values() for name in _derived(one) if objects.has(name)]
    return {part for name in kept for part in group_objects(objects, name)}


def _derived(species: SpeciesHead) -> tuple[str, ...]:
    return references_of(species.model_dump(mode="json")).derived


def _device(job: JobRecord, wanted: str | None) -> str:
    if wanted is not None:
        return choose_device(wanted)
    try:
        return choose_device(job.device)
    except InputError:
        return choose_device("auto")  # the recorded one is not in this machine


def _result(population: Population, again: Population, job: JobRecord, ran: JobRecord) -> list[ResultDifference]:
    old, new = job.result_object, ran.result_object
    if job.verb == "refine" and old is None:
        new = None  # the first versions did not store what an iteration hands on
    recorded = {} if old is None or old == new else population.read_group(old)
    arrays = {} if new is None or old == new else again.read_group(new)
    if recorded:  # versions of before did not store all that a page shows
        arrays = {name: values for name, values in arrays.items() if name in recorded}
    return result_differences(job.result, ran.result, recorded, arrays)


def _species(population: Population, again: Population, identity: str, commit: str) -> SpeciesAgain:
    old, new = population.one_species(identity, commit), again.one_species(identity)
    same_maps = old.maps_object == new.maps_object
    parts = [
        compare_particles(_particles(population, old, item), _particles(again, new, item), old.symmetry)
        for item in sorted(set(old.particles) | set(new.particles))
        if old.particles.get(item) != new.particles.get(item)
    ]
    maps = {} if same_maps else _maps(population, again, old, new)
    resolutions = old.resolution_A, new.resolution_A
    return SpeciesAgain(old.name, same_maps and not parts, *resolutions, maps, summarise(parts))


def _particles(population: Population, species: SpeciesRecord, item: str) -> ParticleSet | None:
    return population.particles(species, item) if item in species.particles else None


def _maps(
    population: Population, again: Population, old: SpeciesRecord, new: SpeciesRecord
) -> dict[str, MapDifference]:
    before, after = population.maps(old), again.maps(new)
    return {name: compare_maps(before[name], after[name], old.pixel_size_A, old.resolution_A) for name in MAPS}


def _item(population: Population, again: Population, identity: str, commit: str) -> ItemAgain:
    old, new = population.item(identity, commit), again.item(identity)
    kind = population.source(old.source, commit).type
    if old.model_object == new.model_object:
        return ItemAgain(old.name, True, [], kind)
    change = compare_models(population.model(old), again.model(new))
    return ItemAgain(old.name, False, change.quantities, kind)
