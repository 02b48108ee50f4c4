"""What a policy says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A rule that a commit would break: which rule, what breaks it, what to do."""

    rule: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} ({self.path}; rule {self.rule})"
