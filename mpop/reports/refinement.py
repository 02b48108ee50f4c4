"""The report of a refinement of simulated data: `report.html` for people, `report.json` for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from mpop.formats.files import replacing
from mpop.jobs.evaluate import Evaluation, SpeciesEvaluation, Stages
from mpop.reports import plots
from mpop_store.paths import inside

GAP_AIM = 0.8
"""Of the gap between imported and true parameters, what a refinement of simulated data should close."""


@dataclass(frozen=True)
class RunFacts:
    """What there is to say about the run itself.

    resolutions_A: species -> resolution after each iteration, the imported half-maps first.
    """

    commit: str
    verified: bool
    wall_s: float
    peak_GiB: float
    device: str
    threads: int
    log: str
    resolutions_A: dict[str, list[float | None]]


def report_data(evaluation: Evaluation, facts: RunFacts) -> dict[str, Any]:
    """The content of `report.json`; at the top level the means over species."""
    species = {one.name: _species_data(one) for one in evaluation.species}

    def stages(choose: Callable[[SpeciesEvaluation], Stages[Any]]) -> dict[str, float | None]:
        chosen = [choose(one) for one in evaluation.species]
        return {key: _mean([getattr(stage, key) for stage in chosen]) for key in ("before", "after", "ceiling")}

    return {
        "schema": "mpop.report/v1",
        "resolution_A": stages(lambda one: one.resolution_A),
        "fsc_area": stages(lambda one: one.fsc_area),
        "position_rms_A": stages(lambda one: one.position_rms_A),
        "rotation_rms_deg": stages(lambda one: one.rotation_rms_deg),
        "gap_closed": _mean([one.gap_closed for one in evaluation.species]),
        "wall_s": round(facts.wall_s, 1),
        "peak_GiB": round(facts.peak_GiB, 2),
        "commit": facts.commit,
        "verified": facts.verified,
        "device": facts.device,
        "threads": facts.threads,
        "species": species,
    }


def _species_data(one: SpeciesEvaluation) -> dict[str, Any]:
    return {
        "resolution_A": vars(one.resolution_A),
        "fsc_area": vars(one.fsc_area),
        "position_rms_A": vars(one.position_rms_A),
        "rotation_rms_deg": vars(one.rotation_rms_deg),
        "gap_closed": one.gap_closed,
        "particles": len(one.angles_deg),
    }


def _mean(values: list[float | None]) -> float | None:
    """Mean, or None where one value is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _angstrom(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} Å"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _arrow(stages: Stages[float | None]) -> str:
    before = "-" if stages.before is None else f"{stages.before:.1f}"
    return f"{before} → {_angstrom(stages.after)}"


def _tone(good: bool) -> str:
    return "good" if good else "bad"


def _numbers(evaluation: Evaluation, facts: RunFacts) -> list[dict[str, str]]:
    """The headline figures, each a value, a label and a tone."""
    data = report_data(evaluation, facts)
    gap, positions = data["gap_closed"], data["position_rms_A"]
    rows = [(_arrow(one.resolution_A), f"{one.name}, resolution", "") for one in evaluation.species]
    rows += [
        (f"{positions['before']:.1f} → {positions['after']:.1f} Å", "error of particle positions, RMS", ""),
        (_percent(gap), "of the gap to the true parameters closed", _tone(gap is None or gap >= GAP_AIM)),
        (f"{facts.wall_s / 60:.1f} min", f"{facts.device}, {facts.threads} threads, {facts.peak_GiB:.1f} GiB", ""),
        (
            "verified" if facts.verified else "damaged",
            f"commit {facts.commit[:10]}",
            _tone(facts.verified),
        ),
    ]
    return [{"value": value, "label": label, "tone": tone} for value, label, tone in rows]


def _table(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "symmetry": one.symmetry,
            "cells": [
                str(len(one.angles_deg)),
                _angstrom(one.resolution_A.before),
                _angstrom(one.resolution_A.after),
                _angstrom(one.resolution_A.ceiling),
                f"{one.position_rms_A.before:.2f} Å",
                f"{one.position_rms_A.after:.2f} Å",
                f"{one.rotation_rms_deg.before:.2f}°",
                f"{one.rotation_rms_deg.after:.2f}°",
                _percent(one.gap_closed),
            ],
        }
        for one in evaluation.species
    ]


def report_html(evaluation: Evaluation, facts: RunFacts, title: str, lead: str) -> str:
    """One self-contained page."""
    warp = evaluation.warps[0]
    environment = Environment(loader=PackageLoader("mpop.reports", "."), autoescape=True)
    return environment.get_template("refinement.html.j2").render(
        title=title,
        lead=lead,
        colours={"before": plots.BEFORE, "after": plots.AFTER, "ceiling": plots.TRUTH},
        numbers=_numbers(evaluation, facts),
        table=_table(evaluation),
        species=[
            {"name": one.name, "fsc": plots.fsc_figure(one), "slices": plots.slices_figure(one)}
            for one in evaluation.species
        ],
        warp_series=warp.series,
        warp=plots.warp_figure(warp),
        progress=plots.progress_figure(facts.resolutions_A),
        angles=plots.angles_figure(evaluation.species),
        log=facts.log,
        footer=f"Simulated data: the truth is known. Written by mpop {version('mpop')}.",
    )


def write_report(directory: Path, evaluation: Evaluation, facts: RunFacts, title: str, lead: str) -> Path:
    """Write report.html and report.json; returns the path of the page."""
    for name, text in (
        ("report.json", json.dumps(report_data(evaluation, facts), indent=2) + "\n"),
        ("report.html", report_html(evaluation, facts, title, lead)),
    ):
        with replacing(inside(directory, name)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return directory / "report.html"
