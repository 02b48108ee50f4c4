"""`mpop fsc3d`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, angstrom
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

WRITTEN = ("fsc3d.mrc",)
"""Maps that --out holds in the end, besides a mask where none was given."""

EXAMPLES = examples(
    "mpop fsc3d half1.mrc half2.mrc --mask mask.mrc --out directions",
    "mpop fsc3d ribosome --out directions",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EXAMPLES)(fsc3d)


def fsc3d(
    maps: MapsArgument,
    mask: MaskOption = None,
    out: OutOption = None,
    angpix: AngpixOption = None,
    half_angle: Annotated[float, typer.Option(help="Half angle of the cones in degrees.")] = 20.0,
    report: Annotated[
        bool,
        typer.Option(
            help="Draw report.html and write fsc3d.star too; this takes longer than all the rest on small maps."
        ),
    ] = True,
    json: JsonOption = False,
) -> None:
    """Measure the resolution by direction (3DFSC), and say whether maps are anisotropic beyond chance.

    With --out, the 3DFSC is written as a volume (fsc3d.mrc), with the curve of each direction (directions.csv) and
    those over all directions (shells.csv), a STAR file, and a report. Of a species, the result is committed.
    """
    from mpop.jobs.maps import directional as job

    context.options.json |= json
    replaced = check_out(out, "mpop.fsc3d" if report else None, WRITTEN, [*maps, mask])
    given = read_maps(maps, mask, angpix)
    commit = None
    with context.run() as run:
        if given.species is None:
            result = job.directional_resolution(given, half_angle, volume=out is not None)
        else:
            result, commit = job.directional_resolution_of_species(context.population(), given, half_angle, run)
    numbers = job.numbers(result)
    files = [] if out is None else _write(out, result, report, command_line())
    tell("fsc3d", numbers, _lines(numbers), given.species is not None, commit, files, replaced)


def _write(out: Path, result: Any, report: bool, command: str) -> list[Path]:
    from mpop.jobs.maps import directional as job

    folder = made_folder(out)
    files = job.write_files(result, folder)
    if report:
        from mpop.reports.directional import write_report

        star = job.write_star_file(result, folder)
        files = [write_report(folder, result, command), folder / "report.json", *files, star]
    return files


def _lines(numbers: dict[str, Any]) -> list[str]:
    lines = [numbers["verdict"], *(f"  {reason}" for reason in numbers["reasons"])]
    if "by_direction" in numbers:
        by_direction = numbers["by_direction"]
        rows = [
            (angstrom(numbers["resolution_A"]), "resolution: FSC = 0.143, over all directions"),
            (angstrom(by_direction["best_A"]), "in the best direction"),
            (angstrom(by_direction["worst_A"]), "in the worst"),
            (f"{numbers['sphericity']:.3f}", "sphericity at FSC = 0.5"),
            (f"{numbers['area_ratio']:.3f}", "area ratio of conical FSCs (cFAR)"),
            (angstrom(numbers["occupancy_90_A"]), "occupancy (FSO) falls below 0.9"),
            (angstrom(numbers["occupancy_10_A"]), "and below 0.1; - not before Nyquist"),
        ]
        lines += [f"{value:>12}  {what}" for value, what in rows]
    return lines
