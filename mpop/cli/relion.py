"""`mpop relion-external-reconstruct`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("relion-external-reconstruct")(relion_external_reconstruct)


def relion_external_reconstruct(
    star: Annotated[list[str], typer.Argument(metavar="STAR", help="RELION's ..._external_reconstruct.star.")],
    start_healpix: Annotated[
        int, typer.Option(envvar="MPOP_START_HEALPIX", help="Correct from this order of angular sampling on.")
    ] = 3,
    start_resolution: Annotated[
        float, typer.Option(envvar="MPOP_START_RESOLUTION", help="Correct from this resolution on, A.")
    ] = 15.0,
    limit_fsc: Annotated[
        float, typer.Option(envvar="MPOP_LIMIT_FSC", help="The resolution is where the FSC falls to this.")
    ] = 0.143,
    low_pass: Annotated[
        bool, typer.Option(envvar="MPOP_LOW_PASS", help="Leave nothing beyond the resolution.")
    ] = False,
    whitening: Annotated[
        bool, typer.Option(envvar="MPOP_WHITENING", help="Make all shells beyond --whitening-low equally strong.")
    ] = False,
    whitening_low: Annotated[
        float, typer.Option(envvar="MPOP_WHITENING_LOW", help="Resolution where whitening begins, A.")
    ] = 10.0,
    keep_lowres: Annotated[
        bool, typer.Option(envvar="MPOP_KEEP_LOWRES", help="Take low resolution from the starting reference.")
    ] = False,
    keep_lowres_to: Annotated[
        float | None,
        typer.Option(envvar="MPOP_KEEP_LOWRES_TO", help="Up to here, A; RELION's --ini_high if not given."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(envvar="MPOP_MASK", help="In place of RELION's solvent mask.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Reconstruct for relion_refine --external_reconstruct, and correct for preferred orientations.

    RELION calls it: set RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE to "mpop relion-external-reconstruct", with options
    if there are any.
    """
    from mpop.jobs.maps.relion_hook import HookOptions, HookResult, reconstruct_for_relion

    context.options.json |= json
    options = HookOptions(
        start_healpix,
        start_resolution,
        limit_fsc,
        low_pass,
        whitening,
        whitening_low,
        keep_lowres or keep_lowres_to is not None,
        keep_lowres_to,
        mask,
    )
    path = context.relative(Path(" ".join(star)))  # RELION's shell splits names at spaces
    with context.run():
        result: HookResult = reconstruct_for_relion(path, options)
    parts = [result.reason, *result.steps]
    if result.unevenness is not None:
        parts.append(f"unevenness of views {result.unevenness:.1f}")
    context.warn_of(result.doubts)
    warnings = [str(doubt) for doubt in result.doubts]
    numbers = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    text = f"mpop: {result.map.name}: {'; '.join(parts)}"
    emit("relion-external-reconstruct", {**numbers, "warnings": warnings}, text)
