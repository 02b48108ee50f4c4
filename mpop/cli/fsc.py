"""`mpop fsc`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, angstrom, emit
from mpop.cli.map_arguments import AngpixOption, MapsArgument, MaskOption, OutOption, read_maps

if TYPE_CHECKING:
    from mpop.jobs.fsc import HalfMapFSC


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(fsc)


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
    seed: Annotated[int, typer.Option(help="Of the random phases.")] = 0,
    json: JsonOption = False,
) -> None:
    """Measure the resolution of two half-maps, and sharpen their mean.

    Without --mask one is made from the maps. With --out, the sharpened map is written, the curves for RELION's
    scripts (postprocess.star) and for EMDB (fsc.xml), and a report. Of a species, the result is committed.
    """
    from mpop.jobs import fsc as job

    context.options.json |= json
    given = read_maps(maps, mask, angpix)
    path = None if mtf is None else context.relative(mtf)
    parameters = job.FSCParameters(b_factor, low_pass, path, mtf_angpix, seed)
    commit = None
    if given.species is None:
        result = job.half_map_fsc(given, parameters)
    else:
        result, commit = job.fsc_of_species(context.population(), given, parameters)
    for warning in result.warnings:
        context.warn(warning)
    numbers = job.numbers(result)
    files = [] if out is None else _write(context.relative(out), result, f"mpop fsc {' '.join(maps)}.")
    emit("fsc", {**numbers, "commit": commit, "files": files}, "\n".join(_lines(numbers, commit, files)))


def _write(folder: Path, result: HalfMapFSC, footer: str) -> list[Path]:
    from mpop.jobs.fsc import write_files
    from mpop.reports.fsc import write_report

    folder.mkdir(parents=True, exist_ok=True)
    files = write_files(result, folder)
    page = write_report(folder, result, footer)
    return [page, folder / "report.json", *files]


def _lines(numbers: dict[str, Any], commit: str | None, files: list[Path]) -> list[str]:
    fit, low_pass = numbers["b_factor_fit"], numbers["low_pass_A"]
    how = (
        ""
        if fit is None
        else f"fitted from {fit['from_A']:.1f} to {fit['to_A']:.1f} A, r^2 {fit['r_squared']:.3f}"
    )
    rows = [
        (angstrom(numbers["resolution_A"]), "resolution: corrected FSC = 0.143"),
        (angstrom(numbers["resolution_at_half_A"]), "corrected FSC = 0.5"),
        (angstrom(numbers["resolution_unmasked_A"]), "FSC = 0.143 without a mask"),
        (angstrom(numbers["relion_final_resolution_A"]), "last whole shell above 0.143, as RELION counts"),
        (angstrom(numbers["randomised_from_A"]), "phases randomised from here on"),
        (f"{numbers['b_factor_A2']:.1f} A^2", f"B-factor {how}".rstrip()),
    ]
    if low_pass is not None:
        rows.append((angstrom(low_pass), "low-pass of the map"))
    lines = [f"{value:>12}  {what}" for value, what in rows]
    if commit is not None:
        lines.append(f"Committed as {commit[:10]}")
    if files:
        lines.append(f"Report: {files[0]}")
    return lines
