"""`mpop orientations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.map_arguments import OutOption, add_command, check_out, show_finding
from mpop_store.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_command(
        app,
        "orientations",
        orientations,
        "mpop orientations run_data.star --diameter 170 --sym C3 --out orientations",
        "mpop orientations ribosome --out orientations",
    )


def orientations(
    images: Annotated[
        str,
        typer.Argument(metavar="PARTICLES | SPECIES", help="A STAR table of particle images, or a species."),
    ],
    diameter: Annotated[float | None, typer.Option(help="Diameter of the particle, A (with a table).")] = None,
    resolution: Annotated[
        float | None,
        typer.Option(
            help="Shell to look at, A (with a table; if not given diameter / 50, or Nyquist of the images).",
            show_default=False,
        ),
    ] = None,
    sym: Annotated[str | None, typer.Option(help="Point group, as RELION names it (with a table).")] = None,
    b_factor: Annotated[float, typer.Option(help="B-factor of the point spread function, A^2.")] = 160.0,
    out: OutOption = None,
) -> None:
    """Measure how evenly views fill Fourier space: sampling, SCF*, efficiency E_od, preferred orientation.

    Of a species, all images of its particles are taken, and the figures are committed.
    """
    from mpop.formats.files import require_file
    from mpop.jobs.maps import orientations as job
    from mpop.reports.orientations import REPORT

    replaced = check_out(out, "mpop.orientations")
    path, commit = context.relative(Path(images)), None
    of_table = path.suffix == ".star" or path.exists()
    if of_table:
        require_file(path)
        if diameter is None:
            raise InputError(f"{images}: the table does not tell the size of the particle; give --diameter")
        with context.run():
            geometry = job.Geometry(diameter, resolution, sym or "C1", b_factor)
            found = job.orientations_of_table(path, geometry).finding()
    elif (diameter, resolution, sym) != (None, None, None):
        raise InputError(
            f"species {images} has its own diameter, resolution and symmetry; leave out "
            "--diameter, --resolution and --sym"
        )
    else:
        with context.run() as run:
            found, commit = job.orientations_of_species(context.population(), images, b_factor, run)
    show_finding(REPORT, found, not of_table, commit, out, lambda *_: [], replaced)
