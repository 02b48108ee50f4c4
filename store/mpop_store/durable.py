"""Making files survive a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PARALLEL = 16
"""Syncs in flight at once: a journalling file system commits them together, so many cost little more than one."""


def fsync_all(files: Iterable[Path]) -> None:
    """Write files, and then the folders that name them, through to the disk. Raises OSError."""
    files = list(files)
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(_fsync, files))
        list(pool.map(_fsync, sorted({file.parent for file in files})))


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
