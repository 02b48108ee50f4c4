"""Making files survive a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TEMPORARY = "tmp-"
"""How the name of a file begins that is being written; once whole, it is renamed."""

PARALLEL = 16
"""Syncs in flight at once: a journalling file system commits them together, so many cost little more than one."""


def fsync_all(files: Iterable[Path]) -> None:
    """Write files, and then the folders that name them, through to the disk. Raises OSError."""
    from concurrent.futures import ThreadPoolExecutor  # takes longer to import than most commands need to run

    files = list(files)
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(fsync, files))
        list(pool.map(fsync, sorted({file.parent for file in files})))


def fsync(path: Path) -> None:
    """Write one file or folder through to the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
