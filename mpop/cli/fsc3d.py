"""`mpop fsc3d`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop.cli.map_arguments import MapOptions, add_command, show_finding

if TYPE_CHECKING:
    from mpop.jobs.maps.finding import Finding

WRITTEN = ("fsc3d.mrc",)
"""Maps that --out holds in the end, besides a mask where none was given."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_command(
        app,
        "fsc3d",
        fsc3d,
        "mpop fsc3d half1.mrc half2.mrc --mask mask.mrc --out directions",
        "mpop fsc3d ribosome --out directions",
    )


def fsc3d(
    given: MapOptions,
    half_angle: Annotated[float, typer.Option(help="Half angle of the cones in degrees.")] = 20.0,
    report: Annotated[
        bool,
        typer.Option(
            help="Draw report.html and write fsc3d.star too; this takes longer than all the rest on small maps."
        ),
    ] = True,
) -> None:
    """Measure the resolution by direction (3DFSC), and say whether maps are anisotropic beyond chance.

    With --out, the 3DFSC is written as a volume (fsc3d.mrc), with the curve of each direction (directions.csv) and
    those over all directions (shells.csv), a STAR file, and a report. Of a species, the result is committed.
    """
    from mpop.jobs.maps import directional as job
    from mpop.reports.directional import REPORT

    replaced = given.check_out("mpop.fsc3d" if report else None, WRITTEN)
    maps = given.read()
    commit = None
    with context.run() as run:
        if maps.species is None:
            found = job.finding(job.directional_resolution(maps, half_angle, volume=given.out is not None))
        else:
            found, commit = job.directional_resolution_of_species(context.population(), maps, half_angle, run)

    def write(found: Finding, folder: Path) -> list[Path]:
        files = job.write_files(found, folder)
        return [*files, job.write_star_file(found, folder)] if report else files

    show_finding(REPORT, found, maps.species is not None, commit, given.out, write, replaced, report)
