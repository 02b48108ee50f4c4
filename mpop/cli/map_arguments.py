"""The arguments that all commands on maps share: two half-maps as MRC files, or the name of a species."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop_store.errors import InputError

if TYPE_CHECKING:
    from mpop.jobs.maps.input import HalfMaps

MapsArgument = Annotated[
    list[str],
    typer.Argument(metavar="HALF1 HALF2 | SPECIES", help="Two half-maps (MRC), or a species of the population."),
]
MaskOption = Annotated[Path | None, typer.Option(help="Soft mask around the particle, from 0 to 1 (MRC).")]
AngpixOption = Annotated[
    float | None, typer.Option(help="Pixel size in A, in place of what the headers say.", show_default=False)
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder for the results; it is made if there is none.", show_default=False)
]


def read_maps(maps: list[str], mask: Path | None = None, angpix: float | None = None) -> HalfMaps:
    """The maps that the arguments name. With a species, mask and pixel size are its own."""
    from mpop.jobs.maps.input import from_files, from_species

    if len(maps) == 2:
        half1, half2 = (context.relative(Path(one)) for one in maps)
        return from_files(half1, half2, None if mask is None else context.relative(mask), angpix)
    if len(maps) != 1:
        raise InputError(f"{len(maps)} maps were given; give two half-maps, or the name of one species")
    if context.relative(Path(maps[0])).is_file():
        raise InputError(f"{maps[0]}: one half-map alone cannot say what is noise; give both half-maps")
    if mask is not None or angpix is not None:
        raise InputError(f"species {maps[0]} has its own mask and pixel size; leave out --mask and --angpix")
    return from_species(context.population(), maps[0])


def check_out(out: Path | None) -> None:
    """Raises InputError when results could not be written there: a job is long, and of a species committed."""
    if out is None:
        return
    folder = context.relative(out)
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise InputError(f"{above}: is a file; --out names a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{above}: may not be written to; give another folder as --out")


def made_folder(out: Path) -> Path:
    """The folder for results, made if there is none. Raises InputError as check_out does."""
    check_out(out)
    folder = context.relative(out)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
