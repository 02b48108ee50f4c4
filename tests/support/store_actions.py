"""What the object store does in one go, for tests that break it half-way: functions of the folder of a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpop_store import DamagedObjectError, MissingObjectError, ObjectStore, hash_bytes
from mpop_store.objects import encoding, receiving
from mpop_store.objects import pack_stream as stream_module
from mpop_store.objects.packs import PackWriter, read_table
from mpop_store.upkeep import packing

SIZES = (10, 900, 2000, 1500, 3000, 500)
CONTENTS = [np.random.default_rng(number).bytes(size) for number, size in enumerate(SIZES)]
NAMES = [hash_bytes(data) for data in CONTENTS]
VICTIM = 2
"""Which of them `damage` hits."""
SMALL_PACK = 3000


def put(folder: str) -> None:
    """Store everything in files of their own."""
    store = ObjectStore(Path(folder) / "objects")
    for data in CONTENTS:
        store.put(data)
    store.sync()


def write_packs(folder: str) -> None:
    """Store everything in packs of one object each."""
    for name, data in zip(NAMES, CONTENTS, strict=True):
        writer = PackWriter(Path(folder) / "packs")
        writer.add(name, encoding.encode(data, 1))
        writer.finish()


def write_one_pack(folder: str) -> None:
    """Store everything in one pack."""
    writer = PackWriter(Path(folder) / "packs")
    for name, data in zip(NAMES, CONTENTS, strict=True):
        writer.add(name, encoding.encode(data, 1))
    writer.finish()


def damage(folder: str) -> None:
    """Everything is in one pack, and one object in it is damaged."""
    write_one_pack(folder)
    (pack,) = (Path(folder) / "packs").glob("pack-*")
    found = read_table(pack).find(NAMES[VICTIM])
    assert found is not None
    data = bytearray(pack.read_bytes())
    data[found[0] + 100] ^= 1
    pack.unlink()
    pack.write_bytes(data)


def receive(folder: str) -> None:
    """Take everything in from elsewhere, as packs."""
    receiving.FEW_BYTES = 0
    stream_module.TARGET_SIZE = SMALL_PACK
    with receiving.Receiver(ObjectStore(Path(folder) / "objects")) as incoming:
        for name, data in zip(NAMES, CONTENTS, strict=True):
            incoming.add(name, encoding.encode(data, 1))


def pack_loose(folder: str) -> None:
    """Pack the files of their own."""
    packing.TARGET_SIZE = stream_module.TARGET_SIZE = SMALL_PACK
    packing._pack_loose(ObjectStore(Path(folder) / "objects"))


def unite(folder: str) -> None:
    """Make one pack of many small ones."""
    packing.MANY_SMALL = 2
    packing._unite_small(ObjectStore(Path(folder) / "objects"))


def rescue(folder: str) -> None:
    """Read everything, and so put what is damaged into quarantine."""
    store = ObjectStore(Path(folder) / "objects")
    for name in NAMES:
        try:
            store.get(name)
        except (DamagedObjectError, MissingObjectError):  # missing once it is in quarantine
            assert name == NAMES[VICTIM]
