"""Is another store really another one? Asked before anything is dropped because the other has it too.

An address proves nothing: it may lead here through a link, a mount or ssh, or to a store whose folder of objects
is ours. So this compares the ids, and puts objects that nobody can have into our own folders and asks the other
for them: if it has them, both look at the same place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mpop_store.errors import StateError, StoreError
from mpop_store.hashing import hash_bytes
from mpop_store.objects.encoding import encode
from mpop_store.objects.packs import PackWriter
from mpop_store.objects.store import ObjectStore
from mpop_store.transfer.remote import Remote

PROBE_SIZE = 32
"""Bytes of chance in an object that nobody else can have."""


def refuse_same_store(objects: ObjectStore, own: str, remote: Remote) -> None:
    """Raise StateError for a remote that is this store, or keeps its objects in the same place. own: our id."""
    if remote.identify() == own:
        raise StateError(f"{remote.address} is this population itself, not another copy of it")
    for folder in objects.root.glob("??"):
        if folder.is_symlink():
            raise StateError(f"{folder} is a link, and what is there may be another store's too")
    with _probes(objects) as probes:
        if any(remote.have(probes)):
            raise StateError(
                f"{remote.address} keeps its objects in the folder of this population, not in one of its own"
            )


@contextmanager
def _probes(objects: ObjectStore) -> Iterator[list[str]]:
    """Names of new objects, one of each kind, which are there inside; killed, it leaves garbage for `mpop gc`."""
    loose, packed = os.urandom(PROBE_SIZE), os.urandom(PROBE_SIZE)
    names = [hash_bytes(loose), hash_bytes(packed)]
    with ExitStack() as after:
        after.callback(objects.path(names[0]).unlink, missing_ok=True)
        objects.put(loose)
        try:
            writer = PackWriter(objects.packed.folder)
            after.callback(writer.abandon)
            writer.add(names[1], encode(packed, 1))
            after.callback(writer.finish().unlink, missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write to {objects.root.parent}: {error.strerror or error}") from error
        yield names
