"""The `reconstruct` job: half-maps from the tilt images as the committed models see them. One commit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from mpop.doubts import Doubt
from mpop.jobs.environment import peak_GiB, software_versions
from mpop.jobs.erased import blank_tilts, erased_lines, with_erased
from mpop.jobs.half_sets import Say, half_set_doubts, say_nothing
from mpop.jobs.halfmaps import RebuiltSpecies, SeriesState, map_doubts, rebuild
from mpop.jobs.leasing import leased
from mpop.jobs.recording import in_angstrom
from mpop.jobs.selection import Selection, select
from mpop.jobs.spec import JobSpec
from mpop.population import Population, record_path, versioned
from mpop.records.models import JobRecord, SpeciesRecord
from mpop.records.parameters import Parameters
from mpop.run import Run, limited


class ReconstructParameters(Parameters):
    """Ids of what was reconstructed, and of the sources of its series."""

    species: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class ReconstructResult:
    """The commit, the job's record, the new species records, and what was doubted."""

    commit: str
    job: JobRecord
    species: list[SpeciesRecord]
    doubts: list[Doubt]


def _writes(population: Population, species: Sequence[str] = (), *_: object, **__: object) -> list[str]:
    return [one.id for one in select(population, species).species]


@limited
@leased("reconstruct", _writes)
def reconstruct_species(
    population: Population,
    species: Sequence[str] = (),
    run: Run = Run(),
    say: Say = say_nothing,
) -> ReconstructResult:
    """Rebuild the half-maps of species (default: all) from all their tilt series, and commit them.

    say: what to do with doubts as they are found; they are in the record, too.
    """
    started = time.perf_counter()
    chosen = select(population, species)
    doubts = half_set_doubts(population, chosen.species)
    say(doubts)
    states = [SeriesState.load(population, item, chosen.species) for item in chosen.items]
    rebuilt = rebuild(population, chosen.species, states, run.progress)
    more = [*blank_tilts(chosen.items, rebuilt), *map_doubts(chosen.species, rebuilt)]
    if more:
        say(more)
    doubts += more
    parameters = ReconstructParameters(
        species=tuple(one.id for one in chosen.species), sources=tuple(sorted(chosen.sources))
    )
    job = JobSpec("reconstruct", parameters, input_versions(chosen)).record(
        run.on_cpu,
        software=software_versions(),
        wall_s=round(time.perf_counter() - started, 3),
        peak_GiB=round(peak_GiB(), 3),
        resolution_before_A={one.name: one.resolution_A for one in chosen.species},
        resolution_after_A={one.name: rebuilt[one.id].report.resolution_A for one in chosen.species},
        series=with_erased([], chosen.items, rebuilt),
        warnings=[str(doubt) for doubt in doubts],
    )
    job = versioned(job)
    versions = {item.id: item.version for item in chosen.items}
    records = [new_species(one, rebuilt[one.id], one.particles, versions, job.id) for one in chosen.species]
    changes = [f"{one.name}: {in_angstrom(one.resolution_A)}" for one in records]
    warnings = [f"warning: {warning}" for warning in job.warnings]
    message = "\n".join(["Reconstruct", "", *changes, *erased_lines(job), *warnings])
    commit = population.commit_records([*records, job], message, since=chosen.head)
    return ReconstructResult(commit, job, records, doubts)


def run(population: Population, spec: JobSpec, run: Run) -> str:
    """Run a recorded job; the commit."""
    assert isinstance(spec.parameters, ReconstructParameters)
    return reconstruct_species(population, spec.parameters.species, run).commit


def input_versions(chosen: Selection) -> dict[str, str]:
    """Record path -> version of every record that a job reads."""
    records = [*chosen.species, *chosen.items, *chosen.sources.values()]
    return {record_path(record): record.version for record in records}


def new_species(
    old: SpeciesRecord,
    rebuilt: RebuiltSpecies,
    particles: dict[str, str],
    item_versions: dict[str, str],
    job: str,
) -> SpeciesRecord:
    """The next version of a species; `item_versions` of all items that contributed."""
    return versioned(
        old.model_copy(
            update={
                "maps_object": rebuilt.maps_object,
                "resolution_A": rebuilt.report.resolution_A,
                "particles": particles,
                "item_versions": {i: v for i, v in item_versions.items() if i in particles},
                "job": job,
                "parent": old.version,
                "merged": [],
                "derived": {"sums": rebuilt.sums},
            }
        )
    )
