"""Bars on standard error for what takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mpop_store.terminal import visible

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Listener = Callable[[str, int, int], None]
"""Hears the name of a task, how much is done, and of how much."""


@contextmanager
def progress_bars() -> Iterator[Listener]:
    """A listener for jobs that draws one bar per task on stderr; silent when that is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (_label(24), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with _bars(columns) as listen:
        yield listen


@contextmanager
def transfer_bar() -> Iterator[Listener]:
    """A listener that draws bytes, speed and time left on stderr; silent when that is not a terminal."""
    import sys

    if not sys.stderr.isatty():  # rich takes longer to load than a small fetch
        yield lambda task, done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (_label(10), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _bars(columns) as listen:
        yield listen


def _label(width: int) -> ProgressColumn:
    """The name of a task, literally: brackets in it are no markup."""
    from rich.progress import TextColumn

    return TextColumn(f"{{task.description:<{width}}}", markup=False)


@contextmanager
def _bars(columns: tuple[ProgressColumn, ...]) -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def listen(task: str, done: int, total: int) -> None:
            if task not in tasks or (done <= 1 and bars.tasks[tasks[task]].finished):
                tasks[task] = bars.add_task(" ".join(visible(task).split()), total=total)
            bars.update(tasks[task], completed=done, total=total)

        yield listen
