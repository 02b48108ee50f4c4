"""One self-contained page for a map job: a verdict, the headline figures, and sections of pictures.

page = Page("Directional resolution of ribosome", "Half-maps ...", Verdict("warn", "Anisotropic: ..."))
page.numbers.append(Number("0.71", "sphericity", "warn"))
page.sections.append(Section("By direction", "What to look for", [svg_text]))
write_page(directory, page, {"schema": "mpop.fsc3d/v1", ...})
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mpop.formats.files import replacing
from mpop.jobs.maps.verdict import Tone, Verdict
from mpop_store.paths import inside

__all__ = ["Number", "Page", "Section", "Tone", "Verdict", "render", "write_page"]

SIGNS: Mapping[Tone, str] = {"": "·", "good": "✓", "warn": "!", "bad": "✗"}


@dataclass(frozen=True)
class Number:
    """A headline figure: `3.2 Å`, what it is, and whether it is good."""

    value: str
    label: str
    tone: Tone = ""


@dataclass(frozen=True)
class Section:
    """Pictures (SVG text) under a heading, and a sentence that says how to read them. captions: one per figure."""

    title: str
    text: str
    figures: Sequence[str] = ()
    captions: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    """The first row is the head."""


@dataclass(frozen=True)
class Page:
    """What a page shows. footer: where the numbers come from, such as the command."""

    title: str
    lead: str
    verdict: Verdict
    numbers: list[Number] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    footer: str = ""


def render(page: Page) -> str:
    """The page as HTML."""
    from jinja2 import Environment, PackageLoader  # the text of a report needs none

    environment = Environment(loader=PackageLoader("mpop.reports", "."), autoescape=True)
    environment.filters["angstrom"] = angstrom_signs
    return environment.get_template("page.html.j2").render(
        page=page, sign=SIGNS[page.verdict.tone], version=version("mpop")
    )


def angstrom_signs(text: str) -> str:
    """A sentence of the terminal as a page has it: `4.1 Å` for `4.1 A`."""
    return re.sub(r"(?<=\d) A\b", " Å", text)


def write_page(directory: Path, page: Page, data: Mapping[str, Any]) -> Path:
    """Write report.html and report.json (plain JSON values) into a folder that exists; returns the page's path.

    Warnings in data stand under the verdict, which is not good then.
    """
    page = _warned(page, data.get("warnings", ()))
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    for name, content in (("report.json", text), ("report.html", render(page))):
        with replacing(inside(directory, name)) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return directory / "report.html"


def _warned(page: Page, warnings: Sequence[str]) -> Page:
    said = page.verdict
    more = [warning for warning in warnings if warning not in said.reasons]
    if not more:
        return page
    tone: Tone = "bad" if said.tone == "bad" else "warn"
    return replace(page, verdict=Verdict(tone, said.sentence, [*said.reasons, *more]))
