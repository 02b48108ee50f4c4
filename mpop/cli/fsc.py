"""`mpop fsc`."""

from __future__ import annotations

from collections.abc import Sequence
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
    made,
    made_folder,
    read_maps,
    tell,
)
from mpop.doubts import Doubt
from mpop_store.errors import InputError

WRITTEN = ("map.mrc", "map_masked.mrc")
"""Maps that --out holds in the end, besides a mask where none was given."""

EXAMPLES = examples(
    "mpop fsc half1.mrc half2.mrc --mask mask.mrc --out fsc",
    "mpop fsc ribosome --out fsc",
    "mpop fsc map.mrc --model model.cif",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EXAMPLES)(fsc)


def fsc(
    maps: MapsArgument,
    mask: MaskOption = None,
    out: OutOption = None,
    angpix: AngpixOption = None,
    b_factor: Annotated[
        float | None,
        typer.Option(
            help="B-factor in A^2 to sharpen with, negative; 0 for none. Fitted if not given.", show_default=False
        ),
    ] = None,
    low_pass: Annotated[
        float | None,
        typer.Option(help="Low-pass of the map in A; the resolution if not given.", show_default=False),
    ] = None,
    mtf: Annotated[Path | None, typer.Option(help="MTF of the detector: STAR as RELION has it.")] = None,
    mtf_angpix: Annotated[
        float | None,
        typer.Option(help="Pixel size in A of the images at the detector; that of the maps if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random phases.")] = 0,
    model: Annotated[
        Path | None, typer.Option(help="Compare with this atomic model (mmCIF or PDB) instead.")
    ] = None,
    other: Annotated[Path | None, typer.Option("--map", help="Compare with this map (MRC) instead.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure the resolution of two half-maps, and sharpen their mean; or compare a map with a model or a map.

    Without --mask one is made from the half-maps, or around the model. With --out, the sharpened map is written,
    the curves for RELION's scripts (postprocess.star) and for EMDB (fsc.xml), and a report. Of a species, the
    result is committed.
    """
    context.options.json |= json
    is_comparison = model is not None or other is not None
    if is_comparison:
        replaced = check_out(out, "mpop.map-fsc-report")
    else:
        replaced = check_out(out, "mpop.fsc-report", made(WRITTEN, mask), [*maps, mask])
    if is_comparison:
        if (b_factor, low_pass, mtf, mtf_angpix) != (None,) * 4 or (model is not None and other is not None):
            raise InputError("--model and --map each go alone, without options for sharpening")
        return _compare(maps, mask, angpix, out, model, other, replaced)
    from mpop.jobs.maps import fsc as job
    from mpop.jobs.maps.parameters import FSCParameters

    given = read_maps(maps, mask, angpix)
    path = None if mtf is None else context.relative(mtf)
    parameters = FSCParameters(b_factor_A2=b_factor, low_pass_A=low_pass, mtf_pixel_size_A=mtf_angpix)
    commit = None
    with context.run() as run:
        if given.species is None:
            result = job.half_map_fsc(given, parameters, seed, path)
        else:
            result, commit = job.fsc_of_species(context.population(), given, parameters, seed, path, run)
    files: list[Path] = []
    if out is not None:
        from mpop.reports.fsc import write_report

        folder = made_folder(out)
        written = job.write_files(result, folder)
        files = [write_report(folder, result, command_line()), folder / "report.json", *written]
    numbers = job.numbers(result)
    tell("fsc", numbers, _lines(numbers), given.species is not None, commit, files, replaced)


def _compare(
    maps: list[str],
    mask: Path | None,
    angpix: float | None,
    out: Path | None,
    model: Path | None,
    other: Path | None,
    replaced: Sequence[Doubt],
) -> None:
    """A map, half-maps or a species against a model or a map."""
    from mpop.jobs.maps import fsc_to_reference as job

    first = context.relative(Path(maps[0]))
    species = None
    if len(maps) == 1 and first.is_file():
        one = job.OneMap.read(first, None if mask is None else context.relative(mask), angpix)
    else:
        halves = read_maps(maps, mask, angpix)
        species = halves.species
        one = job.OneMap.of_halves(halves, first if species is None else None, angpix is None)
    with context.run() as run:
        if model is not None:
            result = job.against_model(one, context.relative(model))
        else:
            assert other is not None
            result = job.against_map(one, context.relative(other))
    commit = None if species is None else job.record(context.population(), species, result, run)
    files: list[Path] = []
    if out is not None:
        from mpop.reports.map_fsc import write_report

        folder = made_folder(out)
        written = job.write_files(result, folder)
        files = [write_report(folder, result, command_line()), folder / "report.json", *written]
    numbers = job.numbers(result)
    lines = [
        _row(angstrom(numbers["resolution_at_half_A"]), f"FSC with the {result.against} = 0.5"),
        _row(angstrom(numbers["resolution_at_half_unmasked_A"]), "FSC = 0.5 without a mask"),
    ]
    tell("map-fsc", numbers, lines, species is not None, commit, files, replaced)


def _row(value: str, what: str) -> str:
    return f"{value:>12}  {what}"


def _lines(numbers: dict[str, Any]) -> list[str]:
    """Values and what they are."""
    fit, low_pass = numbers["b_factor_fit"], numbers["low_pass_A"]
    how = "" if fit is None else f", fitted from {fit['from_A']:.1f} to {fit['to_A']:.1f} A"
    rows = [
        (angstrom(numbers["resolution_A"]), "resolution: corrected FSC = 0.143"),
        (angstrom(numbers["resolution_at_half_A"]), "corrected FSC = 0.5"),
        (angstrom(numbers["resolution_unmasked_A"]), "FSC = 0.143 without a mask"),
        (angstrom(numbers["relion_final_resolution_A"]), "last whole shell above 0.143, as RELION counts"),
        (angstrom(numbers["randomised_from_A"]), "phases randomised from here on"),
        (f"{numbers['b_factor_A2']:.1f} A^2", f"B-factor{how}"),
    ]
    if numbers["b_factor_inside_mask_A2"] is not None:
        rows.append((f"{numbers['b_factor_inside_mask_A2']:.1f} A^2", "B-factor of what is inside the mask"))
    if low_pass is not None:
        rows.append((angstrom(low_pass), "low-pass of the map"))
    if numbers["mask"]["from"] == "found":
        rows.append(
            (f"{numbers['mask']['volume_A3'] / 1000:.0f} nm^3", "inside a mask that was made from the maps")
        )
    return [_row(*row) for row in rows]
