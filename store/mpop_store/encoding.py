"""The file that holds an object.

    header    8 bytes magic, 1 byte codec, 1 byte item size, 6 bytes zero, 8 bytes length of the content (LE)
    payload   the content, compressed if that made it smaller
    trailer   BLAKE3 (32 bytes) of header and payload

The name covers the content, the trailer covers the file, so a changed byte anywhere is found, by whom ever
reads, before anything is decompressed.
"""

from __future__ import annotations

import struct

from blake3 import blake3
from numcodecs import Blosc

from mpop_store.errors import DamagedObjectError
from mpop_store.hashing import hash_bytes

MAGIC = b"MPOPOBJ\x01"
HEADER = struct.Struct("<8sBB6xQ")
TRAILER_SIZE = 32
RAW, BLOSC_ZSTD = 0, 1
MAX_CONTENT = 2**31 - 2**16
"""Largest content of one object in bytes: what the compressor can take."""


def encode(data: bytes, itemsize: int) -> bytes:
    """The file of an object. itemsize: bytes of one number, for the compressor's shuffle."""
    payload, codec = data, RAW
    if len(data) > 256:
        packed = bytes(Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE, typesize=itemsize).encode(data))
        if len(packed) < len(data):
            payload, codec = packed, BLOSC_ZSTD
    head = HEADER.pack(MAGIC, codec, itemsize, len(data)) + payload
    return head + blake3(head).digest()


def decode(blob: bytes, name: str) -> bytes:
    """The content of the object of that name in its file. Raises DamagedObjectError."""
    data = _content(blob, name)
    if hash_bytes(data) != name:
        raise DamagedObjectError(f"object {name} is damaged: its content does not match its name")
    return data


def name_of(blob: bytes) -> str:
    """The name of the object in a file. Raises DamagedObjectError."""
    return hash_bytes(_content(blob, "of unknown name"))


def check_file(blob: bytes, name: str) -> None:
    """Raise DamagedObjectError if a byte of an object's file has changed; does not look at the content."""
    if len(blob) < HEADER.size + TRAILER_SIZE or blake3(blob[:-TRAILER_SIZE]).digest() != blob[-TRAILER_SIZE:]:
        raise DamagedObjectError(f"object {name} is damaged: its file does not match its checksum")


def _content(blob: bytes, name: str) -> bytes:
    check_file(blob, name)
    magic, codec, _itemsize, length = HEADER.unpack_from(blob)
    if magic != MAGIC or codec not in (RAW, BLOSC_ZSTD) or length > MAX_CONTENT:
        raise DamagedObjectError(f"object {name} is damaged or was written by a newer mpop: unknown header")
    payload = blob[HEADER.size : -TRAILER_SIZE]
    data = payload if codec == RAW else _decompress(payload, length, name)
    if len(data) != length:
        raise DamagedObjectError(f"object {name} is damaged: its length does not match its header")
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
