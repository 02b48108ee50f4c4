"""`mpop correct`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import ForceOption, JsonOption, WaitOption, angstrom
from mpop.cli.map_arguments import (
    AngpixOption,
    MapsArgument,
    MaskOption,
    OutOption,
    check_out,
    command_line,
    examples,
    made_folder,
    read_maps,
    tell,
)
from mpop_store.errors import InputError

WRITTEN = ("half1.mrc", "half2.mrc", "map.mrc", "support.mrc")
"""Maps that --out holds in the end, besides a mask where none was given."""

EXAMPLES = examples(
    "mpop correct half1.mrc half2.mrc --mask mask.mrc --out corrected",
    "mpop correct half1.mrc half2.mrc --mask mask.mrc --out quick --steps 0",
    "mpop correct ribosome --out corrected",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EXAMPLES)(correct)


def correct(
    maps: MapsArgument,
    mask: MaskOption = None,
    out: OutOption = None,
    angpix: AngpixOption = None,
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
    width: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Channels of each network: more learn more, and take longer; 16 if not given.",
            show_default=False,
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
    seed: Annotated[int, typer.Option(min=0, help="Random seed for training.")] = 0,
    force: ForceOption = False,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Correct two half-maps for preferred orientation, and say whether it helped.

    Each half-map is corrected alone. With --out: half1.mrc, half2.mrc, map.mrc, support.mrc (which Fourier
    coefficients are known from data), and a report. Of a species, the result is committed; its half-maps stay as
    they were measured.
    """
    context.options.json |= json
    context.options.wait = wait
    replaced = check_out(out, "mpop.correct-report", WRITTEN, [*maps, mask])
    if rotations not in ("any", "cube"):
        raise InputError(f"--rotations {rotations}: there are any, cube")
    if len(maps) == 2 and out is None:
        raise InputError("--out DIR is missing: where should the corrected maps be written?")
    from mpop.jobs.maps import correct as job
    from mpop.networks.correction import CorrectionOptions

    given = read_maps(maps, mask, angpix)
    sizes = {name: value for name, value in {"steps": steps, "width": width}.items() if value is not None}
    chosen: dict[str, Any] = {"rotations": rotations, **sizes}
    commit = None
    with context.run(on_device="networks run") as run:
        options = CorrectionOptions(limit_A=limit, joint=joint, seed=seed, **chosen)
        if given.species is None:
            checkpoints = None if out is None else context.relative(out) / "checkpoints"
            found = job.correct_half_maps(given, options, hold_out, run, checkpoints, force)
        else:
            here = context.population()
            found, commit = job.correct_species(here, given, options, hold_out, run, force)
    files: list[Path] = []
    if out is not None:
        from mpop.reports.correct import write_report

        folder = made_folder(out)
        written = job.write_files(found, folder)
        files = [write_report(folder, found, command_line()), folder / "report.json", *written]
    tell("correct", found.numbers, _lines(found.numbers), given.species is not None, commit, files, replaced)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [found["verdict"], *(f"  {reason}" for reason in found["reasons"])]
    if found["corrected"]:
        lines.append(f"Corrected to {angstrom(found['limit_A'])}, half-sets {found['half_sets']}")
    return lines
