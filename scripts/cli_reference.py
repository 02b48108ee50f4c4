"""Write docs/reference/cli.md from the commands' own help: `make docs`. A test holds it current."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from mpop.cli.main import app

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/cli.md"
WIDTH = 100
HEAD = """\
# Commands

Written by `make docs` from `mpop --help`; do not edit. Options that belong to `mpop` itself (`-C`, `--device`,
`--threads`) go before the command. `--json` prints the result as JSON under a versioned `schema` key; errors are
one line on stderr.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a failure of mpop itself, or out of memory |
| 2 | bad input or bad usage |
| 3 | not found |
| 4 | the population is not in a state for this |
| 5 | damaged or missing data, or a disk that cannot be written |
| 6 | refinement has nothing to work with, or stopped making sense |
| 130 | interrupted |
"""


def sections(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """`mpop species add` and its help, for mpop itself and every command that does something."""
    here = command.context_class(
        command, info_name=name, parent=parent, max_content_width=WIDTH, terminal_width=WIDTH
    )
    here.help_option_names = ["-h", "--help"]
    children = getattr(command, "commands", {})
    if parent is None or not children:
        yield here.command_path, command.get_help(here)
    for child, nested in children.items():
        yield from sections(nested, child, here)


def render() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    parts = [f"## {path}\n\n```\n{text.rstrip()}\n```\n" for path, text in sections(root, "mpop")]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render())
