"""Objects: immutable byte strings named by the BLAKE3 of their content, one file each."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from mpop_store.durable import fsync_all
from mpop_store.encoding import MAX_CONTENT, decode, encode
from mpop_store.errors import MissingObjectError, StoreError
from mpop_store.hashing import hash_bytes

TEMPORARY = "tmp-"
ABANDONED_AFTER_S = 24 * 3600.0


class ObjectStore:
    """The objects below one folder, `ab/cdef...` by name."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._unsynced: set[Path] = set()

    def path(self, name: str) -> Path:
        """Where an object lives. Raises StoreError for something that is not a name."""
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
            raise StoreError(f"{name!r} is not the name of an object")
        return self.root / name[:2] / name[2:]

    def has(self, name: str) -> bool:
        """Whether an object is here (its content is not checked)."""
        return self.path(name).is_file()

    def names(self) -> Iterator[str]:
        """All objects here, in order."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for file in sorted(folder.iterdir()):
                if len(file.name) == 62:
                    yield folder.name + file.name

    def put(self, data: bytes, itemsize: int = 1) -> str:
        """Store content and return its name; content that is here already is not written again.

        itemsize: bytes of one number, for the compressor's shuffle. Raises StoreError, and then leaves nothing.
        """
        if len(data) > MAX_CONTENT:
            raise StoreError(f"an object of {len(data)} bytes is larger than the store's limit of {MAX_CONTENT}")
        name = hash_bytes(data)
        target = self.path(name)
        if not target.exists():
            self._write(target, encode(data, itemsize))
        self._unsynced.add(target)  # also if it was here: who wrote it may have died before its sync
        return name

    def _write(self, target: Path, blob: bytes) -> None:
        temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(blob)
            temporary.chmod(0o444)
            os.replace(temporary, target)
        except OSError as error:
            raise StoreError(f"cannot write to the store at {self.root}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def get(self, name: str) -> bytes:
        """The content of an object, checked against its name.

        Raises MissingObjectError or DamagedObjectError.
        """
        try:
            blob = self.path(name).read_bytes()
        except FileNotFoundError as error:
            raise MissingObjectError(f"object {name} is not in the store at {self.root}") from error
        except OSError as error:
            raise StoreError(f"object {name} cannot be read: {error.strerror or error}") from error
        return decode(blob, name)

    def size(self, name: str) -> int:
        """Bytes that an object takes on disk."""
        return self.path(name).stat().st_size

    def sync(self) -> None:
        """Make everything put so far survive a power cut; once per commit, before the commit."""
        try:
            fsync_all(self._unsynced)
        except OSError as error:
            raise StoreError(f"cannot sync the store at {self.root}: {error.strerror or error}") from error
        self._unsynced.clear()

    def clean(self, older_than_s: float = ABANDONED_AFTER_S) -> None:
        """Remove what killed writers left behind; a younger file may belong to a writer at work."""
        for leftover in self.root.glob(f"??/{TEMPORARY}*"):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime >= older_than_s:
                    leftover.unlink()
