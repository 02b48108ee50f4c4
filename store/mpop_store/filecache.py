"""What files hash to, remembered for as long as nothing about them changes, so that terabytes are read only once.

A file is taken to be unchanged when device, inode, size and both times are what they were. A file that was changed
so shortly before it was read that another change could leave the same times is not remembered (Git's "racy" rule).
The memory is one SQLite file. It may be deleted at any time, and then every file is read again; a damaged one is
deleted, and every row has a checksum, so that no wrong hash comes out of it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mpop_store.hashing import hash_bytes, hash_file

if TYPE_CHECKING:
    import sqlite3

RACY_NS = 2 * 10**9
"""Of two changes within this time the second may not show: times are that coarse on some file systems."""
BUSY_S = 1.0
"""How long to wait for another process that writes; after that the file is read."""
NOT_NOW = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL")
"""Errors that say nothing against what is kept. Others mean damage."""


@dataclass(frozen=True)
class FileState:
    """What tells a file from its earlier self without reading it, and when that was looked at (ns)."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    seen_ns: int

    @classmethod
    def of(cls, path: str | Path) -> Self:
        """The state of a file, of its target if it is a link. Raises OSError."""
        seen = time.time_ns()
        found = os.stat(path)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, seen)

    @property
    def text(self) -> str:
        """Everything but the time of looking."""
        return f"{self.device} {self.inode} {self.size} {self.mtime_ns} {self.ctime_ns}"

    @property
    def is_racy(self) -> bool:
        """Whether the file may change again without a trace in its state."""
        return self.seen_ns - max(self.mtime_ns, self.ctime_ns) < RACY_NS


class FileCache:
    """Hashes of files by path. path: where they are kept; nothing is kept where that cannot be written."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def hash(self, path: str | Path) -> str:
        """BLAKE3 of a file; it is read only if it may have changed since the last time. Raises OSError."""
        state = FileState.of(path)
        known = self._recall(path, state)
        if known is None:
            known = hash_file(path)
            self.remember(path, state, known)
        return known

    def remember(self, path: str | Path, state: FileState, digest: str) -> None:
        """Keep the hash of a file that was read after its state was taken, unless it has changed meanwhile."""
        try:
            if state.is_racy or FileState.of(path).text != state.text:
                return
        except OSError:
            return
        key = _key(path)
        row = (key, state.text, digest, _checksum(key, state.text, digest))
        self._execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)

    def _recall(self, path: str | Path, state: FileState) -> str | None:
        key = _key(path)
        found = self._execute("SELECT state, hash, checksum FROM files WHERE path = ?", (key,))
        for kept, digest, checksum in found:
            if kept == state.text and checksum == _checksum(key, kept, digest):
                return digest
        return None

    def _execute(self, statement: str, values: tuple[bytes | str, ...]) -> list[tuple[str, str, str]]:
        """Run a statement; nothing comes back from a file that is damaged or in use."""
        import sqlite3

        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                return self._connection.execute(statement, values).fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if not getattr(error, "sqlite_errorname", "").startswith(NOT_NOW):
                    self._start_again()
                return []

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        weakref.finalize(self, connection.close)
        connection.execute("PRAGMA synchronous = OFF")  # rows have checksums, and all of it may be lost
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS files"
            " (path BLOB PRIMARY KEY, state TEXT, hash TEXT, checksum TEXT) WITHOUT ROWID"
        )
        return connection

    def _start_again(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with contextlib.suppress(OSError):
            self._path.unlink()


def _key(path: str | Path) -> bytes:
    return os.fsencode(os.path.abspath(path))


def _checksum(key: bytes, state: str, digest: str) -> str:
    return hash_bytes(key + f"\0{state} {digest}".encode())[:16]
