"""Reading every object that is here, or some of them, to see whether it still is what its name says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mpop_store.errors import DamagedObjectError, StoreError
from mpop_store.objects.encoding import decode
from mpop_store.objects.packed import read_range
from mpop_store.objects.packs import read_table
from mpop_store.objects.store import ObjectStore

Choose = Callable[[str], bool]
"""Whether to read the object of a name."""


@dataclass(frozen=True)
class Looked:
    """What was found of one object, or of the table of one pack (then name is the file's).

    bytes: on disk. read: whether its content was looked at. damage: what is wrong, None if nothing is.
    """

    name: str
    bytes: int
    read: bool = True
    damage: str | None = None


def scrub(objects: ObjectStore, choose: Choose) -> Iterator[Looked]:
    """Look at everything, one object in memory at a time, and put what is damaged into quarantine.

    Loose objects come first, then pack by pack; an object that is there twice is looked at twice.
    """
    for name in list(objects.loose.names()):
        yield from _look_at_loose(objects, name, choose(name))
    for pack in objects.packed.packs():
        with contextlib.suppress(FileNotFoundError):  # another process has packed its objects anew
            yield from _look_at_pack(objects, pack, choose)


def _look_at_loose(objects: ObjectStore, name: str, read: bool) -> Iterator[Looked]:
    damage, size = None, 0
    try:
        size = objects.path(name).stat().st_size
        if read:
            blob = objects.loose.read(name)
            if blob is None:
                return
            decode(blob, name)
    except FileNotFoundError:  # has just been packed
        return
    except StoreError as error:  # damage, or the disk refuses
        damage = str(error)
        if isinstance(error, DamagedObjectError):
            objects.quarantine.take(name)
    yield Looked(name, size, read, damage)


def _look_at_pack(objects: ObjectStore, pack: Path, choose: Choose) -> Iterator[Looked]:
    sound = True
    try:
        read_table(pack)
    except DamagedObjectError as error:
        sound = False
        yield Looked(pack.name, 0, damage=str(error))
    for name, offset, length in objects.packed.rows(pack):
        read = choose(name)
        damage = None
        if read:
            try:
                decode(read_range(pack, offset, length), name)
            except FileNotFoundError:
                raise
            except StoreError as error:
                damage, sound = str(error), False
        yield Looked(name, length, read, damage)
    if not sound:
        with contextlib.suppress(OSError, StoreError):
            objects.quarantine.take_pack(pack)
