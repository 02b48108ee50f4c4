"""All verbs: what each is asked for, and what runs it.

To add one, write its model of parameters and its function, and a line here: by that, `mpop reproduce` reads its
jobs and runs them. Both are named by text, so that what a verb needs is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mpop.errors import InputError, StateError
from mpop.jobs.spec import JobSpec
from mpop.records.models import JobRecord
from mpop.records.parameters import Parameters
from mpop.run import Run

if TYPE_CHECKING:
    from mpop.population import Population

Runner = Callable[["Population", JobSpec, Run], str]
"""Runs a job in a population whose HEAD holds what it reads; the commit."""


@dataclass(frozen=True)
class Verb:
    """parameters: models of what it is asked for, each as module:name. run: a `Runner`, or None for what cannot be
    run again by itself. seeded: whether there is chance in it."""

    parameters: tuple[str, ...]
    run: str | None
    seeded: bool = False

    def parameters_of(self, job: JobRecord) -> Parameters:
        """What a recorded job was asked for. Raises StateError where this mpop does not know it."""
        problem: Exception | None = None
        for name in self.parameters:
            try:
                return resolve_name(name).from_record(job.parameters)
            except (ValidationError, InputError) as error:
                problem = error
        unknown = f"job {job.id[:10]} has parameters that this mpop does not know; update mpop?"
        raise StateError(unknown) from problem

    @property
    def runner(self) -> Runner | None:
        """What runs it."""
        return None if self.run is None else resolve_name(self.run)


MAPS, NETWORKS = "mpop.jobs.maps", "mpop.networks"

VERBS: dict[str, Verb] = {
    "reconstruct": Verb(("mpop.jobs.reconstruct:ReconstructParameters",), "mpop.jobs.reconstruct:run"),
    "refine": Verb(("mpop.jobs.refine_parameters:IterationParameters",), "mpop.jobs.refine:run"),
    "fsc": Verb(
        (f"{MAPS}.parameters:FSCParameters", f"{MAPS}.parameters:ComparisonParameters"),
        f"{MAPS}.fsc:run",
        seeded=True,
    ),
    "fsc3d": Verb((f"{MAPS}.parameters:DirectionalParameters",), f"{MAPS}.directional:run"),
    "local-resolution": Verb((f"{MAPS}.parameters:LocalResolutionParameters",), f"{MAPS}.local_resolution:run"),
    "orientations": Verb((f"{MAPS}.parameters:OrientationsParameters",), f"{MAPS}.orientations:run"),
    "denoise": Verb((f"{NETWORKS}.denoiser:DenoiseParameters",), f"{MAPS}.denoise:run", seeded=True),
    "correct": Verb((f"{MAPS}.correct:CorrectParameters",), f"{MAPS}.correct:run", seeded=True),
    "merge": Verb(("mpop.jobs.recording:MergeParameters",), None),
}


def verb_of(job: JobRecord) -> Verb:
    """That of a recorded job. Raises StateError for one that this mpop does not know."""
    try:
        return VERBS[job.verb]
    except KeyError:
        raise StateError(f"job {job.id[:10]}: this mpop knows no verb {job.verb}; update mpop?") from None


def spec_of(job: JobRecord) -> JobSpec:
    """What a recorded job was asked for. Raises StateError where this mpop does not know it."""
    return JobSpec(job.verb, verb_of(job).parameters_of(job), job.inputs, job.seed)
