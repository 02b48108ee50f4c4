"""One table over all packs of a folder, kept in memory and, as a cache, in the file `index` beside them.

    magic     8 bytes
    counts    8 bytes number of packs, 8 bytes number of entries (LE)
    packs     the trailers (32 bytes each) that name the packs
    entries   names (32 bytes each, ascending), then packs (4 bytes each, the place in the list above), then
              offsets, then lengths (8 bytes each, LE)
    trailer   BLAKE3 (32 bytes) of everything before

A pack never changes, so what the index says of one that is still there is true for ever; packs that it does not
know are read. Whoever finds it lacking writes a new one; who deletes it loses nothing.
"""

from __future__ import annotations

import contextlib
import os
import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from mpop_store.durable import TEMPORARY
from mpop_store.errors import DamagedObjectError
from mpop_store.objects.packs import (
    NAME_SIZE,
    TRAILER_SIZE,
    Names,
    Table,
    find_name,
    make_table,
    read_table,
    recover_table,
)
from mpop_store.regular_files import open_regular

MAGIC = b"MPOPIDX\x01"
COUNTS = struct.Struct("<QQ")
ROW_SIZE = NAME_SIZE + 4 + 8 + 8


@dataclass(frozen=True)
class PackIndex:
    """Where every packed object is. packs: file names; the columns (n,) go by ascending name.

    An object that is in several packs has a row for each.
    """

    packs: tuple[str, ...]
    names: Names
    numbers: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint64]

    def find(self, name: str) -> tuple[str, int, int] | None:
        """File name of a pack, offset and length of an object in it."""
        place = find_name(self.names, name)
        if place is None:
            return None
        return self.packs[self.numbers[place]], int(self.offsets[place]), int(self.lengths[place])

    def of_pack(self, pack: str) -> Table:
        """The rows of one pack."""
        rows = self.numbers == self.packs.index(pack)
        return Table(self.names[rows], self.offsets[rows], self.lengths[rows])


EMPTY = PackIndex((), np.zeros(0, "S32"), np.zeros(0, "<u4"), np.zeros(0, "<u8"), np.zeros(0, "<u8"))


def update(folder: Path, packs: Sequence[str], known: PackIndex) -> PackIndex:
    """The index of the packs that are there now, from what is known of them, or else from the packs themselves.

    Raises OSError.
    """
    if list(known.packs) == list(packs):
        return known
    place = {pack: number for number, pack in enumerate(packs)}
    renumbered = np.array([place.get(pack, -1) for pack in known.packs], np.int64)[known.numbers]
    kept = renumbered >= 0
    names, numbers, offsets, lengths = [EMPTY.names], [EMPTY.numbers], [EMPTY.offsets], [EMPTY.lengths]
    for pack in set(packs) - set(known.packs):
        with contextlib.suppress(FileNotFoundError):  # has been replaced since it was listed
            table = table_of(folder / pack)
            names.append(table.names)
            numbers.append(np.full(len(table.names), place[pack], "<u4"))
            offsets.append(table.offsets)
            lengths.append(table.lengths)
    added = np.concatenate(names)
    order = np.argsort(added)
    at = np.searchsorted(known.names[kept], added[order])
    return PackIndex(
        tuple(packs),
        np.insert(known.names[kept], at, added[order]),
        np.insert(renumbered[kept].astype("<u4"), at, np.concatenate(numbers)[order]),
        np.insert(known.offsets[kept], at, np.concatenate(offsets)[order]),
        np.insert(known.lengths[kept], at, np.concatenate(lengths)[order]),
    )


def table_of(path: Path) -> Table:
    """The table of a pack, or if that is damaged what its entries tell. Raises OSError."""
    try:
        return read_table(path)
    except DamagedObjectError:
        try:
            return recover_table(path)
        except DamagedObjectError:  # not even a file
            return make_table({})


def read_index(path: Path) -> PackIndex | None:
    """The index in a file, None if there is none that is sound."""
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _largest(path.parent):
                return None
            content = file.read()
    except (OSError, DamagedObjectError):
        return None
    body = memoryview(content)[:-TRAILER_SIZE]
    if len(body) < len(MAGIC) + COUNTS.size or blake3(body).digest() != content[-TRAILER_SIZE:]:
        return None
    n_packs, count = COUNTS.unpack_from(body, len(MAGIC))
    at = len(MAGIC) + COUNTS.size
    if body[: len(MAGIC)] != MAGIC or len(body) != at + n_packs * TRAILER_SIZE + count * ROW_SIZE:
        return None
    packs = tuple(f"pack-{body[at + 32 * n : at + 32 * n + 32].hex()}.mpack" for n in range(n_packs))
    at += n_packs * TRAILER_SIZE
    names = np.frombuffer(body, "S32", count, at)
    numbers = np.frombuffer(body, "<u4", count, at + NAME_SIZE * count)
    offsets = np.frombuffer(body, "<u8", count, at + (NAME_SIZE + 4) * count)
    lengths = np.frombuffer(body, "<u8", count, at + (NAME_SIZE + 12) * count)
    if count and int(numbers.max()) >= n_packs:
        return None
    return PackIndex(packs, names, numbers, offsets, lengths)


def _largest(folder: Path) -> int:
    """Bytes of an index are fewer than those of its packs, every entry of which has a row in the pack as well."""
    return sum((folder / pack).stat().st_size for pack in list_packs(folder)) + COUNTS.size


def write_index(path: Path, index: PackIndex) -> None:
    """Keep an index if that is possible; a disk that is full or read-only is no obstacle."""
    trailers = b"".join(bytes.fromhex(pack[len("pack-") : -len(".mpack")]) for pack in index.packs)
    columns = (index.names, index.numbers, index.offsets, index.lengths)
    body = MAGIC + COUNTS.pack(len(index.packs), len(index.names)) + trailers
    body += b"".join(column.tobytes() for column in columns)
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    with contextlib.suppress(OSError):
        try:
            temporary.write_bytes(body + blake3(body).digest())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def list_packs(folder: Path) -> Iterator[str]:
    """File names of the packs in a folder, in order."""
    try:
        found = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in sorted(found):
        digest = name.removeprefix("pack-").removesuffix(".mpack")
        if name == f"pack-{digest}.mpack" and len(digest) == 64 and set(digest) <= set("0123456789abcdef"):
            yield name
