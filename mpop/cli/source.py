"""`mpop source add`, `list`, `remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    nouns = typer.Typer(help="Data sources: sets of tilt series.", no_args_is_help=True, rich_markup_mode=None)
    nouns.command("add")(add)
    nouns.command("list")(list_sources)
    nouns.command("remove")(remove)
    app.add_typer(nouns, name="source")


def add(
    name: Annotated[str, typer.Argument(help="Name of the new source.")],
    warp: Annotated[Path, typer.Option(help="A Warp .settings file, or a folder with XMLs.")],
    tomostar: Annotated[Path | None, typer.Option(help="Folder with tomostar files.")] = None,
    angpix: Annotated[float | None, typer.Option(help="Pixel size of the tilt images, A.")] = None,
    volume: Annotated[
        tuple[float, float, float] | None, typer.Option(metavar="X Y Z", help="Size of the tomograms, A.")
    ] = None,
    store_raw: Annotated[bool, typer.Option("--store-raw", help="Put raw images into the store.")] = False,
    json: JsonOption = False,
) -> None:
    """Import a Warp tilt-series project."""
    from mpop.jobs.import_source import add_source

    context.options.json |= json
    here = context.population()
    with context.progress_bars() as progress:
        source = add_source(
            here,
            name,
            context.relative(warp),
            context.relative(tomostar) if tomostar else None,
            angpix,
            volume,
            store_raw,
            progress,
        )
    text = f"Added source {source.name}: {len(source.items)} tilt series at {source.pixel_size_A:g} A/px"
    emit("source", {"source": source}, text)


def list_sources(json: JsonOption = False) -> None:
    """List the sources."""
    context.options.json |= json
    sources = sorted(context.population().sources().values(), key=lambda source: source.name)
    lines = [
        f"{source.name:20} {len(source.items):5} tilt series  {source.pixel_size_A:g} A/px  {source.version[:10]}"
        for source in sources
    ]
    emit("sources", {"sources": sources}, "\n".join(lines) or "no sources yet")


def remove(name: Annotated[str, typer.Argument(help="Name or id.")], json: JsonOption = False) -> None:
    """Take a source out of the population (history keeps it)."""
    from mpop.jobs.import_source import remove_source

    context.options.json |= json
    remove_source(context.population(), name)
    emit("removed", {"source": name}, f"Removed source {name}; commit to keep this")
