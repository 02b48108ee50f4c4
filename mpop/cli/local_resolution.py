"""`mpop local-resolution`."""

from __future__ import annotations

from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.map_arguments import MapOptions, add_command, made, show_finding

WRITTEN = ("locres.mrc", "locres_filtered.mrc")
"""Maps that --out holds in the end, besides a mask where none was given."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_command(
        app,
        "local-resolution",
        local_resolution,
        "mpop local-resolution half1.mrc half2.mrc --mask mask.mrc --out local",
        "mpop local-resolution ribosome --out local",
    )


def local_resolution(
    given: MapOptions,
    threshold: Annotated[float, typer.Option(help="Local FSC that counts as resolved: 0.143, or 0.5.")] = 0.143,
    b_factor: Annotated[float, typer.Option(help="B-factor of the filtered map in A^2; negative sharpens.")] = 0.0,
) -> None:
    """Measure how well each part of a map is resolved, and filter every part accordingly.

    With --out, locres.mrc, locres_filtered.mrc, a ChimeraX script that colours one by the other, and a report are
    written. Of a species, both maps are committed.
    """
    from mpop.jobs.maps import local_resolution as job
    from mpop.jobs.maps.parameters import LocalResolutionParameters
    from mpop.reports.local_resolution import REPORT

    replaced = given.check_out("mpop.local-resolution", made(WRITTEN, given.mask))
    parameters = LocalResolutionParameters(threshold=threshold, b_factor_A2=b_factor)
    maps = given.read()
    commit = None
    with context.run() as run:
        if maps.species is None:
            found = job.measure(maps, parameters).finding()
        else:
            found, commit = job.of_species(context.population(), maps, parameters, run)
    if found.numbers["mask_found"]:
        where = "look at mask.mrc" if given.out is not None else "--out writes it to look at"
        context.warn(f"no mask was given: one was made from the maps; {where}, or give --mask")
    show_finding(REPORT, found, maps.species is not None, commit, given.out, job.write_files, replaced)
