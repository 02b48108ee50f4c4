"""Packs: many objects in one file, written in one pass.

    magic     8 bytes
    entries   the files of the objects as they are, one after another
    table     8 bytes magic, then names (32 bytes each, ascending), then offsets, then lengths (8 bytes each, LE),
              in the order of names
    footer    8 bytes offset of the table, 8 bytes number of entries (LE)
    trailer   BLAKE3 (32 bytes) of table and footer

A pack is called `pack-<trailer>.mpack`. Every entry has a checksum of its own, so every byte is covered. The
entries describe themselves: from a pack whose table is lost, they are found again by their magic.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import struct
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from mpop_store.durable import TEMPORARY, fsync
from mpop_store.errors import DamagedObjectError
from mpop_store.objects import encoding
from mpop_store.objects.loose import LARGEST_FILE
from mpop_store.regular_files import open_regular

MAGIC = b"MPOPPAK\x01"
TABLE_MAGIC = b"MPOPTAB\x01"
FOOTER = struct.Struct("<QQ")
TRAILER_SIZE = 32
NAME_SIZE = 32
ROW_SIZE = NAME_SIZE + 8 + 8
BOUNDARY = re.compile(b"|".join(re.escape(magic) for magic in (encoding.MAGIC, TABLE_MAGIC)))
TARGET_SIZE = 64 * 2**20
"""Bytes at which a pack is closed and another one begun."""
RECOVERY_TRIES = 16
"""Places at which an entry of unknown length may end before it is given up; its content may hold the magic."""

Names = NDArray[np.bytes_]
"""Raw names, (n,) of 32 bytes. NumPy drops zero bytes at the end of one when it is taken out: use `raw_name`."""


@dataclass(frozen=True)
class Table:
    """Where the objects of a pack are. names ascend; offsets (n,) and lengths (n,) in bytes."""

    names: Names
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint64]

    def find(self, name: str) -> tuple[int, int] | None:
        """Offset and length of an object."""
        place = find_name(self.names, name)
        return None if place is None else (int(self.offsets[place]), int(self.lengths[place]))

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Name, offset and length of every object, as they follow in the file."""
        for place in np.argsort(self.offsets):
            yield raw_name(self.names, int(place)), int(self.offsets[place]), int(self.lengths[place])


def raw_name(names: Names, place: int) -> str:
    """One of many names as hex digits."""
    return names[place : place + 1].tobytes().hex()


def find_name(names: Names, name: str) -> int | None:
    """Place of a name among ascending ones."""
    if not len(names):
        return None
    wanted = np.frombuffer(bytes.fromhex(name), "S32")
    place = int(np.searchsorted(names, wanted)[0])
    return place if place < len(names) and names[place] == wanted[0] else None


