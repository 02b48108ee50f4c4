"""`mpop demo`: the whole idea in one command, on data that mpop makes itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.cli.history import log_lines
from mpop.jobs.defaults import ITERATIONS
from mpop.words import angstrom
from mpop_store.terminal import show

STAGES = ("before", "after", "ceiling")


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
    from mpop.jobs.demo import run_demo
    from mpop.jobs.history import history
    from mpop.jobs.refine_parameters import RefineParameters
    from mpop.reports.refinement import RunFacts, report_data, write_report
    from mpop.simulation.parameters import SimulationParameters

    context.options.json |= json
    target = context.relative(directory)
    parameters = SimulationParameters(
        seed=seed, model=context.relative(model) if model else None, symmetry=symmetry
    )
    with context.run(on_device="scores of images and their gradients run") as run:
        refinement = RefineParameters(iterations=iterations)
        done = run_demo(target, parameters, refinement, run, _say)
    log = "\n".join(log_lines(history(done.population), graph=True))
    facts = RunFacts(
        commit=done.refined.commits[-1],
        verified=done.verified.ok,
        wall_s=done.wall_s,
        peak_GiB=done.peak_GiB,
        device=run.device,
        threads=run.threads,
        log=log,
        resolutions_A=done.resolutions_A,
    )
    started_from = " and ".join(f"{steps[0]:.0f} Å" for steps in done.resolutions_A.values() if steps[0])
    lead = (
        f"{len(done.simulated.series)} simulated tilt series with {' and '.join(done.resolutions_A)}, particles "
        f"{done.simulated.planted_position_rms_A:.1f} Å RMS from where the files say; refined from half-maps of "
        f"{started_from}."
    )
    page = write_report(target, done.evaluation, facts, "mpop demo", lead)
    data = report_data(done.evaluation, facts)
    emit("demo", data, "\n".join([*_summary(data), "", log, "", f"report: {page}"]))
    if not done.verified.ok:
        raise typer.Exit(5)


def _say(what: str) -> None:
    show(f"mpop: {what}", sys.stderr)


def _summary(data: dict[str, Any]) -> list[str]:
    """The numbers that matter, before and after."""
    lines = [f"{'':20}{'before':>10}{'after':>10}{'true parameters':>18}"]
    for name, one in data["species"].items():
        lines.append(name)
        for label, key in (("resolution", "resolution_A"), ("position error", "position_rms_A")):
            before, after, ceiling = (angstrom(one[key][stage]) for stage in STAGES)
            lines.append(f"  {label:<18}{before:>10}{after:>10}{ceiling:>18}")
        closed = one["gap_closed"]
        lines.append(f"  {'gap closed':<18}{'':>10}{'-' if closed is None else f'{100 * closed:.0f} %':>10}")
    verified = "verified" if data["verified"] else "DAMAGED, see `mpop verify`"
    lines.append(f"{data['wall_s'] / 60:.1f} min, {data['peak_GiB']:.1f} GiB, {verified}")
    return lines
