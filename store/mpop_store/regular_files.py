"""Files that a stranger may have put there: a named pipe, for one, never ends for who reads it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from mpop_store.errors import DamagedObjectError


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file to read. Raises as `open_handle` does."""
    return os.fdopen(open_handle(path)[0], "rb")


def open_handle(path: str | Path) -> tuple[int, int]:
    """Open a file to read: its descriptor, and its size in bytes.

    Raises OSError, and DamagedObjectError for a link, a pipe or whatever else a stranger may have put there.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise DamagedObjectError(f"{path} is not a regular file") from error
        raise
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise DamagedObjectError(f"{path} is not a regular file")
    return handle, about.st_size


def require_file(path: Path) -> None:
    """Raise DamagedObjectError if what lies there is neither a file nor a folder, nor a link to one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DamagedObjectError(f"{path} is not a regular file")
