"""What an iteration of the `refine` job did, as its record and its commit tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpop.jobs.environment import software_versions
from mpop.jobs.erased import erased_lines
from mpop.jobs.reconstruct import input_versions
from mpop.jobs.recording import in_angstrom
from mpop.jobs.refine_parameters import IterationParameters
from mpop.jobs.refine_series import Moved, Moving
from mpop.jobs.refine_stack import Spreads
from mpop.jobs.refine_start import Start
from mpop.jobs.selection import Selection
from mpop.jobs.spec import JobSpec
from mpop.records.models import FailedSeries, JobRecord
from mpop.refinement.groups.group import ParameterGroup
from mpop.refinement.groups.registry import chosen_groups, defaults
from mpop.refinement.series import SeriesScore
from mpop.refinement.widths import LearnedWidths, WidthSums
from mpop.run import Run
from mpop_hooks.schema import STATE

POSE_ERRORS = {"rotations": "angle_deg", "positions": "shift_A"}
WORDS = {"deg": "degrees"}


@dataclass
class Pass:
    """What one iteration did to the series."""

    groups: Sequence[ParameterGroup]
    series: dict[str, Moving] = field(default_factory=dict)
    """Those that moved, by item."""
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
    learned: LearnedWidths = field(default_factory=LearnedWidths)
    """How far parameters are expected to be off in the next pass."""

    def add(self, moved: Moved, seconds: float) -> None:
        """A series that moved, in so many seconds altogether."""
        item = moved.series.state.item.id
        self.series[item], self.scores[item] = moved.series, moved.score
        self.seconds[item] = round(seconds, 3)
        self.width_sums.include(moved.sums)

    def fail(self, failure: FailedSeries) -> None:
        """A series that could not be moved, or no further: it stays as it was."""
        for of_series in (self.series, self.scores, self.seconds):
            of_series.pop(failure.item, None)
        self.failed.append(failure)


def job_record(
    chosen: Selection, parameters: IterationParameters, state: str | None, done: Pass, run: Run
) -> JobRecord:
    """The record of one iteration, what the pass over the series knows of it; without its version.

    state: the group that the iteration before handed on.
    """
    scores = list(done.scores.values())
    inputs = input_versions(chosen) | ({} if state is None else {STATE: state})
    spec = JobSpec("refine", parameters, inputs, parameters.seed or 0)
    return spec.record(
        run,
        software=software_versions(),
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
    """How far the parameters that the job began with were off, per axis: those of particles by name of species."""
    widths, keys = done.widths, {group.name: error_key(group) for group in done.groups}
    poses = {}
    for one in chosen.species:
        spread = done.stack_spreads.get(one.id)
        if spread and spread.images:
            poses[one.name] = {"angle_deg": round(spread.sigma_deg, 3), "shift_A": round(spread.sigma_A, 3)}
        else:
            found = {
                key: round(widths.of_particles[name][one.id], 3)
                for name, key in keys.items()
                if one.id in widths.of_particles.get(name, {})
            }
            if found:
                poses[one.name] = found
    errors: dict[str, Any] = {"pose_errors": poses} if poses else {}
    if widths.of_tilts:
        errors["series_errors"] = {keys[name]: round(width, 3) for name, width in widths.of_tilts.items()}
    return errors


def error_lines(job: JobRecord) -> list[str]:
    """What a refinement found of the parameters that it began with: a line for each species, and one for the tilt
    series."""
    found = dict(job.result.get("pose_errors", {}))
    if series := job.result.get("series_errors"):
        found["tilt series"] = series
    labels = {error_key(group): group.label for group in chosen_groups(defaults())}
    return [
        f"{name}: {', '.join(f'{labels.get(key, key)} {_off(key, width)}' for key, width in off.items())} "
        "(RMS per axis)"
        for name, off in found.items()
    ]


def _off(key: str, width: float) -> str:
    """0: what was off did not stand out of noise."""
    unit = key.rsplit("_", 1)[1]
    return f"{width:.2g} {WORDS.get(unit, unit)} off" if width else "not seen to be off and kept"


def error_key(group: ParameterGroup) -> str:
    """As records name the error of a group: with its unit; poses as of stacks."""
    return POSE_ERRORS.get(group.name, f"{group.name}_{group.unit}")


def message(iteration: int, iterations: int, job: JobRecord) -> str:
    """Of the commit of an iteration."""
    lines = [f"Refine, iteration {iteration} of {iterations}", ""]
    lines += [resolution_line(name, job, job) for name in job.resolution_after_A]
    lines += error_lines(job)
    lines += erased_lines(job)
    lines += [f"failed: {failure.name}: {failure.reason}" for failure in job.failed]
    lines += [f"warning: {warning}" for warning in job.warnings]
    return "\n".join(lines)
