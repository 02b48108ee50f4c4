"""`mpop export warp`, `relion` and `maps`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.words import counted


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    nouns = typer.Typer(help="Write files for other programs.", no_args_is_help=True, rich_markup_mode=None)
    nouns.command("warp")(warp)
    nouns.command("relion")(relion)
    nouns.command("maps")(maps)
    app.add_typer(nouns, name="export")


DirectoryArgument = Annotated[Path, typer.Argument(help="Folder to write into.")]
AtOption = Annotated[str | None, typer.Option(help="Revision to export; the working state if not given.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]


def warp(
    directory: DirectoryArgument, at: AtOption = None, force: ForceOption = False, json: JsonOption = False
) -> None:
    """Refined `<series>.xml` and `<species>_particles.star` in M's format."""
    from mpop.jobs.exporting import export_warp

    context.options.json |= json
    files = export_warp(context.population(), context.relative(directory), at, force)
    emit("export", {"files": files}, f"Wrote {len(files)} files to {directory}")


def relion(
    directory: DirectoryArgument, at: AtOption = None, force: ForceOption = False, json: JsonOption = False
) -> None:
    """Poses of the particles in stacks, `<species>_particles.star`, for RELION 3.1 and later."""
    from mpop.jobs.export_stacks import export_relion

    context.options.json |= json
    files = export_relion(context.population(), context.relative(directory), at, force)
    emit("export", {"files": files}, f"Wrote {counted(len(files), 'file')} to {directory}")


def maps(
    directory: DirectoryArgument, at: AtOption = None, force: ForceOption = False, json: JsonOption = False
) -> None:
    """Half-maps, mask, filtered map and FSC of every species."""
    from mpop.jobs.exporting import export_maps

    context.options.json |= json
    files = export_maps(context.population(), context.relative(directory), at, force)
    emit("export", {"files": files}, f"Wrote {len(files)} files to {directory}")
