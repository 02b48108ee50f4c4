"""`mpop orientations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption
from mpop.cli.map_arguments import OutOption, check_out, command_line, examples, made_folder, tell
from mpop.words import counted
from mpop_store.errors import InputError

EXAMPLES = examples(
    "mpop orientations run_data.star --diameter 170 --sym C3 --out orientations",
    "mpop orientations ribosome --out orientations",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EXAMPLES)(orientations)


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
    json: JsonOption = False,
) -> None:
    """Measure how evenly views fill Fourier space: sampling, SCF*, efficiency E_od, preferred orientation.

    Of a species, all images of its particles are taken, and the figures are committed.
    """
    from mpop.formats.files import require_file
    from mpop.jobs.maps import orientations as job

    context.options.json |= json
    replaced = check_out(out, "mpop.orientations")
    path, commit = context.relative(Path(images)), None
    of_table = path.suffix == ".star" or path.exists()
    if of_table:
        require_file(path)
        if diameter is None:
            raise InputError(f"{images}: the table does not tell the size of the particle; give --diameter")
        with context.run():
            found = job.orientations_of_table(path, job.Geometry(diameter, resolution, sym or "C1", b_factor))
    elif (diameter, resolution, sym) != (None, None, None):
        raise InputError(
            f"species {images} has its own diameter, resolution and symmetry; leave out "
            "--diameter, --resolution and --sym"
        )
    else:
        with context.run() as run:
            recorded = job.orientations_of_species(context.population(), images, b_factor, run)
        found, commit = recorded.orientations, recorded.commit
    numbers = found.numbers()
    files: list[Path] = []
    if out is not None:
        from mpop.reports.orientations import write_report

        folder = made_folder(out)
        files = [write_report(folder, found, command_line()), folder / "report.json"]
    tell("orientations", numbers, _lines(numbers), not of_table, commit, files, replaced)


def _lines(numbers: dict) -> list[str]:
    rot, tilt = numbers["least_sampled_direction"]
    images = counted(numbers["images"], "image")
    if numbers["images"] != numbers["particles"]:
        images += f" of {counted(numbers['particles'], 'particle')}"
    return [
        numbers["verdict"],
        f"  {images}, {numbers['symmetry']}, shell at {numbers['shell_A']:.2f} A",
        f"  sampling / mean   {numbers['sampling_lowest']:.2f} to {numbers['sampling_highest']:.2f}, "
        f"lowest at rot {rot:.0f}, tilt {tilt:.0f}",
        f"  SCF*              {numbers['scf_star']:.3f}   (even views 1, side views alone 0.81)",
        f"  in no image       {100 * numbers['empty_fraction']:.1f} %",
        f"  efficiency E_od   {numbers['efficiency']:.3f}   (even views 1)",
        f"  point spread      {numbers['psf_best_A']:.2f} to {numbers['psf_worst_A']:.2f} A, "
        f"mean {numbers['psf_mean_A']:.2f} A",
    ]
