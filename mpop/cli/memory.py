"""Out of memory, whichever library ran into it: one line with what was needed and what there is."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Iterator

UNITS = {"bytes": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40, "PiB": 2.0**50}
WANTED = re.compile(r"(?:[Uu]nable to allocate|tried to allocate|Tried to allocate) ([\d.]+) (bytes|[KMGTP]iB)")
"""In the words of numpy, of torch on the CPU and of torch on a GPU."""
OF_DEVICE = ("CUDA out of memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED", "CUFFT_ALLOC_FAILED")
OF_HOST = (
    "can't allocate memory",
    "Cannot allocate memory",
    "cannot allocate memory",
    "failed to map segment from shared object",  # a library that did not fit
    "can't start new thread",  # whose stack did not fit
    "std::bad_alloc",
)


def out_of_memory(error: BaseException) -> str | None:
    """The line, where an error, or one that it was made from, is a want of memory; None for all others."""
    for one in _origins(error):
        words = str(one)
        if any(mark in words for mark in OF_DEVICE):
            wanted = _wanted(words)
            return f"out of memory on the GPU{wanted}; run it with --device cpu, or on a GPU with more memory"
        if _on_host(one, words):
            return f"out of memory{_wanted(words)}; {_situation()}; give it more, or use fewer --threads"
    return None


def _origins(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _on_host(error: BaseException, words: str) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError | ImportError) and any(mark in words for mark in OF_HOST)


def _wanted(words: str) -> str:
    found = WANTED.search(words)
    if found is None:
        return ""
    return f": {_in_GiB(float(found[1]) * UNITS[found[2]])} more were needed at once"


def _situation() -> str:
    """What the process has had, and what it may have."""
    had = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        there = f"it may address {_in_GiB(limit)} (ulimit -v)"
    else:
        there = f"this machine has {_in_GiB(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))}"
    return f"this process had {_in_GiB(had)}, and {there}"


def _in_GiB(size: float) -> str:
    return f"{size / UNITS['GiB']:.3g} GiB"
