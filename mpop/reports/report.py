"""How the finding of a command is shown: in the terminal, as JSON, and as a page.

A report takes a finding and nothing else, and computes nothing. To draw takes long to import, so figures are in
modules of their own (`mpop/reports/drawn/`), which a report imports where it makes its page:

    REPORT = Report("fsc3d", "fsc3d", lines, page)
    print(*REPORT.lines(found.numbers), sep="\\n")
    REPORT.write(directory, found)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpop.jobs.maps.finding import Finding, Numbers
from mpop.reports.page import Page, write_page


def row(value: str, what: str) -> str:
    """A line for the terminal: a value, and what it is."""
    return f"{value:>12}  {what}"


def no_curves(found: Finding) -> Numbers:
    """Of a report whose numbers are all there is."""
    return {}


@dataclass(frozen=True)
class Report:
    """How findings of one command are shown.

    name: schema of `--json`; written: that of report.json, both without `mpop.` and version. lines: the numbers
    for the terminal. page: of a finding, with a line for its foot. curves: what report.json holds besides the
    numbers.
    """

    name: str
    written: str
    lines: Callable[[Numbers], Sequence[str]]
    page: Callable[[Finding, str], Page]
    curves: Callable[[Finding], Numbers] = no_curves

    def data(self, found: Finding) -> dict[str, Any]:
        """The content of report.json."""
        return {"schema": f"mpop.{self.written}/v1", **found.numbers, **self.curves(found)}

    def write(self, directory: Path, found: Finding, footer: str = "") -> Path:
        """Write report.html and report.json; returns the path of the page."""
        return write_page(directory, self.page(found, footer), self.data(found))
