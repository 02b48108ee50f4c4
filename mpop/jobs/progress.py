"""How long-running work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with task, done, total as work advances; cheap to call often. A new task name starts a new bar."""


def silent(task: str, done: int, total: int) -> None:
    """A listener that ignores everything."""
