"""Objects in one file each, `ab/cdef...` by name: where new objects land."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from mpop_store.durable import TEMPORARY, fsync_all
from mpop_store.errors import DamagedObjectError, StoreError
from mpop_store.machines import silent_s
from mpop_store.objects.encoding import MAX_CONTENT, check_file
from mpop_store.regular_files import open_regular

ABANDONED_AFTER_S = 24 * 3600.0
NAME = re.compile("[0-9a-f]{64}")
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
"""Bits in the mode of a file: what can be written to may have been torn by a power cut, and is not trusted."""
LARGEST_FILE = MAX_CONTENT + 4096
"""Bytes of the largest file that can hold an object."""


class LooseObjects:
    """The objects below one folder. Content is neither encoded nor checked here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = str(root)

    def path(self, name: str) -> Path:
        """Where an object lives. Raises StoreError for something that is not a name."""
        return Path(self._file(name))

    def _file(self, name: str) -> str:
        """As `path`, as text: making a Path takes longer than looking whether the file is there."""
        if NAME.fullmatch(name) is None:
            raise StoreError(f"{name!r} is not the name of an object")
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def has(self, name: str) -> bool:
        """Whether there is a file for an object."""
        return os.path.isfile(self._file(name))

    def read(self, name: str) -> bytes | None:
        """The file of an object, None if there is none. Raises DamagedObjectError for one of absurd size."""
        try:
            with open_regular(self._file(name)) as file:
                if os.fstat(file.fileno()).st_size > LARGEST_FILE:
                    raise DamagedObjectError(f"object {name} is damaged: its file is larger than any object")
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"object {name} cannot be read: {error.strerror or error}") from error

    def write(self, name: str, blob: bytes) -> Path:
        """Put a file in place; not synced. Raises StoreError, and then leaves nothing."""
        target = self.path(name)
        temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(blob)
            os.replace(temporary, target)
        except OSError as error:
            raise StoreError(f"cannot write to the store at {self.root}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        return target

    def freshen(self, name: str) -> Path | None:
        """Mark an object as used now, so that no garbage collection takes it; None if that cannot be done.

        A file that was not synced before and is not whole counts as not there.
        """
        file = self._file(name)
        try:
            if not _is_synced(file):
                check_file(self.read(name) or b"", name)
            os.utime(file)
        except (OSError, DamagedObjectError):  # not here, another user's, or torn
            return None
        return Path(file)

    def sync(self, paths: Iterable[Path]) -> None:
        """Write files through to the disk. Raises OSError."""
        paths = [path for path in paths if not _is_synced(path)]
        fsync_all(paths)
        for path in paths:
            with contextlib.suppress(PermissionError):  # another user's: he, or the next one, syncs it again
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~WRITABLE)

    def names(self) -> Iterator[str]:
        """All objects here, in order."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for file in sorted(os.listdir(folder)):
                if len(file) == 62:
                    yield folder.name + file

    def clean(self, older_than_s: float = ABANDONED_AFTER_S) -> None:
        """Remove what killed writers left behind; a younger file may belong to a writer at work."""
        remove_leftovers(self.root, f"??/{TEMPORARY}*", older_than_s)


def _is_synced(path: str | Path) -> bool:
    return not os.stat(path).st_mode & stat.S_IWUSR


def remove_leftovers(folder: Path, pattern: str, older_than_s: float) -> None:
    """Remove temporary files whose last write is long ago."""
    for leftover in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if silent_s(leftover, time.time()) >= older_than_s:
                leftover.unlink()
