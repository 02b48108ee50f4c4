"""How work runs: on which device, in how many threads, and who hears how far it is. Nothing here decides a result;
what does, seeds among it, are parameters of a job.

Libraries have threads of their own. `Run.limits` is the one place that says how many:

    with run.limits():
        spectrum = scipy.fft.rfftn(volume)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from mpop_store.threads import at_most


class Progress(Protocol):
    """Called as work advances; cheap to call often. A new task name starts a new bar."""

    def __call__(self, task: str, done: int, total: int, /) -> None: ...


def silent(task: str, done: int, total: int, /) -> None:
    """Progress that nobody listens to."""


@dataclass(frozen=True)
class Run:
    """device: `cpu`, `cuda:N`, or `cuda` for the first one and, where a step can use several, for all. threads: at
    least 1."""

    device: str = "cpu"
    threads: int = 1
    progress: Progress = silent

    @contextmanager
    def limits(self) -> Iterator[None]:
        """Within, no library that is loaded by now computes in more threads; after, each is as it was before.

        What computes imports its libraries with its module, so before it begins.
        """
        with ExitStack() as stack:
            for library, limit in _LIMITS.items():
                if library in sys.modules:
                    stack.enter_context(limit(self.threads))
            yield


def _fft(threads: int) -> AbstractContextManager[None]:
    import scipy.fft

    return scipy.fft.set_workers(threads)


def _pools(threads: int) -> AbstractContextManager[object]:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(threads)


@contextmanager
def _numba(threads: int) -> Iterator[None]:
    import numba

    before = numba.get_num_threads()
    most = numba.config.NUMBA_NUM_THREADS  # pyright: ignore  # of the pool, which never grows
    numba.set_num_threads(min(threads, most))
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextmanager
def _torch(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_LIMITS: dict[str, Callable[[int], AbstractContextManager[object]]] = {
    "mpop_store.threads": at_most,
    "scipy.fft": _fft,
    "numba": _numba,  # loads its pool
    "torch": _torch,
    "numpy": _pools,
}
