"""Objects: immutable byte strings named by the BLAKE3 of their content, one file each.

    header    8 bytes magic, 1 byte codec, 1 byte item size, 6 bytes zero, 8 bytes length of the content (LE)
    payload   the content, compressed if that made it smaller
    trailer   BLAKE3 (32 bytes) of header and payload

The name covers the content, the trailer covers the file, so a changed byte anywhere is found, by whom ever
reads, before anything is decompressed.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3
from numcodecs import Blosc

from mpop_store.durable import fsync_all
from mpop_store.errors import DamagedObjectError, MissingObjectError, StoreError
from mpop_store.hashing import hash_bytes

MAGIC = b"MPOPOBJ\x01"
HEADER = struct.Struct("<8sBB6xQ")
TRAILER_SIZE = 32
RAW, BLOSC_ZSTD = 0, 1
MAX_CONTENT = 2**31 - 2**16
"""Largest content of one object in bytes: what the compressor can take."""
TEMPORARY = "tmp-"
ABANDONED_AFTER_S = 24 * 3600.0


class ObjectStore:
    """The objects below one folder, `ab/cdef...` by name."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._unsynced: set[Path] = set()

    def path(self, name: str) -> Path:
        """Where an object lives. Raises StoreError for something that is not a name."""
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
            raise StoreError(f"{name!r} is not the name of an object")
        return self.root / name[:2] / name[2:]

    def has(self, name: str) -> bool:
        """Whether an object is here (its content is not checked)."""
        return self.path(name).is_file()

    def names(self) -> Iterator[str]:
        """All objects here, in order."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for file in sorted(folder.iterdir()):
                if len(file.name) == 62:
                    yield folder.name + file.name

    def put(self, data: bytes, itemsize: int = 1) -> str:
        """Store content and return its name; content that is here already is not written again.

        itemsize: bytes of one number, for the compressor's shuffle. Raises StoreError, and then leaves nothing.
        """
        if len(data) > MAX_CONTENT:
            raise StoreError(f"an object of {len(data)} bytes is larger than the store's limit of {MAX_CONTENT}")
        name = hash_bytes(data)
        target = self.path(name)
        if not target.exists():
            self._write(target, _encode(data, itemsize))
        self._unsynced.add(target)  # also if it was here: who wrote it may have died before its sync
        return name

    def _write(self, target: Path, blob: bytes) -> None:
        temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(blob)
            temporary.chmod(0o444)
            os.replace(temporary, target)
        except OSError as error:
            raise StoreError(f"cannot write to the store at {self.root}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def get(self, name: str) -> bytes:
        """The content of an object, checked against its name.

        Raises MissingObjectError or DamagedObjectError.
        """
        try:
            blob = self.path(name).read_bytes()
        except FileNotFoundError as error:
            raise MissingObjectError(f"object {name} is not in the store at {self.root}") from error
        except OSError as error:
            raise StoreError(f"object {name} cannot be read: {error.strerror or error}") from error
        return _decode(blob, name)

    def size(self, name: str) -> int:
        """Bytes that an object takes on disk."""
        return self.path(name).stat().st_size

    def sync(self) -> None:
        """Make everything put so far survive a power cut; once per commit, before the commit."""
        try:
            fsync_all(self._unsynced)
        except OSError as error:
            raise StoreError(f"cannot sync the store at {self.root}: {error.strerror or error}") from error
        self._unsynced.clear()

    def clean(self, older_than_s: float = ABANDONED_AFTER_S) -> None:
        """Remove what killed writers left behind; a younger file may belong to a writer at work."""
        for leftover in self.root.glob(f"??/{TEMPORARY}*"):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime >= older_than_s:
                    leftover.unlink()


def _encode(data: bytes, itemsize: int) -> bytes:
    payload, codec = data, RAW
    if len(data) > 256:
        packed = bytes(Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE, typesize=itemsize).encode(data))
        if len(packed) < len(data):
            payload, codec = packed, BLOSC_ZSTD
    head = HEADER.pack(MAGIC, codec, itemsize, len(data)) + payload
    return head + blake3(head).digest()


def _decode(blob: bytes, name: str) -> bytes:
    body, trailer = blob[:-TRAILER_SIZE], blob[-TRAILER_SIZE:]
    if len(blob) < HEADER.size + TRAILER_SIZE or blake3(body).digest() != trailer:
        raise DamagedObjectError(f"object {name} is damaged: its file does not match its checksum")
    magic, codec, _itemsize, length = HEADER.unpack_from(body)
    if magic != MAGIC or codec not in (RAW, BLOSC_ZSTD) or length > MAX_CONTENT:
        raise DamagedObjectError(f"object {name} is damaged or was written by a newer mpop: unknown header")
    payload = body[HEADER.size :]
    data = payload if codec == RAW else _decompress(payload, length, name)
    if len(data) != length or hash_bytes(data) != name:
        raise DamagedObjectError(f"object {name} is damaged: its content does not match its name")
    return data


def _decompress(payload: bytes, length: int, name: str) -> bytes:
    """Decompress into a buffer of the promised length, never more."""
    claimed = int.from_bytes(payload[4:8], "little")  # Blosc's own header
    if claimed != length:
        raise DamagedObjectError(f"object {name} is damaged: its length does not match its header")
    try:
        return bytes(Blosc().decode(payload))
    except (RuntimeError, ValueError) as error:
        raise DamagedObjectError(f"object {name} is damaged: it cannot be decompressed") from error
