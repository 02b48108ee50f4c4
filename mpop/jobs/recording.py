"""What all jobs write down alike. Imports nothing that computes, so that a merge starts at once."""

from __future__ import annotations

from mpop.records.models import JobRecord
from mpop_store import version_of


def job_id(job: JobRecord) -> str:
    """The job as a pure function: hash of verb, parameters, seed and inputs."""
    keep = {"kind", "verb", "parameters", "seed", "inputs"}
    return version_of(job.model_dump(mode="json", include=keep))


def in_angstrom(resolution: float | None) -> str:
    """A resolution as people write it."""
    return "no resolution" if resolution is None else f"{resolution:.1f} A"
