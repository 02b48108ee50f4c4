"""`mpop correct`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.map_arguments import MapOptions, NetworkOptions, add_command, show_finding
from mpop_store.errors import InputError

WRITTEN = ("half1.mrc", "half2.mrc", "map.mrc", "support.mrc")
"""Maps that --out holds in the end, besides a mask where none was given."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_command(
        app,
        "correct",
        correct,
        "mpop correct half1.mrc half2.mrc --mask mask.mrc --out corrected",
        "mpop correct half1.mrc half2.mrc --mask mask.mrc --out quick --steps 0",
        "mpop correct ribosome --out corrected",
    )


def correct(
    given: MapOptions,
    training: NetworkOptions,
    limit: Annotated[
        float | None,
        typer.Option(help="Finest detail to correct in A; the resolution if not given.", show_default=False),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=0, help="Steps of training each network, 0: none; 1000 if not given.", show_default=False
        ),
    ] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="One network for both half-maps: they are independent no more.")
    ] = False,
    hold_out: Annotated[
        bool,
        typer.Option(
            "--hold-out/--no-hold-out", help="Correct again with data withheld, to say what is supported."
        ),
    ] = True,
    rotations: Annotated[
        str, typer.Option(metavar="any|cube", help="Of examples: any, or the 24 that move voxels onto voxels.")
    ] = "any",
) -> None:
    """Correct two half-maps for preferred orientation, and say whether it helped.

    Each half-map is corrected alone. With --out: half1.mrc, half2.mrc, map.mrc, support.mrc (which Fourier
    coefficients are known from data), and a report. Of a species, the result is committed; its half-maps stay as
    they were measured.
    """
    context.options.wait = training.wait
    replaced = given.check_out("mpop.correct-report", WRITTEN)
    if rotations not in ("any", "cube"):
        raise InputError(f"--rotations {rotations}: there are any, cube")
    if len(given.maps) == 2 and given.out is None:
        raise InputError("--out DIR is missing: where should the corrected maps be written?")
    from mpop.jobs.maps import correct as job
    from mpop.networks.correction import CorrectionOptions
    from mpop.reports.correct import REPORT

    maps = given.read()
    sizes = {name: value for name, value in {"steps": steps, "width": training.width}.items() if value is not None}
    chosen: dict[str, Any] = {"rotations": rotations, **sizes}
    commit = None
    with context.run(on_device="networks run") as run:
        options = CorrectionOptions(limit_A=limit, joint=joint, seed=training.seed, **chosen)
        if maps.species is None:
            checkpoints = None if given.out is None else context.relative(given.out) / "checkpoints"
            found = job.correct_half_maps(maps, options, hold_out, run, checkpoints, training.force)
        else:
            here = context.population()
            found, commit = job.correct_species(here, maps, options, hold_out, run, training.force)
    show_finding(REPORT, found, maps.species is not None, commit, given.out, job.write_files, replaced)
