"""`mpop refine` and `mpop reconstruct`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.context import ForceOption, JsonOption, WaitOption, emit
from mpop.jobs.defaults import ITERATIONS
from mpop.words import angstrom, counted
from mpop_store.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(refine)
    app.command()(reconstruct)


SpeciesOption = Annotated[list[str] | None, typer.Option(help="Only this species (repeat for more).")]
SourcesOption = Annotated[list[str] | None, typer.Option(help="Only this source (repeat for more).")]


def parse_grid(text: str) -> tuple[int, int] | None:
    """`4x4` as (4, 4); `none` as None."""
    if text.lower() == "none":
        return None
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text.lower())
    if not match:
        raise InputError(f"--image-warp {text}: give nodes along x and y, for example 4x4, or none")
    return int(match[1]), int(match[2])


def refine(
    image_warp: Annotated[str, typer.Option(metavar="NXxNY", help="Nodes of the image warp, or none.")] = "4x4",
    stage_angles: Annotated[bool, typer.Option(help="Refine the stage angles of every tilt.")] = True,
    poses: Annotated[bool, typer.Option(help="Refine positions and orientations of particles.")] = True,
    iterations: Annotated[int, typer.Option(min=1, max=99, help="Passes; each is a commit.")] = ITERATIONS,
    species: SpeciesOption = None,
    sources: SourcesOption = None,
    prior: Annotated[
        str,
        typer.Option(
            help="What half-maps pass through before images are compared with them: fsc, none, isotropic, denoise."
        ),
    ] = "fsc",
    search: Annotated[
        float,
        typer.Option(
            min=0, max=180, help="Degrees to look around the poses of stacks at first; 0: gradients only."
        ),
    ] = 0.0,
    search_shift: Annotated[float, typer.Option(min=0, help="How far to look for shifts with --search, A.")] = 6.0,
    force: ForceOption = False,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Refine tilt series and particles together; one commit per iteration."""
    from mpop.jobs.refine import refine as run_refine
    from mpop.jobs.refine_parameters import RefineParameters
    from mpop.jobs.refine_record import error_lines, resolution_line
    from mpop.refinement.priors import parse_prior

    context.options.json |= json
    context.options.wait = wait
    parameters = RefineParameters(
        iterations=iterations,
        groups={"image_warp": parse_grid(image_warp), "stage_angles": stage_angles, "poses": poses},
        species=tuple(species or ()),
        sources=tuple(sources or ()),
        prior=parse_prior(prior),
        search_deg=search,
        search_A=search_shift if search else 0.0,
    )
    here = context.population()
    with context.run(on_device="scores of images and their gradients run") as run:
        result = run_refine(here, parameters, run, say=context.warn_of, force=force)
    said = set(map(str, result.doubts))
    warnings = dict.fromkeys(warning for job in result.jobs for warning in job.warnings)
    for warning in (one for one in warnings if one not in said):
        context.warn(warning)
    for job in result.jobs:
        for failure in job.failed:
            context.warn(f"{failure.name} was not refined: {failure.reason}")
    first, last = result.jobs[0], result.jobs[-1]
    lines = [resolution_line(name, first, last) for name in last.resolution_after_A]
    lines += error_lines(last)
    lines.append(f"{counted(len(result.commits), 'commit')}, the last is {result.commits[-1][:10]}")
    data = {"commits": result.commits, "jobs": result.jobs, "doubts": result.doubts}
    emit("refine", data, "\n".join(lines))


def reconstruct(species: SpeciesOption = None, wait: WaitOption = False, json: JsonOption = False) -> None:
    """Rebuild half-maps from the tilt images with the current models; one commit."""
    from mpop.jobs.reconstruct import reconstruct_species

    context.options.json |= json
    context.options.wait = wait
    here = context.population()
    with context.run() as run:
        result = reconstruct_species(here, tuple(species or ()), run, context.warn_of)
    lines = [
        f"{name}: {angstrom(result.job.resolution_before_A[name])} -> {angstrom(after)}"
        for name, after in result.job.resolution_after_A.items()
    ]
    data = {"commit": result.commit, "job": result.job, "doubts": result.doubts}
    emit("reconstruct", data, "\n".join(lines))
