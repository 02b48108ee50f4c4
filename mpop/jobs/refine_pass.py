"""One pass of the `refine` job over all series: each moves along the same references, and fails on its own."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mpop.errors import UNUSABLE, RefinementError
from mpop.jobs.refine_record import Pass
from mpop.jobs.refine_series import Moved, Moving, References, move_tilt_series
from mpop.jobs.refine_stack import move_stack, stack_amplitudes, stack_spreads
from mpop.jobs.selection import Selection
from mpop.maps.fsc import THRESHOLD
from mpop.population import Population
from mpop.records.models import FailedSeries, ItemRecord, SpeciesRecord
from mpop.refinement.groups.group import ParameterGroup
from mpop.refinement.series import SeriesScore
from mpop.refinement.stack import PoseSearch
from mpop.refinement.widths import LearnedWidths, WidthSums
from mpop.run import Run


def move_all(
    population: Population,
    chosen: Selection,
    series: Mapping[str, Moving],
    groups: Sequence[ParameterGroup],
    widths: LearnedWidths,
    references: References,
    search: PoseSearch,
    label: str,
    run: Run,
) -> Pass:
    """Move every series, given by item. Collects scores and failures.

    Raises RefinementError when none can be moved, or none shows a species.
    """
    done = Pass(groups)
    done.warnings += [
        f"{one.name}: its half-maps agree at no resolution (FSC below {THRESHOLD}), so it was not used to refine"
        for one in chosen.species
        if references[one.id] is None
    ]
    run.progress(label, 0, len(chosen.items))
    states = [series[item.id].state for item in chosen.items]
    starts = [series[item.id].start for item in chosen.items]
    amplitudes = stack_amplitudes(population, states, references)
    spreads = stack_spreads(population, states, starts, references, amplitudes, search, run.device)
    done.stack_spreads = spreads
    for number, item in enumerate(chosen.items, start=1):
        started, one = time.perf_counter(), series[item.id]
        try:
            if one.shares_parameters:
                moved = move_tilt_series(population, one, groups, widths, references, run.device)
            else:
                state, score = move_stack(
                    population, one.state, one.start, references, amplitudes, spreads, search, run.device
                )
                moved = Moved(replace(one, state=state), score, WidthSums())
        except UNUSABLE as error:
            done.fail(FailedSeries(item=item.id, name=item.name, reason=str(error)))
        else:
            done.add(moved, time.perf_counter() - started)
            done.warnings += _undetected(item, one, chosen.species, references, moved.score)
        run.progress(label, number, len(chosen.items))
    _refuse_nothing(done)
    return done


def move_on(
    population: Population,
    chosen: Selection,
    done: Pass,
    widths: LearnedWidths,
    references: References,
    label: str,
    run: Run,
) -> None:
    """Move tilt series once more along the half-maps that they began with: more of their parameters are seen to be
    off now that others have moved, and in the next half-maps a particle would find itself with these errors."""
    items = [item for item in chosen.items if item.id in done.series and done.series[item.id].shares_parameters]
    for number, item in enumerate(items, start=1):
        started, one = time.perf_counter(), done.series[item.id]
        try:
            moved = move_tilt_series(population, one, done.groups, widths, references, run.device)
        except UNUSABLE as error:
            done.fail(FailedSeries(item=item.id, name=item.name, reason=str(error)))
        else:
            first = done.scores[item.id]
            score = SeriesScore(first.before, moved.score.after, first.evaluations + moved.score.evaluations)
            done.add(replace(moved, score=score), done.seconds[item.id] + time.perf_counter() - started)
        run.progress(f"{label}, on", number, len(items))


def _refuse_nothing(done: Pass) -> None:
    if not done.scores:
        reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in done.failed)
        raise RefinementError(f"no series could be refined ({reasons})")
    if all(np.isnan(score.before).all() for score in done.scores.values()):
        raise RefinementError(
            f"none of {len(done.scores)} series shows a signal of any species above noise, so nothing was "
            "refined. Look whether particles lie where the images show them, and at contrast, pixel sizes, "
            "defocus and weights"
        )


def _undetected(
    item: ItemRecord,
    series: Moving,
    species: Sequence[SpeciesRecord],
    references: References,
    score: SeriesScore,
) -> list[str]:
    """Which species could not be used in a series."""
    names = {one.id: one.name for one in species}
    return [
        f"{item.name}: no signal of {names[identity]} above noise, its particles were not used to refine"
        for identity, value in zip(series.start.particles, score.before, strict=True)
        if math.isnan(value) and references[identity] is not None
    ]


def unseen(chosen: Selection, references: References, done: Pass) -> list[SpeciesRecord]:
    """Species that have a reference and stand out of noise in no series: their images give no half-map."""
    seen = {
        identity
        for item, score in done.scores.items()
        for identity, value in zip(done.series[item].start.particles, score.before, strict=True)
        if not math.isnan(value)
    }
    return [one for one in chosen.species if references[one.id] is not None and one.id not in seen]
