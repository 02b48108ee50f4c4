"""`mpop denoise`."""

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

WRITTEN = ("half1.mrc", "half2.mrc", "map.mrc")
"""Maps that --out holds in the end, besides a mask where none was given."""

EXAMPLES = examples(
    "mpop denoise half1.mrc half2.mrc --mask mask.mrc --out denoised",
    "mpop denoise ribosome --networks independent --out denoised",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EXAMPLES)(denoise)


def denoise(
    maps: MapsArgument,
    mask: MaskOption = None,
    out: OutOption = None,
    angpix: AngpixOption = None,
    networks: Annotated[
        str | None,
        typer.Option(
            metavar="shared|independent",
            help="One network for both half-maps, as in M, or one for each. What the species has, else shared.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Training steps of each network; 300 if not given, 100 to go on.",
            show_default=False,
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
    seed: Annotated[int, typer.Option(min=0, help="Random seed for training.")] = 0,
    force: ForceOption = False,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Denoise two half-maps, each alone, by a network that learned what they have in common.

    With --out: half1.mrc, half2.mrc, map.mrc (the denoised mean), and a report. Of a species, the maps and the
    network are committed, and the next call goes on from that network; its half-maps stay as they were measured.
    """
    context.options.json |= json
    context.options.wait = wait
    replaced = check_out(out, "mpop.denoise-report", WRITTEN, [*maps, mask])
    if networks not in (None, "shared", "independent"):
        raise InputError(f"--networks {networks}: there are shared, independent")
    if len(maps) == 2 and out is None:
        raise InputError("--out DIR is missing: where should the denoised maps be written?")
    from mpop.jobs.maps import denoise as job
    from mpop.networks.denoiser import DenoiseOptions

    given = read_maps(maps, mask, angpix)
    here = None if given.species is None else context.population()
    kind = networks or job.networks_of(here, given.species)
    commit = None
    with context.run(on_device="networks run") as run:
        options = DenoiseOptions(networks=kind, steps=steps, width=width, seed=seed)
        if here is None:
            found, _ = job.denoise_half_maps(given, options, run=run, force=force)
        else:
            found, commit = job.denoise_species(here, given, options, run, force)
    files: list[Path] = []
    if out is not None:
        from mpop.reports.denoise import write_report

        folder = made_folder(out)
        written = job.write_files(found, folder)
        files = [write_report(folder, found, command_line()), folder / "report.json", *written]
    tell("denoise", found.numbers, _lines(found.numbers), given.species is not None, commit, files, replaced)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [found["verdict"], *(f"  {reason}" for reason in found["reasons"])]
    networks = f"networks {found['networks']}"
    if found["continued"]:
        networks += ", trained further from the last"
    elif found["replaced"] is not None:
        networks += f", trained anew in place of the {found['replaced']} ones that it had"
    lines.append(f"Resolution of the half-maps {angstrom(found['resolution_A'])}, {networks}")
    return lines
