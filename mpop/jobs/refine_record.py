"""What an iteration of the `refine` job did, as its record and its commit tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpop.jobs.environment import software_versions
from mpop.jobs.erased import erased_lines
from mpop.jobs.reconstruct import input_versions
from mpop.jobs.recording import in_angstrom, job_id
from mpop.jobs.refine_stack import Spreads
from mpop.jobs.refine_start import Start
from mpop.jobs.selection import Selection
from mpop.records.models import FailedSeries, JobRecord
from mpop.refinement.series import SeriesScore
from mpop.refinement.widths import LearnedWidths, WidthSums


@dataclass
class Pass:
    """What one iteration did to the series."""

    scores: dict[str, SeriesScore] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[FailedSeries] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stack_spreads: Spreads = field(default_factory=dict)
    """What poses in stacks were found to be off by at the beginning."""
    begun: Start | None = None
    """What the job starts from; of its first iteration."""
    widths: LearnedWidths = field(default_factory=LearnedWidths)
    """How far parameters of tilt series are expected to be off."""
    width_sums: WidthSums = field(default_factory=WidthSums)
    """What their images show of that, for the next pass."""


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
        result=_beginning(chosen, done.begun) | _errors(chosen, done),
    )
    return job.model_copy(update={"id": job_id(job)})


def _beginning(chosen: Selection, begun: Start | None) -> dict[str, Any]:
    """By name of species: the resolution that the images gave as they stood, and which half-maps their particles
    were compared with first."""
    if begun is None:
        return {}
    started = {
        one.name: {"resolution_A": begun.resolution_A(one.id), "compared_with": begun.kinds[one.id]}
        for one in chosen.species
    }
    return {"start": started}


def resolution_line(name: str, first: JobRecord, last: JobRecord) -> str:
    """From what the images gave before the first iteration to what they give after the last; half-maps that came
    from elsewhere beside it."""
    imported, after = first.resolution_before_A[name], in_angstrom(last.resolution_after_A[name])
    start = first.result.get("start", {}).get(name)
    if start is None or start["resolution_A"] == imported:
        return f"{name}: {in_angstrom(imported)} -> {after}"
    return f"{name}: {in_angstrom(start['resolution_A'])} -> {after} (half-maps before: {in_angstrom(imported)})"


def _errors(chosen: Selection, done: Pass) -> dict[str, Any]:
    """How far the parameters that the job began with were off, per axis: poses by name of species."""
    widths = done.widths
    poses = {}
    for one in chosen.species:
        spread = done.stack_spreads.get(one.id)
        if spread and spread.images:
            poses[one.name] = {"angle_deg": round(spread.sigma_deg, 3), "shift_A": round(spread.sigma_A, 3)}
        elif one.id in widths.positions_A:
            angle, shift = widths.rotations_deg[one.id], widths.positions_A[one.id]
            poses[one.name] = {"angle_deg": round(angle, 3), "shift_A": round(shift, 3)}
    errors: dict[str, Any] = {"pose_errors": poses} if poses else {}
    if widths.positions_A:
        errors["series_errors"] = {
            "global_warp_A": round(widths.global_warp_A, 3),
            "local_warp_A": round(widths.local_warp_A, 3),
            "stage_angles_deg": round(widths.stage_angles_deg, 3),
        }
    return errors


def error_lines(job: JobRecord) -> list[str]:
    """What a refinement found of the parameters that it began with: a line for each species, and one for the tilt
    series."""
    lines = []
    for name, off in job.result.get("pose_errors", {}).items():
        turned, moved = _off(off["angle_deg"], "degrees"), _off(off["shift_A"], "A")
        lines.append(f"{name}: orientations were {turned}, positions {moved} (RMS per axis)")
    series = job.result.get("series_errors")
    if series:
        whole, parts = _off(series["global_warp_A"], "A"), _off(series["local_warp_A"], "A")
        turned = _off(series["stage_angles_deg"], "degrees")
        lines.append(
            f"tilt series: images were {whole}, parts of them {parts}, stage angles {turned} (RMS per axis)"
        )
    return lines


def _off(width: float, unit: str) -> str:
    """0: what was off did not stand out of noise."""
    return f"{width:.2g} {unit} off" if width else "not seen to be off and kept"


def message(iteration: int, iterations: int, job: JobRecord) -> str:
    """Of the commit of an iteration."""
    lines = [f"Refine, iteration {iteration} of {iterations}", ""]
    lines += [resolution_line(name, job, job) for name in job.resolution_after_A]
    lines += error_lines(job)
    lines += erased_lines(job)
    lines += [f"failed: {failure.name}: {failure.reason}" for failure in job.failed]
    lines += [f"warning: {warning}" for warning in job.warnings]
    return "\n".join(lines)
