"""`mpop denoise`."""

from __future__ import annotations

from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.map_arguments import MapOptions, NetworkOptions, add_command, show_finding
from mpop_store.errors import InputError

WRITTEN = ("half1.mrc", "half2.mrc", "map.mrc")
"""Maps that --out holds in the end, besides a mask where none was given."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_command(
        app,
        "denoise",
        denoise,
        "mpop denoise half1.mrc half2.mrc --mask mask.mrc --out denoised",
        "mpop denoise ribosome --networks independent --out denoised",
    )


def denoise(
    given: MapOptions,
    training: NetworkOptions,
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
) -> None:
    """Denoise two half-maps, each alone, by a network that learned what they have in common.

    With --out: half1.mrc, half2.mrc, map.mrc (the denoised mean), and a report. Of a species, the maps and the
    network are committed, and the next call goes on from that network; its half-maps stay as they were measured.
    """
    context.options.wait = training.wait
    replaced = given.check_out("mpop.denoise-report", WRITTEN)
    if networks not in (None, "shared", "independent"):
        raise InputError(f"--networks {networks}: there are shared, independent")
    if len(given.maps) == 2 and given.out is None:
        raise InputError("--out DIR is missing: where should the denoised maps be written?")
    from mpop.jobs.maps import denoise as job
    from mpop.networks.denoiser import DenoiseOptions
    from mpop.reports.denoise import REPORT

    maps = given.read()
    here = None if maps.species is None else context.population()
    kind = networks or job.networks_of(here, maps.species)
    commit = None
    with context.run(on_device="networks run") as run:
        options = DenoiseOptions(networks=kind, steps=steps, width=training.width, seed=training.seed)
        if here is None:
            found, _ = job.denoise_half_maps(maps, options, run=run, force=training.force)
        else:
            found, commit = job.denoise_species(here, maps, options, run, training.force)
    show_finding(REPORT, found, maps.species is not None, commit, given.out, job.write_files, replaced)
