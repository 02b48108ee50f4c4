"""How long-running work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work advances; cheap to call often."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """`done` of `total` steps of `task` are complete; a new task name starts a new bar."""
        ...


def silent(task: str, done: int, total: int) -> None:
    """A listener that ignores everything."""
