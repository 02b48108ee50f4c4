"""Packing: loose objects into packs, small packs into larger ones, and Git's own objects by Git."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mpop_store.errors import DamagedObjectError, StoreError
from mpop_store.git.history import History
from mpop_store.locking import Lock
from mpop_store.objects.encoding import check_file
from mpop_store.objects.pack_stream import PackStream
from mpop_store.objects.packs import TARGET_SIZE
from mpop_store.objects.store import ObjectStore

MANY_SMALL = 8
"""So many packs below half the usual size are made into one."""
MANY_LOOSE = 6400
"""So many loose objects are worth packing without being asked."""
LARGEST_IN_GIT = "1g"
"""Bytes that Git may take at a time; a few bytes can unpack to any size."""


@dataclass(frozen=True)
class Packing:
    """What was done. git: whether Git's own objects were packed too; False where there is no `git`."""

    objects: int
    bytes: int
    packs: int
    """Packs there are now."""
    united: int
    """Small packs that went into larger ones."""
    damaged: list[str]
    """Loose objects that were left as they are, for `mpop verify`."""
    git: bool


def pack(history: History) -> Packing:
    """Pack everything, while others read and write. Killed at any moment, it leaves objects twice at worst."""
    objects = history.objects
    try:
        with Lock(history.private / "maintenance").held():
            packed, size, damaged = _pack_loose(objects)
            united = _unite_small(objects)
            objects.clean()
        return Packing(packed, size, len(objects.packed.packs()), united, damaged, pack_git(history.git_directory))
    except OSError as error:
        raise StoreError(f"cannot write to {objects.root.parent}: {error.strerror or error}") from error


def has_many_loose(objects: ObjectStore) -> bool:
    """Whether there are so many loose objects that they should be packed; judged by one folder of 256."""
    try:
        return 256 * len(os.listdir(objects.root / "17")) > MANY_LOOSE
    except FileNotFoundError:
        return False


def _pack_loose(objects: ObjectStore) -> tuple[int, int, list[str]]:
    """Number and bytes of objects that were packed, and names of damaged ones."""
    damaged: list[str] = []
    count = size = 0
    for batch in _batches(objects):
        done: list[str] = []
        with PackStream(objects.packed.folder) as stream:
            for name in batch:
                try:
                    blob = objects.loose.read(name)
                    if blob is None:  # somebody else has moved it
                        continue
                    check_file(blob, name)
                except DamagedObjectError:
                    damaged.append(name)
                    continue
                stream.add(name, blob)
                done.append(name)
                size += len(blob)
        for name in done:
            objects.path(name).unlink(missing_ok=True)
        count += len(done)
    return count, size, damaged


def _batches(objects: ObjectStore) -> Iterator[list[str]]:
    """Names of loose objects for one pack each, in the order in which they were written: what belongs together was
    written together."""
    found: list[tuple[int, int, str]] = []
    for name in objects.loose.names():
        with contextlib.suppress(FileNotFoundError):
            status = objects.path(name).stat()
            found.append((status.st_mtime_ns, status.st_size, name))
    batch: list[str] = []
    size = 0
    for _, length, name in sorted(found):
        batch.append(name)
        size += length
        if size >= TARGET_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _unite_small(objects: ObjectStore) -> int:
    """Copy many small packs into few; returns how many there were."""
    small = [one for one in objects.packed.packs() if one.stat().st_size < TARGET_SIZE // 2]
    if len(small) < MANY_SMALL:
        return 0
    copied: list[Path] = []
    with PackStream(objects.packed.folder) as stream:
        for one in small:
            with contextlib.suppress(DamagedObjectError):  # which is for `mpop verify`
                stream.copy(one)
                copied.append(one)
    for one in copied:
        if one not in stream.finished:
            one.unlink(missing_ok=True)
    return len(copied)


def pack_git(directory: Path) -> bool:
    """Pack all of Git's objects, needed or not; False where there is no `git`. Raises StoreError or OSError."""
    if shutil.which("git") is None:
        return False
    command = ["git", f"--git-dir={directory}", "repack", "-a", "-d", "-k", "-q"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment["GIT_ALLOC_LIMIT"] = LARGEST_IN_GIT
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if "diskspace" in done.stderr:  # as Git calls it
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if done.returncode:
        raise StoreError(f"git could not pack its objects: {' '.join(done.stderr.split()) or done.returncode}")
    return True
