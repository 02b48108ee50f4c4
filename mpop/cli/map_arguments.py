"""What all commands on maps share: their arguments, where results go, and how a finding is shown."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import ForceOption, WaitOption
from mpop.cli.option_groups import flat
from mpop.doubts import Doubt, reported
from mpop_store.errors import InputError
from mpop_store.paths import inside

if TYPE_CHECKING:
    from mpop.jobs.maps.finding import Finding
    from mpop.jobs.maps.input import HalfMaps
    from mpop.reports.report import Report

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

MAP_SUFFIXES = {".mrc", ".map", ".ccp4", ".mrcs", ".gz"}
"""A name that ends so is meant as a file."""


@dataclass(frozen=True)
class MapOptions:
    """Half-maps or a species, and the folder for the results."""

    maps: MapsArgument
    mask: MaskOption = None
    out: OutOption = None
    angpix: AngpixOption = None

    def read(self) -> HalfMaps:
        """The maps that are named."""
        return read_maps(self.maps, self.mask, self.angpix)

    def check_out(self, report: str | None, written: Collection[str]) -> list[Doubt]:
        """As `check_out`, with the maps as inputs."""
        return check_out(self.out, report, written, [*self.maps, self.mask])


@dataclass(frozen=True)
class NetworkOptions:
    """What commands share that train networks."""

    width: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Channels of each network: more learn more, and take longer; 16 if not given.",
            show_default=False,
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Random seed for training.")] = 0
    force: ForceOption = False
    wait: WaitOption = False


def add_command(app: typer.Typer, name: str, command: Callable[..., None], *examples: str) -> None:
    """Add a command, whose options `flat` reads from its parameters. examples: lines to copy, for its help."""
    epilog = "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
    app.command(name, epilog=epilog)(flat(command))


def read_maps(maps: list[str], mask: Path | None = None, angpix: float | None = None) -> HalfMaps:
    """The maps that the arguments name. With a species, mask and pixel size are its own."""
    from mpop.formats.files import require_file
    from mpop.jobs.maps.input import from_files, from_species

    if len(maps) == 2:
        half1, half2 = (context.relative(Path(one)) for one in maps)
        mask = None if mask is None else context.relative(mask)
        return from_files(half1, half2, mask, angpix)
    if len(maps) != 1:
        raise InputError(f"{len(maps)} maps were given; give two half-maps, or the name of one species")
    path = context.relative(Path(maps[0]))
    if path.suffix in MAP_SUFFIXES or path.exists():
        require_file(path)
        raise InputError(f"{maps[0]}: one half-map alone cannot say what is noise; give both half-maps")
    if mask is not None or angpix is not None:
        raise InputError(f"species {maps[0]} has its own mask and pixel size; leave out --mask and --angpix")
    return from_species(context.population(), maps[0])


def check_out(
    out: Path | None,
    report: str | None = None,
    written: Collection[str] = (),
    inputs: Iterable[Path | str | None] = (),
) -> list[Doubt]:
    """Raises InputError when results could not be written there: a job is long, and of a species committed.

    report: schema of the report to be; those of other commands stay. written: names of the maps that will be. None
    of them may take the place of an input, nor of a map that this command did not write. The doubts say which of
    its own results will be replaced.
    """
    if out is None:
        return []
    other = _report_in(context.relative(out))
    if report is not None and other not in (None, report):
        raise InputError(f"{out}: holds the results of another command ({other}); give another folder as --out")
    for path in (context.relative(Path(one)) for one in inputs if one is not None):
        if path.name in written and path.absolute().parent.resolve() == context.relative(out).resolve():
            raise InputError(
                f"{path}: a result of this name would be written over it; give another folder as --out"
            )
    folder = context.relative(out)
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise InputError(f"{above}: is a file; --out names a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{above}: may not be written to; give another folder as --out")
    there = [path for path in (inside(folder, name) for name in written) if path.exists()]
    if there and report is not None and other is None:
        raise InputError(
            f"{there[0]}: is there already, and no report says that this command wrote it; give another folder as "
            "--out, or remove it"
        )
    if not there and (other is None or report is None):
        return []
    read = "holds the results of an earlier call"
    return [Doubt("results-replaced", str(out), read, assumed="they are replaced")]


def made(written: Sequence[str], mask: Path | None) -> list[str]:
    """The maps that a command writes, which makes a mask where none is given."""
    return [*written, *(["mask.mrc"] if mask is None else [])]


def _report_in(folder: Path) -> str | None:
    """The schema of the report that lies in a folder, without its version."""
    try:
        schema = json.loads((folder / "report.json").read_bytes())["schema"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return str(schema).partition("/")[0]


def made_folder(out: Path) -> Path:
    """The folder for results, made if there is none. Raises InputError as check_out does."""
    check_out(out)
    folder = context.relative(out)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def show_finding(
    report: Report,
    found: Finding,
    of_species: bool,
    commit: str | None,
    out: Path | None,
    write_files: Callable[[Finding, Path], Sequence[Path]],
    doubts: Sequence[Doubt] = (),
    page: bool = True,
) -> None:
    """Write files and page to a folder, where one is given, and print the finding; see `tell`."""
    files: list[Path] = []
    if out is not None:
        folder = made_folder(out)
        files = [*write_files(found, folder)]
        if page:
            files = [report.write(folder, found, command_line()), folder / "report.json", *files]
    tell(report.name, found.numbers, report.lines(found.numbers), of_species, commit, files, doubts)


def command_line() -> str:
    """This call as a shell takes it again: what a report is signed with."""
    return shlex.join(["mpop", *sys.argv[1:]])


def tell(
    schema: str,
    numbers: Mapping[str, Any],
    lines: Sequence[str],
    of_species: bool,
    commit: str | None,
    files: Sequence[Path],
    doubts: Sequence[Doubt] = (),
) -> None:
    """Print the result of a command on maps, and its warnings, which numbers may hold.

    lines: the numbers in words. commit: None where there is nothing to commit to, or nothing new. files: what was
    written, the report first. doubts: about this call, besides those that numbers hold.
    """
    more = reported(doubts)
    numbers = {**numbers, **{name: [*numbers.get(name, ()), *lines] for name, lines in more.items()}}
    for warning in numbers["warnings"]:
        context.warn(warning)
    text = "\n".join([*lines, *_outcome(of_species, commit, files)])
    context.emit(schema, {**numbers, "commit": commit, "files": files}, text)


def _outcome(of_species: bool, commit: str | None, files: Sequence[Path]) -> list[str]:
    """What was committed, and the report or else the files."""
    lines = []
    if commit is not None:
        lines.append(f"Committed as {commit[:10]}")
    elif of_species:
        lines.append("Nothing to commit: HEAD holds the result of this very job")
    if files and files[0].suffix == ".html":
        lines.append(f"Report: {files[0]}")
    elif files:
        lines.append(f"Written: {', '.join(map(str, files))}")
    return lines
