"""How many threads this process may compute in; those that only wait, for a disk or a network, do not count.

Pools of threads ask `allowed` how large they may be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_limit: int | None = None


def available() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def allowed() -> int:
    """As many as the innermost `at_most` says; all that are available where none does."""
    return available() if _limit is None else _limit


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Within, `allowed` is this number: in all threads of the process."""
    global _limit
    before, _limit = _limit, threads
    try:
        yield
    finally:
        _limit = before
