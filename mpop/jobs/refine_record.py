"""What an iteration of the `refine` job did, as its record and its commit tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpop.jobs.environment import software_versions
from mpop.jobs.erased import erased_lines
from mpop.jobs.reconstruct import input_versions
from mpop.jobs.recording import in_angstrom, job_id
from mpop.jobs.refine_stack import Spreads
from mpop.jobs.selection import Selection
from mpop.records.models import FailedSeries, JobRecord
from mpop.refinement.pose_prior import PoseSpread
from mpop.refinement.series import SeriesScore


@dataclass
class Pass:
    """What one iteration did to the series."""

    scores: dict[str, SeriesScore] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[FailedSeries] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stack_spreads: Spreads = field(default_factory=dict)
    """What poses in stacks were found to be off by at the beginning."""
    series_spreads: Spreads = field(default_factory=dict)
    """And those in tilt series at the end, by which the next pass expects them."""

    def learn(self, species: Iterable[str], score: SeriesScore) -> None:
        """How far the poses of these species in a tilt series turned out to be off."""
        for identity, spread in zip(species, score.spreads, strict=True):
            if spread is not None:
                self.series_spreads[identity] = self.series_spreads.get(identity, PoseSpread()) + spread


def job_record(
    chosen: Selection, parameters: dict[str, Any], seed: int, done: Pass, device: str, threads: int
) -> JobRecord:
    """The record of one iteration, as far as the pass over the series tells it; without its version."""
    scores = list(done.scores.values())
    job = JobRecord(
        id="",
        verb="refine",
        parameters=parameters,
        seed=seed,
        inputs=input_versions(chosen),
        software=software_versions(),
        device=device,
        threads=threads,
        wall_s=0.0,
        peak_GiB=0.0,
        score_before=float(np.nansum([score.before for score in scores])),
        score_after=float(np.nansum([score.after for score in scores])),
        resolution_before_A={one.name: one.resolution_A for one in chosen.species},
        series=[
            {
                "item": item.id,
                "name": item.name,
                "score_before": float(np.nansum(done.scores[item.id].before)),
                "score_after": float(np.nansum(done.scores[item.id].after)),
                "evaluations": done.scores[item.id].evaluations,
                "seconds": done.seconds[item.id],
            }
            for item in chosen.items
            if item.id in done.scores
        ],
        failed=done.failed,
        warnings=done.warnings,
        result=_pose_errors(chosen, done.series_spreads | done.stack_spreads),
    )
    return job.model_copy(update={"id": job_id(job)})


def _pose_errors(chosen: Selection, spreads: Spreads) -> dict[str, Any]:
    """How far the poses that the job began with were off, per axis, by name of species."""
    errors = {
        one.name: {"angle_deg": round(spread.sigma_deg, 3), "shift_A": round(spread.sigma_A, 3)}
        for one in chosen.species
        if (spread := spreads.get(one.id)) and spread.images
    }
    return {"pose_errors": errors} if errors else {}


def pose_error_lines(job: JobRecord) -> list[str]:
    """What a refinement found of the poses that it began with, a line for each species."""
    return [
        f"{name}: poses were {off['angle_deg']:.1f} degrees and {off['shift_A']:.1f} A off (RMS per axis)"
        for name, off in job.result.get("pose_errors", {}).items()
    ]


def message(iteration: int, iterations: int, job: JobRecord) -> str:
    """Of the commit of an iteration."""
    lines = [f"Refine, iteration {iteration} of {iterations}", ""]
    for name, after in job.resolution_after_A.items():
        lines.append(f"{name}: {in_angstrom(job.resolution_before_A[name])} -> {in_angstrom(after)}")
    lines += pose_error_lines(job)
    lines += erased_lines(job)
    lines += [f"failed: {failure.name}: {failure.reason}" for failure in job.failed]
    lines += [f"warning: {warning}" for warning in job.warnings]
    return "\n".join(lines)
