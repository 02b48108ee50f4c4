"""Objects: immutable byte strings named by the BLAKE3 of their content.

New objects lie in a file each, older ones in packs; garbage waits in the trash, damaged ones in quarantine. What
is in the trash is still here: whoever asks for it brings it back. All of these are folders beside `objects`.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mpop_store.errors import DamagedObjectError, MissingObjectError, StoreError
from mpop_store.hashing import hash_bytes
from mpop_store.objects.encoding import MAX_CONTENT, check_file, decode, encode
from mpop_store.objects.leases import Leases
from mpop_store.objects.loose import ABANDONED_AFTER_S, LooseObjects
from mpop_store.objects.packed import PackedObjects
from mpop_store.objects.quarantine import Quarantine
from mpop_store.objects.trash import Trash

MOST_COPIES = 8
"""How many damaged copies of an object are put aside in one read."""


class ObjectStore:
    """The objects of one population. root: the folder `objects`.

    fetch_missing: asked to bring objects from elsewhere, many at once, when they are not here; it may bring fewer.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        home = self.root.parent
        self.loose = LooseObjects(self.root)
        self.packed = PackedObjects(home / "packs")
        self.trash = Trash(home / "trash")
        self.leases = Leases(home / "leases")
        self.quarantine = Quarantine(home / "quarantine", self.loose, self.packed)
        self.fetch_missing: Callable[[Sequence[str]], None] | None = None
        self._unsynced: set[Path] = set()

    def path(self, name: str) -> Path:
        """Where an object lies if it has a file of its own. Raises StoreError for something that is not a name."""
        return self.loose.path(name)

    def offline(self) -> ObjectStore:
        """The same store, which asks nobody else for what is missing."""
        other = copy.copy(self)
        other.fetch_missing = None
        return other

    def has(self, name: str) -> bool:
        """Whether an object is here (its content is not checked)."""
        if self.loose.has(name) or self.packed.find(name) is not None:
            return True
        if self.packed.refresh() and self.packed.find(name) is not None:
            return True
        return self._bring_back(name) is not None

    def names(self) -> Iterator[str]:
        """All objects here, in order; what is in the trash or in quarantine does not count."""
        last = ""
        for name in heapq.merge(self.loose.names(), self.packed.names()):
            if name != last:
                yield name
            last = name

    def put(self, data: bytes | memoryview, itemsize: int = 1) -> str:
        """Store content and return its name; content that is here already is not written again.

        itemsize: bytes of one number, for the compressor's shuffle. Raises StoreError, and then leaves nothing.
        """
        if len(data) > MAX_CONTENT:
            raise StoreError(f"an object of {len(data)} bytes is larger than the store's limit of {MAX_CONTENT}")
        name = hash_bytes(data)
        if not self.freshen(name):
            self.put_file(name, encode(data, itemsize))
        return name

    def put_file(self, name: str, blob: bytes) -> None:
        """Store an object in its encoded form, which must have been checked. Raises StoreError."""
        self._unsynced.add(self.loose.write(name, blob))

    def freshen(self, name: str) -> bool:
        """Keep an object that is here from being collected as garbage for a while; False if it is not here."""
        path = self.loose.freshen(name)
        if path is not None:
            self._unsynced.add(path)  # who wrote it may have died before its sync
        return path is not None or self.packed.freshen(name)

    def get(self, name: str, at_most: int = MAX_CONTENT) -> bytes:
        """The content of an object, checked against its name; fetched if it is not here, or damaged.

        at_most: bytes that it may hold. Raises MissingObjectError, DamagedObjectError or TooLargeError.
        """
        return self._load(name, lambda blob, name: decode(blob, name, at_most))

    def read_file(self, name: str) -> bytes:
        """An object in its encoded form, for another store to receive. Raises as `get` does."""

        def checked(blob: bytes, name: str) -> bytes:
            check_file(blob, name)
            return blob

        return self._load(name, checked)

    def _load(self, name: str, read: Callable[[bytes, str], bytes]) -> bytes:
        try:
            return self._load_here(name, read)
        except (MissingObjectError, DamagedObjectError):
            if self.fetch_missing is None:
                raise
            self.fetch_missing([name])
            return self._load_here(name, read)

    def _load_here(self, name: str, read: Callable[[bytes, str], bytes]) -> bytes:
        """Read a copy that is sound, and put those that are not into quarantine."""
        damage: DamagedObjectError | None = None
        for _ in range(MOST_COPIES):
            try:
                blob = self._blob(name)
                if blob is None:
                    break
                return read(blob, name)
            except DamagedObjectError as error:
                damage = error
                if not self.quarantine.take(name):
                    break
        if damage is not None:
            raise damage
        hint = " (a damaged copy is in quarantine)" if self.quarantine.has(name) else ""
        raise MissingObjectError(f"object {name} is not in the store at {self.root}{hint}")

    def _blob(self, name: str) -> bytes | None:
        blob = self.loose.read(name)
        if blob is None:
            blob = self.packed.read(name)
        return self._bring_back(name) if blob is None else blob

    def _bring_back(self, name: str) -> bytes | None:
        """The file of an object out of the trash, which is put back into the store if that can be written."""
        blob = self.trash.read(name)
        if blob is not None:
            try:
                decode(blob, name)
                self.put_file(name, blob)
            except DamagedObjectError:
                return None
            except StoreError:
                pass  # a store that cannot be written can still be read
        return blob

    def prefetch(self, names: Iterable[str]) -> None:
        """Fetch those that are not here, all in one request; does nothing where there is nobody to ask."""
        if self.fetch_missing is not None:
            missing = [name for name in dict.fromkeys(names) if not self.has(name)]
            if missing:
                self.fetch_missing(missing)

    def recheck(self, names: Iterable[str]) -> None:
        """Make sure that objects are here, at the last moment before a reference leads to them.

        To be called under the lock that garbage collection takes, and before `sync`: what was in the trash is
        written again. Raises MissingObjectError: somebody has removed them since they were written.
        """
        self.packed.refresh()
        missing = [name for name in names if not self.has(name)]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise MissingObjectError(f"object {missing[0]}{more} was removed meanwhile; run the command again")

    def size(self, name: str) -> int:
        """Bytes that an object takes on disk. Raises MissingObjectError."""
        try:
            return self.path(name).stat().st_size
        except FileNotFoundError:
            size = self.packed.size(name)
        if size is None:
            raise MissingObjectError(f"object {name} is not in the store at {self.root}")
        return size

    def sync(self) -> None:
        """Make everything put so far survive a power cut; once per commit, before the commit."""
        try:
            self.loose.sync(path for path in self._unsynced if path.exists())  # the others are in a pack by now
        except FileNotFoundError:
            self.sync()  # one was packed at this moment
        except OSError as error:
            raise StoreError(f"cannot sync the store at {self.root}: {error.strerror or error}") from error
        self._unsynced.clear()

    def clean(self, older_than_s: float = ABANDONED_AFTER_S) -> None:
        """Remove what killed writers left behind; a younger file may belong to a writer at work."""
        self.loose.clean(older_than_s)
        self.packed.clean(older_than_s)
