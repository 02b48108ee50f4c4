"""`mpop source add`, `list`, `relocate`, `remove`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import FirstPerImageOption, ForceOption, JsonOption, emit
from mpop.words import counted
from mpop_store.errors import InputError

if TYPE_CHECKING:
    from mpop.importing.importer import Importer

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
    path: Annotated[Path | None, typer.Argument(help="What to import, as with --warp or --stack.")] = None,
    importer: Annotated[
        str | None,
        typer.Option("--from", help="Importer that reads it, if the path does not say; a wrong name lists them."),
    ] = None,
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
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Any other option of an importer; may be given several times."),
    ] = None,
    store_raw: Annotated[bool, typer.Option("--store-raw", help="Put raw images into the store.")] = False,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Import a project of another program: tilt series of Warp, stacks of extracted particles of RELION."""
    from mpop.jobs.importing.source import add_source

    context.options.json |= json
    given = {
        "--tomostar": ("tomostar", tomostar),
        "--volume": ("volume_dims_A", volume),
        "--images": ("images", images),
        "--ignore-aberrations": ("ignore_aberrations", ignore_aberrations or None),
        "--amplitude-contrast": ("amplitude_contrast", amplitude_contrast),
        "--optics-group": ("optics_groups", optics_group or None),
        "--first-per-image": ("first_per_image", first_per_image or None),
        "--angpix": ("pixel_size_A", angpix),
    }
    words = dict(_name_and_value(word) for word in option or ())
    project, chosen, flag = _what(path, importer, warp, stack)
    here = context.population()
    with context.run() as run:
        options = _options(chosen, flag, given, words)
        added = add_source(here, name, project, chosen.name, store_raw, force, run.progress, **options)
    context.warn_of(added.doubts)
    source = added.record
    result: dict[str, Any] = {"source": source, "warnings": added.warnings, "doubts": added.doubts}
    what = f"{len(source.items)} tilt series"
    if source.type == "particle-stack":
        result["images"] = added.images
        what = f"{counted(added.images, 'particle image')} in {counted(len(source.items), 'stack')}"
    emit("source", result, f"Added source {source.name}: {what} at {source.pixel_size_A:g} A/px")


def _name_and_value(word: str) -> tuple[str, str]:
    """Of NAME=VALUE."""
    name, is_there, value = word.partition("=")
    if not is_there:
        raise InputError(f"--option {word}: write it as NAME=VALUE")
    return name, value


def _options(
    importer: Importer[Any], flag: str, given: Mapping[str, tuple[str, Any]], words: Mapping[str, str]
) -> dict[str, Any]:
    """The options of an importer by name, paths relative to -C.

    given: field and value, None where there is none, by the flag of this command. words: of --option. Raises
    InputError for what the importer does not know.
    """
    from mpop.importing.registry import options_of

    flags = {field: spelled for spelled, (field, value) in given.items() if value is not None}
    if misplaced := [spelled for field, spelled in flags.items() if field not in importer.Options.model_fields]:
        raise InputError(f"{misplaced[0]} does not go with {flag}")
    values = {field: value for field, value in given.values() if field in flags}
    options = options_of(importer, {**values, **words})
    chosen = {field: getattr(options, field) for field in options.model_fields_set}
    return {key: context.relative(one) if isinstance(one, Path) else one for key, one in chosen.items()}


def _what(
    path: Path | None, importer: str | None, warp: Path | None, stack: Path | None
) -> tuple[Path, Importer[Any], str]:
    """What to import, by which importer, and how the user chose that."""
    from mpop.importing.registry import importer_named, importer_of

    ways = [("--warp", "warp", warp), ("--stack", "relion", stack), ("--from", importer, path)]
    chosen = [(flag, program, project) for flag, program, project in ways if project is not None]
    if len(chosen) != 1 or (importer is not None and path is None):
        raise InputError("give --warp for tilt series, or --stack for extracted particles, or one path of either")
    flag, program, project = chosen[0]
    project = context.relative(project)
    found = importer_of(project) if program is None else importer_named(program)
    return project, found, flag if path is None else f"--from {found.name}"


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
