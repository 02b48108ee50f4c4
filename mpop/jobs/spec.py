"""A job as data: all that decides what it gives, before it has run.

Its id is the hash of that. Two who ask for the same get the same id, wherever and whenever they run it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpop.jobs.recording import job_id
from mpop.records.models import JobRecord
from mpop.records.parameters import Parameters
from mpop.run import Run


@dataclass(frozen=True)
class JobSpec:
    """A verb, what it is asked for, and the records that it reads: path -> version.

    seed: for all random numbers in it; 0 for verbs without any.
    """

    verb: str
    parameters: Parameters
    inputs: Mapping[str, str]
    seed: int = 0

    @property
    def id(self) -> str:
        """The BLAKE3 of the canonical JSON of it."""
        return self.record().id

    def record(self, run: Run | None = None, **found: Any) -> JobRecord:
        """The record of this job, with its id and without its version. found: other fields of it."""
        run = run or Run()
        known = {"software": {}, "wall_s": 0.0, "peak_GiB": 0.0} | found
        job = JobRecord(
            id="",
            verb=self.verb,  # pyright: ignore[reportArgumentType]  # pydantic refuses what is no verb
            parameters=self.parameters.recorded(),
            seed=self.seed,
            inputs=dict(self.inputs),
            device=run.device,
            threads=run.threads,
            **known,
        )
        return job.model_copy(update={"id": job_id(job)})
