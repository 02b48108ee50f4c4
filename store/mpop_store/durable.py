"""Making files survive a power cut."""

from __future__ import annotations

import errno
import os
import stat
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


def read_file(path: Path) -> bytes:
    """The content of a file. Raises OSError, also for what is no file: a named pipe would never end."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        _require_regular(os.fstat(handle), path)
        return file.read()


def require_file(path: Path) -> None:
    """Raise OSError if something that is neither a file nor a folder lies there, such as a named pipe."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(found.st_mode):
        _require_regular(found, path)


def _require_regular(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "this is no file", str(path))
