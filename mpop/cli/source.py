"""`mpop source add`, `list`, `relocate`, `remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import FirstPerImageOption, ForceOption, JsonOption, emit
from mpop.words import counted
from mpop_store.errors import InputError

KINDS = {"tilt-series": "tilt series", "particle-stack": "stacks"}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    nouns = typer.Typer(
        help="Data sources: sets of tilt series, or of particle stacks.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    nouns.command("add")(add)
    nouns.command("list")(list_sources)
    nouns.command("relocate")(relocate)
    nouns.command("remove")(remove)
    app.add_typer(nouns, name="source")


def add(
    name: Annotated[str, typer.Argument(help="Name of the new source.")],
    warp: Annotated[Path | None, typer.Option(help="A Warp .settings file, or a folder with XMLs.")] = None,
    tomostar: Annotated[Path | None, typer.Option(help="Folder with tomostar files.")] = None,
    volume: Annotated[
        tuple[float, float, float] | None, typer.Option(metavar="X Y Z", help="Size of the tomograms, A.")
    ] = None,
    stack: Annotated[Path | None, typer.Option(help="RELION's STAR of extracted particle images.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder that image names in the STAR count from, if it is not found.")
    ] = None,
    ignore_aberrations: Annotated[
        bool, typer.Option("--ignore-aberrations", help="Go on without beam tilt and what else mpop cannot model.")
    ] = False,
    amplitude_contrast: Annotated[
        float | None, typer.Option(help="Fraction of amplitude contrast, for a STAR without.")
    ] = None,
    optics_group: Annotated[
        list[str] | None,
        typer.Option(help="Take the images of this optics group, by number or name; may be given several times."),
    ] = None,
    first_per_image: FirstPerImageOption = False,
    angpix: Annotated[float | None, typer.Option(help="Pixel size of the images, A.")] = None,
    store_raw: Annotated[bool, typer.Option("--store-raw", help="Put raw images into the store.")] = False,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Import a Warp tilt-series project, or a stack of extracted particles."""
    context.options.json |= json
    if (warp is None) == (stack is None):
        raise InputError("give --warp for tilt series, or --stack for extracted particles")
    of_warp = {"--tomostar": tomostar, "--volume": volume}
    of_stacks = {
        "--images": images,
        "--amplitude-contrast": amplitude_contrast,
        "--optics-group": optics_group or None,
        "--first-per-image": first_per_image or None,
    }
    misplaced = [option for option, value in (of_stacks if warp else of_warp).items() if value is not None]
    if misplaced:
        raise InputError(f"{misplaced[0]} does not go with {'--warp' if warp else '--stack'}")
    if warp is not None:
        _add_tilt_series(name, warp, tomostar, angpix, volume, ignore_aberrations, store_raw, force)
    elif stack is not None:
        _add_stack(
            name,
            stack,
            images,
            pixel_size_A=angpix,
            ignore_aberrations=ignore_aberrations,
            store_raw=store_raw,
            amplitude_contrast=amplitude_contrast,
            optics_groups=optics_group or [],
            first_per_image=first_per_image,
            force=force,
        )


def _add_tilt_series(
    name: str,
    warp: Path,
    tomostar: Path | None,
    angpix: float | None,
    volume: tuple[float, float, float] | None,
    ignore_aberrations: bool,
    store_raw: bool,
    force: bool,
) -> None:
    from mpop.jobs.importing.source import add_source

    here = context.population()
    with context.run() as run:
        added = add_source(
            here,
            name,
            context.relative(warp),
            context.relative(tomostar) if tomostar else None,
            angpix,
            volume,
            store_raw,
            ignore_aberrations,
            force,
            run.progress,
        )
    context.warn_of(added.doubts)
    source = added.record
    text = f"Added source {source.name}: {len(source.items)} tilt series at {source.pixel_size_A:g} A/px"
    warnings = [str(doubt) for doubt in added.doubts]
    emit("source", {"source": source, "warnings": warnings, "doubts": added.doubts}, text)


def _add_stack(name: str, star: Path, images: Path | None, **options: Any) -> None:
    from mpop.jobs.importing.stack import add_stack

    here = context.population()
    with context.run() as run:
        added = add_stack(
            here,
            name,
            context.relative(star),
            context.relative(images) if images else None,
            progress=run.progress,
            **options,
        )
    for warning in added.warnings:
        context.warn(warning)
    source = added.record
    text = (
        f"Added source {source.name}: {counted(added.images, 'particle image')} in "
        f"{counted(len(source.items), 'stack')} at {source.pixel_size_A:g} A/px"
    )
    result = {"source": source, "images": added.images, "warnings": added.warnings, "doubts": added.doubts}
    emit("source", result, text)


def list_sources(json: JsonOption = False) -> None:
    """List the sources."""
    context.options.json |= json
    sources = sorted(context.population().sources().values(), key=lambda source: source.name)
    lines = [
        f"{source.name:20} {len(source.items):5} {KINDS[source.type]:11}  {source.pixel_size_A:g} A/px  "
        f"{source.version[:10]}"
        for source in sources
    ]
    emit("sources", {"sources": sources}, "\n".join(lines) or "no sources yet")


def relocate(
    old: Annotated[Path, typer.Argument(help="Folder, or file, where raw data should be.")],
    new: Annotated[Path, typer.Argument(help="Folder, or file, where they are now.")],
    json: JsonOption = False,
) -> None:
    """Find raw data that moved, by their content. It is remembered on this machine; nothing is to commit."""
    from mpop.jobs.relocating import relocate

    context.options.json |= json
    here = context.population()
    with context.run() as run:
        done = relocate(here, context.relative(old), context.relative(new), run.progress)
    if done.missing:
        context.warn(
            f"{counted(len(done.missing), 'raw file')} of {old} not in {new}, the first is {done.missing[0]}"
        )
    text = f"Found {counted(done.found, 'raw file')} in {new}; there is nothing to commit"
    emit("relocated", {"old": old, "new": new, "found": done.found, "missing": done.missing}, text)


def remove(name: Annotated[str, typer.Argument(help="Name or id.")], json: JsonOption = False) -> None:
    """Take a source out of the population (history keeps it)."""
    from mpop.jobs.importing.source import remove_source

    context.options.json |= json
    remove_source(context.population(), name)
    emit("removed", {"source": name}, f"Removed source {name}; commit to keep this")
