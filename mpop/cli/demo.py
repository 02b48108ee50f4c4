"""`mpop demo`: the whole idea in one command, on data that mpop makes itself."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.cli.population import log_lines
from mpop_store.errors import StateError

if TYPE_CHECKING:
    from mpop.population import Population
    from mpop.simulation.tilt_series import SimulationSummary

IMPORT_DATE = "1767225600 +0000"
"""2026-01-01: the import commit of the same data has the same hash whenever it is made."""
ITERATIONS = 3

Progress = Callable[[str, int, int], None]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(demo)


def demo(
    directory: Annotated[Path, typer.Argument(help="New folder for everything.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 1,
    model: Annotated[Path | None, typer.Option(help="PDB or mmCIF for the first species.")] = None,
    symmetry: Annotated[str, typer.Option(help="Point group of the model.")] = "C1",
    iterations: Annotated[int, typer.Option(min=1, help="Of refinement.")] = ITERATIONS,
    json: JsonOption = False,
) -> None:
    """Simulate, import, commit, refine, verify, and report."""
    from mpop.jobs.environment import peak_GiB
    from mpop.jobs.evaluate import evaluate
    from mpop.jobs.history import history
    from mpop.jobs.refine import RefineParameters, refine
    from mpop.jobs.verify import verify
    from mpop.reports.refinement import RunFacts, report_data, write_report
    from mpop.simulation.parameters import SimulationParameters
    from mpop.simulation.tilt_series import simulate_tilt_series

    context.options.json |= json
    target = context.relative(directory)
    if target.exists() and any(target.iterdir()):
        raise StateError(f"{target} is not empty; remove it or name another folder")
    started = time.perf_counter()
    threads, device = context.threads(), context.device()
    parameters = SimulationParameters(
        seed=seed, model=context.relative(model) if model else None, symmetry=symmetry
    )
    with context.progress_bars() as progress:
        _say("simulating tilt series with planted deformations")
        summary = simulate_tilt_series(target / "data", parameters, progress)
        _say("importing them into a population")
        here = _import(target, summary, progress)
        with _commit_date(IMPORT_DATE):
            imported = here.commit("Import simulated tilt series")
        _say("refining")
        result = refine(here, RefineParameters(iterations=iterations), device, threads, progress)
        _say("verifying every object and every version")
        checked = verify(here, progress)
        _say("comparing with the truth")
        evaluation = evaluate(here, target / "data" / "truth", imported, "HEAD", threads, progress)
    log = "\n".join(log_lines(history(here), graph=True))
    names = [one.name for one in result.species]
    facts = RunFacts(
        commit=result.commits[-1],
        verified=checked.ok,
        wall_s=time.perf_counter() - started,
        peak_GiB=peak_GiB(),
        device=device,
        threads=threads,
        log=log,
        resolutions_A={
            name: [
                result.jobs[0].resolution_before_A[name],
                *(job.resolution_after_A[name] for job in result.jobs),
            ]
            for name in names
        },
    )
    lead = (
        f"{len(summary.series)} simulated tilt series with {' and '.join(names)}, particles planted "
        f"{summary.planted_position_rms_A:.1f} Å RMS from where the files say; refined from half-maps of "
        f"{parameters.initial_resolution_A:.0f} Å."
    )
    page = write_report(target, evaluation, facts, "mpop demo", lead)
    data = report_data(evaluation, facts)
    emit("demo", data, "\n".join([*_summary(data), "", log, "", f"report: {page}"]))


def _say(what: str) -> None:
    print(f"mpop: {what}", file=sys.stderr)


def _import(target: Path, summary: SimulationSummary, progress: Progress) -> Population:
    """A population with the simulated project and its species staged."""
    from mpop.jobs.import_source import add_source
    from mpop.jobs.import_species import add_species
    from mpop.population import Population

    here = Population.init(target / "population", "demo")
    add_source(here, "simulated", target / "data" / "warp_tiltseries.settings", progress=progress)
    for one in summary.species:
        stem = target / "data" / "species" / one.name
        half1, half2, mask = (f"{stem}_{kind}.mrc" for kind in ("half1", "half2", "mask"))
        add_species(here, one.name, half1, half2, mask, f"{stem}_particles.star", one.diameter_A, one.symmetry)
    return here


def _summary(data: dict[str, Any]) -> list[str]:
    """The numbers that matter, before and after."""
    lines = [f"{'':22}{'before':>10}{'after':>10}{'ceiling':>10}"]
    for name, one in data["species"].items():
        for label, key in (("resolution", "resolution_A"), ("position RMS", "position_rms_A")):
            cells = "".join(f"{context.angstrom(one[key][stage]):>10}" for stage in ("before", "after", "ceiling"))
            lines.append(
                f"{name + ' ' + label:<22}{cells}" if len(name) < 9 else f"{name}\n{'  ' + label:<22}{cells}"
            )
        lines.append(f"{'  gap closed':<22}{100 * one['gap_closed']:>19.0f} %")
    lines.append(f"{data['wall_s'] / 60:.1f} min, {data['peak_GiB']:.1f} GiB, verified: {data['verified']}")
    return lines


@contextlib.contextmanager
def _commit_date(date: str) -> Iterator[None]:
    """Commits inside the block carry this date."""
    names = ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, date))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
