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
from dataclasses import dataclass, replace
from functools import wraps
from typing import ParamSpec, TypeVar

from mpop_store.progress import Progress as Progress
from mpop_store.progress import silent
from mpop_store.threads import at_most

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Run:
    """device: `cpu`, `cuda:N`, or `cuda` for the first one and, where a step can use several, for all. threads: at
    least 1."""

    device: str = "cpu"
    threads: int = 1
    progress: Progress = silent

    @property
    def on_cpu(self) -> Run:
        """The same, for what runs on the processor alone."""
        return replace(self, device="cpu")

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


def limited(job: Callable[P, R]) -> Callable[P, R]:
    """Let a job run within the limits of the `Run` among its arguments; those of `Run()` where there is none."""

    @wraps(job)
    def within(*args: P.args, **options: P.kwargs) -> R:
        found = [one for one in (*args, *options.values()) if isinstance(one, Run)]
        with (found[0] if found else Run()).limits():
            return job(*args, **options)

    return within


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
