"""Bars on standard error for what takes long."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mpop.run import Progress, silent
from mpop_store.terminal import visible

if TYPE_CHECKING:
    from rich.progress import ProgressColumn


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Progress that is drawn as one bar per task on stderr; silent when that is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (_label(24), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with _bars(columns) as listen:
        yield listen


@contextmanager
def transfer_bar() -> Iterator[Progress]:
    """Progress that is drawn as bytes, speed and time left on stderr; silent when that is not a terminal."""
    if not sys.stderr.isatty():  # rich takes longer to load than a small fetch
        yield silent
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
def _bars(columns: tuple[ProgressColumn, ...]) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def listen(task: str, done: int, total: int) -> None:
            if task not in tasks or (done <= 1 and bars.tasks[tasks[task]].finished):
                tasks[task] = bars.add_task(" ".join(visible(task).split()), total=total)
            bars.update(tasks[task], completed=done, total=total)

        yield listen
