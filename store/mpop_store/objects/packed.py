"""The objects in the packs of one folder. Several processes may add packs, and replace them, while others read."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mpop_store.durable import TEMPORARY
from mpop_store.errors import DamagedObjectError, StoreError
from mpop_store.objects.loose import ABANDONED_AFTER_S, remove_leftovers
from mpop_store.objects.pack_index import EMPTY, PackIndex, list_packs, read_index, update, write_index
from mpop_store.objects.packs import raw_name, read_table, recover_table
from mpop_store.regular_files import open_handle

INDEX = "index"
RACY_S = 2.0
"""A folder that was changed so shortly before it was listed may change again within one tick of its clock."""
FRESH_S = 1.0
"""A pack that was marked as used so shortly ago is not marked again: many of its objects may be asked for."""
NEVER = (-1, 0.0)
"""Instead of the time of the folder, in ns, and the time at which it was listed, in seconds."""


class PackedObjects:
    """Objects found through one index. Content is neither encoded nor checked here.

    keep_index: whether to keep the index in a file.
    """

    def __init__(self, folder: Path, keep_index: bool = True) -> None:
        self.folder = folder
        self._folder = str(folder)
        self._keep_index = keep_index
        self._index: PackIndex | None = None
        self._listed_at = NEVER
        self._freshened: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def index(self) -> PackIndex:
        """Where everything is; what other processes have added since may be lacking."""
        return self._index or self._load()

    def refresh(self) -> bool:
        """Look for packs that have been added or taken away; whether there are."""
        before = self._index
        return self._load() is not before

    def _load(self) -> PackIndex:
        with self._lock:
            try:
                changed = os.stat(self._folder).st_mtime_ns
            except FileNotFoundError:
                changed = 0
            seen, listed = self._listed_at
            if self._index is not None and changed == seen and listed - changed / 1e9 > RACY_S:
                return self._index
            now = time.time()
            packs = list(list_packs(self.folder))
            if self._index is None or list(self._index.packs) != packs:
                self._index = self._up_to_date(packs)
            self._listed_at = (changed, now)
            return self._index

    def _up_to_date(self, packs: list[str]) -> PackIndex:
        if not packs:
            return EMPTY
        file = self.folder / INDEX
        kept = read_index(file) if self._keep_index else None
        known = self._index if kept is None else kept
        try:
            index = update(self.folder, packs, known or EMPTY)
        except OSError as error:
            raise StoreError(f"the packs in {self.folder} cannot be read: {error}") from error
        if self._keep_index and index is not kept:
            write_index(file, index)
        return index

    def find(self, name: str) -> Path | None:
        """The pack that holds an object, as far as is known without looking at the folder again."""
        found = self.index.find(name)
        return None if found is None else Path(self._file(found[0]))

    def _file(self, pack: str) -> str:
        """Where a pack lies, as text: making a Path takes longer than reading a small object."""
        return f"{self._folder}/{pack}"

    def read(self, name: str) -> bytes | None:
        """The file of an object, None if no pack has it."""
        for _ in range(8):  # each time round, another process has replaced packs
            found = self.index.find(name)
            if found is not None:
                pack, offset, length = found
                try:
                    return read_range(self._file(pack), offset, length)
                except FileNotFoundError:
                    self._listed_at = NEVER  # whatever the folder's time says: network file systems remember it
            if not self.refresh():
                return None
        raise StoreError(f"the packs in {self.folder} change faster than they can be read")

    def size(self, name: str) -> int | None:
        """Bytes of an object's file, None if no pack has it."""
        found = self.index.find(name)
        return None if found is None else found[2]

    def freshen(self, name: str) -> bool:
        """Mark the pack of an object as used now, so that it does not count as garbage; whether that was done."""
        found = self.index.find(name)
        if found is None:
            return False
        pack, now = found[0], time.monotonic()
        if now - self._freshened.get(pack, -math.inf) > FRESH_S:
            try:
                os.utime(self._file(pack))
            except OSError:  # replaced by another, or another user's
                return False
            self._freshened[pack] = now
        return True

    def names(self) -> Iterator[str]:
        """All objects here, in order, each once."""
        self.refresh()
        names = self.index.names
        for place in range(len(names)):
            if place == 0 or names[place] != names[place - 1]:
                yield raw_name(names, place)

    def packs(self) -> list[Path]:
        """All packs, by name."""
        self.refresh()
        return [self.folder / pack for pack in self.index.packs]

    def rows(self, pack: Path) -> Iterator[tuple[str, int, int]]:
        """Name, offset and length of everything in a pack; if its table is damaged, of all that is known of it."""
        try:
            yield from read_table(pack).rows()
            return
        except DamagedObjectError:
            index = self.index
        with contextlib.suppress(DamagedObjectError):
            yield from recover_table(pack).rows()
        if pack.name in index.packs:
            yield from index.of_pack(pack.name).rows()

    def correct(self, pack: Path) -> bool:
        """Compare the index with a pack that is sound, and mend it; whether that was called for."""
        index = self.index
        if pack.name not in index.packs:
            return True
        try:
            known, read = index.of_pack(pack.name), read_table(pack)
        except DamagedObjectError:
            return False
        columns = ((known.names, read.names), (known.offsets, read.offsets), (known.lengths, read.lengths))
        if all(np.array_equal(one, other) for one, other in columns):
            return False
        others = update(self.folder, [name for name in index.packs if name != pack.name], index)
        with self._lock:
            self._index = update(self.folder, index.packs, others)
        if self._keep_index:
            write_index(self.folder / INDEX, self._index)
        return True

    def clean(self, older_than_s: float = ABANDONED_AFTER_S) -> None:
        """Remove what killed writers left behind; a younger file may belong to a writer at work."""
        remove_leftovers(self.folder, f"{TEMPORARY}*", older_than_s)


def read_range(path: str | Path, offset: int, length: int) -> bytes:
    """Part of a pack; shorter where the file ends. Raises FileNotFoundError or StoreError."""
    try:
        handle, size = open_handle(path)
        try:
            return b"" if offset >= size else os.pread(handle, min(length, size - offset), offset)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
