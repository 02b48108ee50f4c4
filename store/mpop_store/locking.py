"""One writer at a time, across processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from mpop_store.errors import StoreError

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


class Lock:
    """A lock on a file, held by a process; whoever holds it may take it again.

    first: what to do each time that the lock has been taken, before anything else.
    """

    def __init__(self, path: Path, first: Callable[[], object] | None = None) -> None:
        self._path = path
        self._first = first
        self._thread = RLock()
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, and hold it inside. Raises StoreError where the file system has no locks."""
        with self._thread:
            if self._depth:
                yield
                return
            with self._path.open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX)
                except OSError as error:
                    if error.errno in NO_LOCKS:
                        raise StoreError(
                            f"{self._path}: this file system has no locks (flock); use one that has"
                        ) from error
                    raise
                self._depth += 1
                try:
                    if self._first is not None:
                        self._first()
                    yield
                finally:
                    self._depth -= 1


GIT_HOLDS_S = 1.0
"""Longer than Git takes for what it does under the lock of one file."""


def break_abandoned(file: Path) -> None:
    """Remove the lock of Git's on a file, `<file>.lock`, if whoever took it must be dead: it stays.

    To be called under the population's lock, so that no other mpop can be the one that holds it.
    """
    lock = file.with_name(f"{file.name}.lock")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        first = lock.stat()
        end = time.monotonic() + GIT_HOLDS_S
        while time.monotonic() < end:
            time.sleep(0.02)
            if lock.stat().st_ino != first.st_ino:
                return  # somebody is at work there
        lock.unlink()
