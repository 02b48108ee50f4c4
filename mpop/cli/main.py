"""The `mpop` command: global options, and one module per noun or verb."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import typer.core
from typer.main import get_command_name
from typer.models import CommandInfo

from mpop.cli import (
    branches,
    collisions,
    context,
    correct,
    demo,
    denoise,
    export,
    fsc,
    fsc3d,
    history,
    local_resolution,
    merge,
    orientations,
    population,
    refine,
    relion,
    remotes,
    request,
    simulate,
    source,
    species,
    store,
)
from mpop_store.terminal import show

WITH_VALUE = ("-C", "--device", "--threads")
"""Options before the command whose value is the next word."""

app = typer.Typer(
    name="mpop",
    help="Version control and multi-particle refinement for populations of macromolecules in cryo-EM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        show(f"mpop {version('mpop')}")
        raise typer.Exit


@app.callback()
def main_options(
    directory: Annotated[Path, typer.Option("-C", metavar="DIR", help="Run as if started in DIR.")] = Path("."),
    json: context.JsonOption = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda (all that a step can use) or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads; all cores if not given.")] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options that go before the command."""
    context.options.directory = directory
    context.options.json = json
    context.options.device = device
    context.options.threads = threads


for module in (
    population,
    history,
    branches,
    merge,
    source,
    species,
    collisions,
    refine,
    fsc,
    fsc3d,
    local_resolution,
    orientations,
    correct,
    denoise,
    relion,
    remotes,
    request,
    export,
    simulate,
    demo,
    store,
):
    module.register(app)


def called(words: Sequence[str]) -> typer.Typer:
    """The application with the one command that the words call, with none for --version, and else with all.

    typer builds every command that it holds before it looks for one, which takes as long as numpy's import.
    """
    for option, word in zip(["", *words], words, strict=False):
        if option in WITH_VALUE or (word.startswith("-") and word != "--version"):
            continue
        one = copy.copy(app)
        one.registered_commands = [command for command in app.registered_commands if _name(command) == word]
        one.registered_groups = [group for group in app.registered_groups if group.name == word]
        return one if one.registered_commands or one.registered_groups or word == "--version" else app
    return app


def _name(command: CommandInfo) -> str:
    assert command.callback is not None
    return command.name or get_command_name(command.callback.__name__)


def main() -> None:
    """Entry point of the `mpop` script."""
    context.main(lambda: called(sys.argv[1:])(standalone_mode=False))
