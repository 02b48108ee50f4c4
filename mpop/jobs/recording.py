"""What all jobs write down alike. Imports nothing that computes, so that a merge starts at once."""

from __future__ import annotations

from mpop.records.models import JobRecord
from mpop.records.parameters import Parameters
from mpop_store import version_of


class MergeParameters(Parameters):
    """What a merge joined: commits; `joined`, the versions by record; and how conflicts were resolved."""

    ours: str
    theirs: str
    bases: list[str]
    joined: dict[str, dict[str, str | None]]
    resolutions: dict[str, dict[str, str]]


def job_id(job: JobRecord) -> str:
    """The job as a pure function: hash of verb, parameters, seed and inputs."""
    keep = {"kind", "verb", "parameters", "seed", "inputs"}
    return version_of(job.model_dump(mode="json", include=keep))


def in_angstrom(resolution: float | None) -> str:
    """A resolution as people write it."""
    return "no resolution" if resolution is None else f"{resolution:.1f} A"
