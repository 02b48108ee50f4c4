"""What a policy says."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Violation:
    """A rule that a change would break: which rule, what breaks it and where, what to do.

    severity: "refuse" stops the change; "note" is only reported.
    """

    rule: str
    path: str
    message: str
    advice: str = ""
    severity: Literal["refuse", "note"] = "refuse"

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        where = f"{self.path}; " if self.path else ""
        return f"{self.message} ({where}rule {self.rule}){advice}"


def tell(findings: list[Violation]) -> None:
    """Log the notes; on the command line they end up on standard error, also from the far side of ssh."""
    for finding in findings:
        if finding.severity == "note":
            logging.getLogger("mpop").warning("mpop: note: %s", finding)


def refusals(findings: list[Violation]) -> list[Violation]:
    """The findings that stop a change."""
    return [finding for finding in findings if finding.severity == "refuse"]
