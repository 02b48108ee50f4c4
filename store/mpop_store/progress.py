"""How long work reports how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work advances; cheap to call often. A new task name starts a new bar."""

    def __call__(self, task: str, done: int, total: int, /) -> None: ...


def silent(task: str, done: int, total: int, /) -> None:
    """Progress that nobody listens to."""
