"""The documents name commands that exist, show help that is current, and link to pages that are there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import typer.main

from mpop.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_command_reference_is_current() -> None:
    written = (ROOT / "docs/reference/cli.md").read_text()
    assert written == runpy.run_path(str(ROOT / "scripts/cli_reference.py"))["render"](), "run `make docs`"


def _commands() -> dict[str, set[str]]:
    """`species add` -> its options; groups without options of their own."""
    found: dict[str, set[str]] = {}

    def walk(command, words: tuple[str, ...]) -> None:
        found[" ".join(words)] = {option for parameter in command.params for option in parameter.opts}
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


@pytest.mark.parametrize("page", PAGES, ids=_label)
def test_commands_named_in_the_documents_exist(page: Path) -> None:
    known = _commands()
    text = re.sub(r"\\\n\s*", " ", page.read_text())  # continued lines
    for line in re.findall(r"(?:`|^ {4,}(?:\$ )?|^\$ |&& )mpop ([^`\n]+)", text, re.MULTILINE):
        words = line.split("&&")[0].split()
        while words and words[0] in ("-C", "--device", "--threads"):
            words = words[2:]
        if not words or not re.fullmatch(r"[a-z]+", words[0]):
            continue
        is_group = any(name.startswith(f"{words[0]} ") for name in known)
        command = " ".join(words[: 2 if is_group else 1])
        assert command in known, f"{_label(page)} names `mpop {line}`"
        options = {word.split("=")[0] for word in words if re.fullmatch(r"--[a-z][\w=-]+", word)}
        assert options <= known[command] | known[""], f"{_label(page)}: `mpop {line}`"


@pytest.mark.parametrize("page", PAGES, ids=_label)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{_label(page)} links to {target}"
