"""Giving up local copies of objects that are safe elsewhere, so that their space is free at once."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path

from mpop_store.errors import DamagedObjectError, StoreError
from mpop_store.git.history import History
from mpop_store.locking import Lock
from mpop_store.objects.pack_stream import PackStream
from mpop_store.objects.packs import read_table
from mpop_store.objects.store import ObjectStore


def discard(history: History, names: Set[str], first: Callable[[], None]) -> int:
    """Delete objects, and return how many bytes that frees. Packs are copied without them first.

    first: called under both locks before anything is touched: it makes sure that the objects can be had again and
    notes where, durable, or raises. Killed at any moment, this leaves at worst the others twice.
    """
    objects = history.objects
    try:
        with Lock(history.private / "maintenance").held(), history.locked():
            first()
            freed = _discard_loose(objects, names)
            for pack in objects.packed.packs():
                with suppress(FileNotFoundError, DamagedObjectError):  # the latter is for `mpop verify`
                    freed += _discard_packed(objects, pack, names)
            objects.packed.refresh()
            return freed
    except OSError as error:
        raise StoreError(f"cannot write to {objects.root.parent}: {error.strerror or error}") from error


def _discard_loose(objects: ObjectStore, names: Set[str]) -> int:
    freed = 0
    for name in names:
        with suppress(FileNotFoundError):
            path = objects.path(name)
            size = path.stat().st_size
            path.unlink()
            freed += size
    return freed


def _discard_packed(objects: ObjectStore, pack: Path, names: Set[str]) -> int:
    """Replace a pack by one without these objects. Raises DamagedObjectError, and then leaves it as it is."""
    freed = sum(length for name, _, length in read_table(pack).rows() if name in names)
    if not freed:
        return 0
    with PackStream(objects.packed.folder) as stream:
        stream.copy(pack, lambda name: name not in names)
    pack.unlink()
    return freed
