"""`mpop local-resolution`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    made,
    made_folder,
    read_maps,
    tell,
)

WRITTEN = ("locres.mrc", "locres_filtered.mrc")
"""Maps that --out holds in the end, besides a mask where none was given."""

EXAMPLES = examples(
    "mpop local-resolution half1.mrc half2.mrc --mask mask.mrc --out local",
    "mpop local-resolution ribosome --out local",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("local-resolution", epilog=EXAMPLES)(local_resolution)


def local_resolution(
    maps: MapsArgument,
    mask: MaskOption = None,
    out: OutOption = None,
    threshold: Annotated[float, typer.Option(help="Local FSC that counts as resolved: 0.143, or 0.5.")] = 0.143,
    b_factor: Annotated[float, typer.Option(help="B-factor of the filtered map in A^2; negative sharpens.")] = 0.0,
    angpix: AngpixOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how well each part of a map is resolved, and filter every part accordingly.

    With --out, locres.mrc, locres_filtered.mrc, a ChimeraX script that colours one by the other, and a report are
    written. Of a species, both maps are committed.
    """
    from mpop.jobs.maps import local_resolution as job
    from mpop.jobs.maps.parameters import LocalResolutionParameters

    context.options.json |= json
    replaced = check_out(out, "mpop.local-resolution", made(WRITTEN, mask), [*maps, mask])
    parameters = LocalResolutionParameters(threshold=threshold, b_factor_A2=b_factor)
    given = read_maps(maps, mask, angpix)
    commit = None
    with context.run() as run:
        if given.species is None:
            result = job.measure(given, parameters)
        else:
            result, commit = job.of_species(context.population(), given, parameters, run)
    if result.mask_found:
        where = "look at mask.mrc" if out is not None else "--out writes it to look at"
        context.warn(f"no mask was given: one was made from the maps; {where}, or give --mask")
    files: list[Path] = []
    if out is not None:
        from mpop.reports.local_resolution import write_report

        folder = made_folder(out)
        files = job.write_files(result, folder)
        files.insert(0, write_report(folder, result, command_line()))
    numbers = result.numbers()
    lines = [numbers["verdict"]]
    if numbers["median_A"] is not None:
        lines += [
            f"{angstrom(numbers['best_A']):>12}  best",
            f"{angstrom(numbers['percentile_5_A']):>12}  5 %",
            f"{angstrom(numbers['median_A']):>12}  median",
            f"{angstrom(numbers['percentile_95_A']):>12}  95 %",
            f"{angstrom(numbers['resolution_A']):>12}  of the whole, corrected FSC = 0.143",
            f"{100 * numbers['unresolved_fraction']:>10.1f} %  of the mask is not resolved",
        ]
    tell("local-resolution", numbers, lines, given.species is not None, commit, files, replaced)
