"""What a map job on a species leaves behind: one commit with a job record, its numbers and its arrays.

A job is a pure function of its verb, parameters, seed and inputs, and its id is their hash. So a job that was done
before, on this version of the species or on one that differs in nothing but its denoiser, is found by its id, and
need not run again:

    analysis = Analysis.of(population, maps.species, "fsc3d", DirectionalParameters(half_angle_deg=20.0))
    found, commit = analysis.finding(lambda: measure(maps, 20.0), summary, shown=("fsc3d",))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from mpop.errors import StateError
from mpop.jobs.environment import peak_GiB, software_versions
from mpop.jobs.maps.finding import Finding, Numbers
from mpop.jobs.recording import job_id
from mpop.jobs.spec import JobSpec
from mpop.population import Population, record_path, typed, versioned
from mpop.records.models import JobRecord, SpeciesRecord
from mpop.records.parameters import Parameters
from mpop.run import Run
from mpop_hooks.record_types import LINEAGE
from mpop_hooks.schema import JOB

NOT_MEASURED = {"denoiser_object", "job", "derived", *LINEAGE}
"""Fields of a species that say nothing of its maps and particles."""


@dataclass(frozen=True)
class Recorded:
    """A commit and the record of the job that it holds."""

    commit: str
    job: JobRecord


@dataclass(frozen=True)
class Analysis:
    """A map job on one species, from the moment it begins. planned: its record, before it has run."""

    population: Population
    species: SpeciesRecord
    head: str
    planned: JobRecord
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(
        cls,
        population: Population,
        species: SpeciesRecord,
        verb: str,
        parameters: Parameters,
        seed: int = 0,
        run: Run = Run(),
    ) -> Analysis:
        """Plan a job. parameters: all that decides the result, beside the maps and the seed. run: on the
        device that it really uses.

        Raises StateError when there are uncommitted changes or a merge waits.
        """
        population.refuse_while_merging()
        head = population.repository.head
        if head is None or not population.repository.is_clean:
            raise StateError(
                "the population has uncommitted changes; run `mpop commit -m MESSAGE` first, "
                "so that the job can record what it started from"
            )
        spec = JobSpec(verb, parameters, {record_path(species): species.version}, seed)
        return cls(population, species, head, spec.record(run))

    @cached_property
    def before(self) -> JobRecord | None:
        """The record of this very job, if HEAD holds it. Not for jobs that go on from the denoiser."""
        for version in chain([self.species.version], self._same_maps()):
            job = self.planned.model_copy(update={"inputs": {record_path(self.species): version}})
            found = self._job(job_id(job), self.head)
            if found is not None:
                return found
        return None

    def finding(
        self, measure: Callable[[], Finding], summary: Callable[[Numbers], str], shown: Collection[str] = ()
    ) -> tuple[Finding, str | None]:
        """What HEAD holds of this very job, or else what is measured now; the commit, None for nothing new.

        summary: of the numbers, in a line for the log. shown: arrays that reports and files are made of. An mpop
        of before may have stored fewer: then the same is measured again, and not committed a second time.
        """
        if self.before is not None:
            recorded = Finding.load(self.population, self.before)
            return (recorded if recorded.arrays.keys() >= set(shown) else measure()), None
        found = measure()
        numbers = found.numbers
        done = self.commit(found.arrays, numbers, summary(numbers), numbers.get("warnings", ()))
        return found, done.commit

    def _job(self, identity: str | None, at: str) -> JobRecord | None:
        """A job by its id, if a commit holds it."""
        if identity is None:
            return None
        path = JOB.path(identity)
        if self.population.repository.find(path, at) is None:
            return None
        return typed(JobRecord, path, self.population.repository.read(path, at))

    def _same_maps(self) -> Iterator[str]:
        """Versions from before the denoiser was trained, newest first, alike in all that a measurement reads."""
        maker = self._job(self.species.job, self.head)
        if maker is None or maker.verb != "denoise":
            return
        repository, path = self.population.repository, record_path(self.species)
        measured = _measured(repository.read(path, self.head))
        for commit in repository.log(self.head):
            if commit.changed.get(path, "D") == "D":
                continue
            record = repository.read(path, commit.id)
            if _measured(record) != measured:
                return
            yield record["version"]

    def commit(
        self,
        arrays: Mapping[str, NDArray[Any]],
        result: Mapping[str, Any],
        summary: str,
        warnings: Sequence[str] = (),
        changed: Mapping[str, Any] | None = None,
    ) -> Recorded:
        """Store the arrays and commit the job, unless the same measurement was committed while this one ran.

        result: plain JSON values. summary: one line for the log. changed: fields of the species that this job
        sets, such as the denoiser that it trained; its parent and its job are filled in.
        """
        now = self.population.repository.head
        if changed is None and now is not None and (same := self._job(self.planned.id, now)):
            return Recorded(now, same)
        job = versioned(
            self.planned.model_copy(
                update={
                    "software": software_versions(),
                    "wall_s": round(time.perf_counter() - self.started, 3),
                    "peak_GiB": round(peak_GiB(), 3),
                    "warnings": list(warnings),
                    "result": dict(result),
                    "result_object": self.population.write_group(arrays) if arrays else None,
                }
            )
        )
        records = [job] if changed is None else [job, self._next_version(changed, job)]
        message = f"{job.verb} {self.species.name}: {summary}"
        return Recorded(self.population.commit_records(records, message, since=self.head), job)

    def _next_version(self, changed: Mapping[str, Any], job: JobRecord) -> SpeciesRecord:
        update = {**changed, "job": job.id, "parent": self.species.version, "merged": []}
        return versioned(self.species.model_copy(update=update))


def made(commit: str | None, spec: JobSpec) -> str:
    """The commit of a job that was run again. Raises StateError where the population held that job before."""
    if commit is None:
        raise StateError(f"job {spec.id[:10]} was done before already; reproduce the first commit that holds it")
    return commit


def _measured(species: Mapping[str, Any]) -> dict[str, Any]:
    """What of a species' record a measurement may read."""
    return {name: value for name, value in species.items() if name not in NOT_MEASURED}