def read_table(path: Path) -> Table:
    """The table of a pack. Raises DamagedObjectError, or OSError when the file cannot be read."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < len(MAGIC) + FOOTER.size + TRAILER_SIZE or file.read(len(MAGIC)) != MAGIC:
            raise DamagedObjectError(f"{path} is damaged: it is not a pack")
        file.seek(size - FOOTER.size - TRAILER_SIZE)
        start, count = FOOTER.unpack(file.read(FOOTER.size))
        if start < len(MAGIC) or start + len(TABLE_MAGIC) + count * ROW_SIZE + FOOTER.size + TRAILER_SIZE != size:
            raise DamagedObjectError(f"{path} is damaged: its table is not where its end says")
        file.seek(start)
        body = file.read(size - TRAILER_SIZE - start)
        trailer = file.read(TRAILER_SIZE)
    if blake3(body).digest() != trailer or path.name != pack_name(trailer):
        raise DamagedObjectError(f"{path} is damaged: its table does not match its checksum")
    columns = body[len(TABLE_MAGIC) :]
    table = Table(
        np.frombuffer(columns, "S32", count),
        np.frombuffer(columns, "<u8", count, NAME_SIZE * count),
        np.frombuffer(columns, "<u8", count, (NAME_SIZE + 8) * count),
    )
    sane = (table.offsets >= len(MAGIC)) & (table.offsets <= start) & (table.lengths <= min(start, LARGEST_FILE))
    inside = sane & (table.lengths <= start - np.minimum(table.offsets, start))  # without overflow
    if not bool(np.all(inside)) or not bool(np.all(table.names[:-1] < table.names[1:])):
        raise DamagedObjectError(f"{path} is damaged: its table makes no sense")
    return table


def recover_table(path: Path) -> Table:
    """The table of a pack as its entries tell it, for when its own is lost; what is damaged is left out."""
    rows: dict[bytes, tuple[int, int]] = {}
    with open_regular(path) as file, _mapped(file.fileno()) as content:
        start = content.find(encoding.MAGIC)
        while start >= 0:
            end = start + len(encoding.MAGIC)
            if (found := _entry_at(content, start)) is not None:
                name, end = found
                rows[bytes.fromhex(name)] = (start, end - start)
            start = content.find(encoding.MAGIC, end)
    return make_table(rows)


@contextlib.contextmanager
def _mapped(handle: int) -> Iterator[mmap.mmap | bytes]:
    if os.fstat(handle).st_size == 0:  # cannot be mapped
        yield b""
        return
    with mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as content:
        yield content


def _entry_at(content: mmap.mmap | bytes, start: int) -> tuple[str, int] | None:
    """Name and end of the whole object that begins somewhere: it ends before the next boundary, or one of the few
    after that, where its checksum holds."""
    digest, hashed, end = blake3(), start, start
    for _ in range(RECOVERY_TRIES):
        boundary = BOUNDARY.search(content, end + 1)
        end = len(content) if boundary is None else boundary.start()
        body_end = end - TRAILER_SIZE
        if body_end > hashed and end - start <= LARGEST_FILE:
            digest.update(content[hashed:body_end])
            hashed = body_end
            if digest.digest() == content[body_end:end]:
                with contextlib.suppress(DamagedObjectError):
                    return encoding.name_of(content[start:end]), end
                return None
        if boundary is None:
            return None
    return None


def make_table(rows: Mapping[bytes, tuple[int, int]]) -> Table:
    """The table of objects given by raw name: offset and length."""
    names = sorted(rows)
    places = np.array([rows[name] for name in names], "<u8").reshape(len(names), 2)
    raw = np.frombuffer(b"".join(names), "S32")
    return Table(raw, np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1]))


class PackWriter:
    """A pack that is being written. Entries must have been checked by whoever adds them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._path = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        self._rows: dict[bytes, tuple[int, int]] = {}
        self.size = 0
        """Bytes written so far."""
        try:
            self._write(MAGIC)
        except OSError:
            self.abandon()
            raise

    def add(self, name: str, blob: bytes) -> None:
        """Append the file of an object, once."""
        raw = bytes.fromhex(name)
        if raw not in self._rows:
            start = self.size
            self._write(blob)
            self._rows[raw] = (start, len(blob))

    def _write(self, data: bytes) -> None:
        """Append; after an error, what was written of it does not count."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._handle, memoryview(data)[written:], self.size + written)
        self.size += written

    def finish(self) -> Path:
        """Close the pack and, once it would survive a power cut, give it its name."""
        table = make_table(self._rows)
        start = self.size
        body = b"".join(
            [TABLE_MAGIC, table.names.tobytes(), table.offsets.tobytes(), table.lengths.tobytes()]
        ) + FOOTER.pack(start, len(self._rows))
        trailer = blake3(body).digest()
        self._write(body + trailer)
        os.ftruncate(self._handle, self.size)  # an entry that could not be written may have left more
        os.fsync(self._handle)
        os.close(self._handle)
        self._handle = -1
        target = self._folder / pack_name(trailer)
        os.replace(self._path, target)
        fsync(self._folder)
        return target

    def abandon(self) -> None:
        """Drop what was written, unless it is finished."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def pack_name(trailer: bytes) -> str:
    """File name of a pack."""
    return f"pack-{trailer.hex()}.mpack"
