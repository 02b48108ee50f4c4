"""`mpop correct`: anisotropy correction of two half-maps, and whether it helped.

Works on half-maps from files or on a species of a population; of the latter the job, its maps and its judgement
are committed, and the half-maps of the species stay as they were measured.

What was inferred is judged by measurements that were kept from the correction (`mpop.maps.hold_out`): half-maps
with more gaps of the same shape are corrected in the same way, and compared with what was measured there.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, reported, settle
from mpop.errors import StoppedError
from mpop.formats.images import write_map
from mpop.jobs.leasing import leased
from mpop.jobs.maps.analysis import Analysis, made
from mpop.jobs.maps.checking import map_doubts
from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.input import HalfMaps, Map, of_job
from mpop.jobs.maps.slices import slices_of
from mpop.jobs.maps.verdict import Verdict
from mpop.jobs.spec import JobSpec
from mpop.maps.directional import ConicalFSC, conical_fsc
from mpop.maps.directions import centred
from mpop.maps.filters import low_pass
from mpop.maps.fsc import fsc_report
from mpop.maps.hold_out import Agreement, agreement, withhold
from mpop.maps.judging import Changes, changes
from mpop.maps.transfer import noise_within
from mpop.networks.correction import (
    Correction,
    CorrectionOptions,
    CorrectionParameters,
    coarsest_limit_A,
    correct,
    fitting,
)
from mpop.population import Population
from mpop.run import Run, limited
from mpop_store.paths import inside

NEARLY = 1.05
"""Support that ends at most this much before the limit is support of everything."""
JOINT_COST = (
    "One network saw both half-maps (--joint): their FSC does not measure resolution any more (in the gap of a "
    "phantom it was 0.10 too high, 0.08 with two networks), and they must not be refined against."
)


class CorrectParameters(CorrectionParameters):
    """What decides the result. hold_out: whether measurements were withheld, to say what is supported."""

    hold_out: bool = True


@dataclass(frozen=True)
class _Judged:
    """A correction and what can be said of it.

    before, after: conical FSC of the half-maps within the mask. changes: of each half-map; None when nothing was
    corrected. held_out: None when nothing was or could be withheld, and `unjudged` says why.
    """

    maps: HalfMaps
    doubts: list[Doubt]
    options: CorrectionOptions
    correction: Correction
    before: ConicalFSC
    after: ConicalFSC
    changes: tuple[Changes, Changes] | None
    held_out: Agreement | None
    unjudged: str = ""


@limited
def correct_half_maps(
    maps: HalfMaps,
    options: CorrectionOptions | None = None,
    hold_out: bool = True,
    run: Run = Run(),
    checkpoints: Path | None = None,
    force: bool = False,
) -> Finding:
    """Correct and judge.

    Arrays of the finding: half1, half2, map (z, y, x); curves by shell: conical_before and conical_after (3, k),
    the worst, median and best direction; and where something was corrected support (z, y, x), chi2 (2, k) of both
    half-maps, power (4, k) of half-map 1: measured and inferred coefficients before, then after; and held_out
    (2, k), before and after, where data were withheld. Slices of the map measured, corrected, of the change and of
    the mask.

    hold_out: correct a second time with measurements withheld, to say what is supported.

    checkpoints: a folder from which an interrupted correction goes on; it is removed at the end. Raises InputError
    for maps without a mask, DoubtfulInputError for maps of which something grave is doubted, unless forced, and
    StoppedError at Ctrl-C.
    """
    doubts = settle(_doubts(maps), force)
    try:
        found = _correct_and_judge(maps, options or CorrectionOptions(), hold_out, run, checkpoints, doubts)
    except KeyboardInterrupt:
        raise StoppedError(_how_to_go_on(checkpoints)) from None
    if checkpoints is not None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return found


def _how_to_go_on(checkpoints: Path | None) -> str:
    if checkpoints is None or not any(checkpoints.rglob("*.pt")):
        return "interrupted before the first checkpoint: the same command begins anew"
    return f"interrupted: the same command goes on from the checkpoints in {checkpoints}"


def _correct_and_judge(
    maps: HalfMaps,
    options: CorrectionOptions,
    hold_out: bool,
    run: Run,
    checkpoints: Path | None,
    doubts: list[Doubt],
) -> Finding:
    mask = maps.required_mask()
    corrected = correct(maps.half1, maps.half2, mask, maps.pixel_size_A, options, run, checkpoints)
    before = _conical(maps.half1, maps.half2, maps)
    if corrected.models is None:
        return _finding(_Judged(maps, doubts, options, corrected, before, before, None, None))
    measured = (maps.half1, maps.half2)
    halves = zip(measured, measured[::-1], (corrected.half1, corrected.half2), corrected.models, strict=True)
    first, second = (
        changes(half, other, new, model, mask, maps.pixel_size_A) for half, other, new, model in halves
    )
    after = _conical(corrected.half1, corrected.half2, maps)
    held, unjudged = None, "no measurements were withheld"
    if hold_out:
        held, unjudged = _hold_out(maps, options, corrected, run, checkpoints)
    return _finding(_Judged(maps, doubts, options, corrected, before, after, (first, second), held, unjudged))


def _conical(half1: Map, half2: Map, maps: HalfMaps) -> ConicalFSC:
    return conical_fsc(half1, half2, maps.pixel_size_A, mask=maps.required_mask())


def _hold_out(
    maps: HalfMaps, options: CorrectionOptions, corrected: Correction, run: Run, checkpoints: Path | None
) -> tuple[Agreement | None, str]:
    """How what was inferred agrees with measurements, or why that cannot be said."""
    assert corrected.models is not None
    mask = maps.required_mask()
    gaps = withhold(maps.half1, maps.half2, mask, corrected.models[0], options.seed)
    if gaps is None:
        return None, "too little was measured to withhold a part of it"
    again = correct(
        gaps.half1,
        gaps.half2,
        mask,
        maps.pixel_size_A,
        options,
        replace(run, progress=lambda task, done, total: run.progress(f"{task}, data withheld", done, total)),
        None if checkpoints is None else checkpoints / "hold-out",
        surely_uneven=True,
    )
    if again.models is None:
        return None, f"with measurements withheld, {again.reason}"
    return agreement(again.half1, gaps, maps.half1, maps.half2, mask, maps.pixel_size_A), ""


def _planned(
    population: Population,
    maps: HalfMaps,
    options: CorrectionOptions | None,
    hold_out: bool,
    run: Run = Run(),
) -> Analysis:
    assert maps.species is not None
    options = fitting(options or CorrectionOptions(), maps.box)
    parameters = CorrectParameters(**dict(options.parameters), hold_out=hold_out)
    return Analysis.of(population, maps.species, "correct", parameters, options.seed, run)


def _writes(
    population: Population,
    maps: HalfMaps,
    options: CorrectionOptions | None = None,
    hold_out: bool = True,
    *_: object,
    **__: object,
) -> list[str]:
    """No record but that of the job itself, which another of the same name would make again."""
    return [_planned(population, maps, options, hold_out).planned.id]


@limited
@leased("correct", _writes)
def correct_species(
    population: Population,
    maps: HalfMaps,
    options: CorrectionOptions | None = None,
    hold_out: bool = True,
    run: Run = Run(),
    force: bool = False,
) -> tuple[Finding, str | None]:
    """Correct the half-maps of a species, judge, and commit; the commit is None when HEAD holds this very job."""
    analysis = _planned(population, maps, options, hold_out, run)
    options = fitting(options or CorrectionOptions(), maps.box)
    checkpoints = inside(population.repository.private / "checkpoints", analysis.planned.id[:16])
    found, commit = analysis.finding(
        lambda: correct_half_maps(maps, options, hold_out, run, checkpoints, force),
        lambda numbers: numbers["verdict"],
        ("map",),
    )
    return _with_slices(found, maps), commit


def run(population: Population, spec: JobSpec, run: Run) -> str:
    """Run a recorded job; the commit."""
    chosen = dict(spec.parameters)
    hold_out = chosen.pop("hold_out")
    options = CorrectionOptions(**chosen, seed=spec.seed)
    maps = of_job(population, spec)
    return made(correct_species(population, maps, options, hold_out, run, force=True)[1], spec)


def write_files(found: Finding, directory: Path) -> list[Path]:
    """half1.mrc, half2.mrc, map.mrc, and support.mrc where something was corrected; returns their paths."""
    names = [name for name in ("half1", "half2", "map", "support") if name in found.arrays]
    for name in names:
        write_map(inside(directory, f"{name}.mrc"), found.arrays[name], found.numbers["pixel_size_A"])
    return [inside(directory, f"{name}.mrc") for name in names]


def _finding(judged: _Judged) -> Finding:
    return _with_slices(Finding(_numbers(judged), _arrays(judged)), judged.maps)


def _with_slices(found: Finding, maps: HalfMaps) -> Finding:
    """With what pages show of the maps, which an mpop of before did not store."""
    if "slices_measured" in found.arrays:
        return found
    pixel = maps.pixel_size_A
    finest = max(found.numbers["limit_A"] or 0, 2 * pixel)
    before = low_pass((maps.half1 + maps.half2) / 2, pixel, finest)
    after = low_pass(found.arrays["map"], pixel, finest)
    shown = {"measured": before, "corrected": after, "change": after - before, "mask": maps.required_mask()}
    return Finding(found.numbers, {**found.arrays, **slices_of(shown)})


def _arrays(judged: _Judged) -> dict[str, NDArray[Any]]:
    corrected = judged.correction
    found: dict[str, NDArray[Any]] = {
        "half1": corrected.half1,
        "half2": corrected.half2,
        "map": corrected.mean,
        "conical_before": np.percentile(judged.before.correlation, [0, 50, 100], axis=0),
        "conical_after": np.percentile(judged.after.correlation, [0, 50, 100], axis=0),
    }
    if judged.changes is not None and corrected.models is not None:
        # of the mean of two half-maps, noise has half of the power
        part = noise_within(judged.maps.required_mask()) / 2
        known = [model.measured(part) for model in corrected.models]
        found["support"] = centred((known[0] + known[1]) / np.float32(2), judged.maps.box)
        first, second = judged.changes
        found["chi2"] = np.stack([first.chi2_by_shell, second.chi2_by_shell])
        found["power"] = np.concatenate([first.power_before, first.power_after])
    if judged.held_out is not None:
        found["held_out"] = np.stack([judged.held_out.before, judged.held_out.after])
    return found


def _numbers(judged: _Judged) -> dict[str, Any]:
    """None for what could not be said."""
    verdict = _verdict(judged)
    changed = judged.changes
    return {
        "name": judged.maps.name,
        "box": judged.maps.box,
        "pixel_size_A": judged.maps.pixel_size_A,
        "verdict": verdict.sentence,
        "tone": verdict.tone,
        "reasons": list(verdict.reasons),
        "corrected": changed is not None,
        "limit_A": _limit_A(judged) if judged.correction.limit else None,
        "supported_to_A": None if judged.held_out is None else judged.held_out.supported_to_A,
        "half_sets": "joint" if judged.options.joint else "independent",
        "inferred_part": None if changed is None else 1 - changed[0].measured_part,
        "chi2": None if changed is None else [one.chi2 for one in changed],
        "inferred_part_of_change": None if changed is None else [one.inferred_part for one in changed],
        "conical_fsc_before": _spread(judged.before, judged.correction.limit),
        "conical_fsc_after": _spread(judged.after, judged.correction.limit),
        "seed": judged.options.seed,
        **reported(judged.doubts),
        "training": [asdict(one.course) for one in judged.correction.learned],
    }


def _doubts(maps: HalfMaps) -> list[Doubt]:
    """Why not to trust what the half-maps say of their own noise."""
    mask = maps.required_mask()
    report = fsc_report(maps.half1, maps.half2, mask, maps.pixel_size_A, copies=maps.copies)
    return map_doubts(maps, mask, report)


def _limit_A(judged: _Judged) -> float:
    return judged.maps.box * judged.maps.pixel_size_A / judged.correction.limit


def _spread(conical: ConicalFSC, limit: int) -> dict[str, float] | None:
    """Mean up to the limit in the worst, the median and the best direction."""
    if not limit:
        return None
    means = conical.correlation[:, 1 : limit + 1].mean(axis=1)
    return {"worst": float(means.min()), "median": float(np.median(means)), "best": float(means.max())}


def _verdict(judged: _Judged) -> Verdict:
    """The plain sentence."""
    if judged.changes is None:
        return Verdict("good", f"Nothing to correct: {judged.correction.reason}.")
    limit_A = _limit_A(judged)
    chi2 = max(one.chi2 for one in judged.changes)
    reasons = [
        f"{100 * (1 - judged.changes[0].measured_part):.0f} % of the coefficients to {limit_A:.1f} A are inferred "
        "rather than measured (support.mrc says which).",
        f"Filtered back, the corrected half-maps differ from the data, where these were good, by {chi2:.2f} of "
        "what noise and errors of the estimate explain.",
        *([JOINT_COST] if judged.options.joint else []),
    ]
    if not all(one.is_consistent for one in judged.changes):
        return Verdict("bad", "The correction contradicts the data where they were good: do not use it.", reasons)
    if judged.held_out is None:
        return Verdict("warn", f"Corrected, but not judged: {judged.unjudged}.", reasons)
    reasons.append(
        "Support is measured: data of as many directions were withheld, inferred in the same way, and compared."
    )
    supported = judged.held_out.supported_to_A
    coarsest = coarsest_limit_A(judged.maps.box, judged.maps.pixel_size_A)
    if supported is None or supported >= coarsest:  # some first shells are not content
        return Verdict("bad", "Recovered content is not supported: withheld data were not recovered.", reasons)
    if supported <= NEARLY * limit_A:
        everything = f"Recovered content is supported to {supported:.1f} A, all that was corrected."
        return Verdict("good", everything, reasons)
    reasons.append(f"With --limit {supported:.1f} finer detail would stay as it was measured.")
    return Verdict("warn", f"Recovered content is not supported beyond {supported:.1f} A.", reasons)
