"""The file that holds an object.

    header    8 bytes magic, 1 byte codec, 1 byte item size, 6 bytes zero, 8 bytes length of the content (LE)
    payload   the content, compressed if that made it smaller
    trailer   BLAKE3 (32 bytes) of header and payload

The name covers the content, the trailer covers the file, so a changed byte anywhere is found, by whom ever
reads, before anything is decompressed.

Both codec libraries take long to import beside what most commands do, so each is imported when it is first needed.
"""

from __future__ import annotations

import struct
from functools import cache
from types import ModuleType
from typing import Literal, cast

from blake3 import blake3

from mpop_store.errors import DamagedObjectError, TooLargeError
from mpop_store.hashing import hash_bytes

MAGIC = b"MPOPOBJ\x01"
HEADER = struct.Struct("<8sBB6xQ")
TRAILER_SIZE = 32
RAW, BLOSC = 0, 1
MAX_CONTENT = 2**31 - 2**16
"""Largest content of one object in bytes: what the compressor can take."""

SMALL = 256
"""Content of so few bytes is not compressed."""
BLOCK = 2**20
"""Bytes that are shuffled and compressed as one: each byte of a number then makes a run of 128 KiB or more, zstd's
own block, and zstd codes those that can be coded and passes over the noise (docs/decisions/005)."""
FORMATS: dict[int, Literal["H", "I", "Q"]] = {2: "H", 4: "I", 8: "Q", 16: "Q"}
"""Item size -> format of a memory view; that is where the compressor takes the item size from."""
BLOSC_HEADER = struct.Struct("<4B3I")
"""Of a Blosc 1 buffer: versions, flags, item size; length of the content, of a block, and of the buffer."""


def encode(data: bytes | memoryview, itemsize: int) -> bytes:
    """The file of an object. data: its content. itemsize: bytes of one number, for the compressor's shuffle."""
    payload, codec = data, RAW
    if len(data) > SMALL:
        packed = _compress(memoryview(data), itemsize)
        if len(packed) < len(data):
            payload, codec = packed, BLOSC
    header = HEADER.pack(MAGIC, codec, itemsize, len(data))
    digest = blake3(header)
    digest.update(payload)
    return b"".join((header, payload, digest.digest()))


def _compress(data: memoryview, itemsize: int) -> bytes:
    import imagecodecs

    numbers = data.cast(FORMATS[itemsize]) if itemsize in FORMATS and len(data) % itemsize == 0 else data
    buffer = cast("bytes", numbers)  # any buffer will do
    return bytes(
        imagecodecs.blosc_encode(
            buffer, level=1, compressor="zstd", shuffle="shuffle", blocksize=BLOCK, numthreads=1
        )
    )


def decode(blob: bytes, name: str, at_most: int = MAX_CONTENT) -> bytes:
    """The content of the object of that name in its file.

    Raises DamagedObjectError or, before any memory is taken, TooLargeError for more than `at_most` bytes.
    """
    data = _content(blob, name, at_most)
    if hash_bytes(data) != name:
        raise DamagedObjectError(f"object {name} is damaged: its content does not match its name")
    return data


def name_of(blob: bytes) -> str:
    """The name of the object in a file. Raises DamagedObjectError."""
    return hash_bytes(_content(blob, "of unknown name"))


def check_file(blob: bytes, name: str) -> None:
    """Raise DamagedObjectError if a byte of an object's file has changed; does not look at the content."""
    view = memoryview(blob)
    if len(view) < HEADER.size + TRAILER_SIZE or blake3(view[:-TRAILER_SIZE]).digest() != view[-TRAILER_SIZE:]:
        raise DamagedObjectError(f"object {name} is damaged: its file does not match its checksum")


def _content(blob: bytes, name: str, at_most: int = MAX_CONTENT) -> bytes:
    check_file(blob, name)
    magic, codec, _itemsize, length = HEADER.unpack_from(blob)
    if magic != MAGIC or codec not in (RAW, BLOSC) or length > MAX_CONTENT:
        raise DamagedObjectError(f"object {name} is damaged or was written by a newer mpop: unknown header")
    if length > at_most:
        raise TooLargeError(f"object {name} holds {length} bytes, and no more than {at_most} are expected")
    payload = memoryview(blob)[HEADER.size : -TRAILER_SIZE]
    data = bytes(payload) if codec == RAW else _decompress(payload, length, name)
    if len(data) != length:
        raise DamagedObjectError(f"object {name} is damaged: its length does not match its header")
    return data


def _decompress(payload: memoryview, length: int, name: str) -> bytes:
    """Decompress to the promised length, never more, and never read beyond the payload.

    The library takes both sizes from the buffer's own header, which a stranger may have written: so they are
    compared first with the length that the caller has bounded, and with the bytes that are there.
    """
    if len(payload) < BLOSC_HEADER.size:
        raise DamagedObjectError(f"object {name} is damaged: it cannot be decompressed")
    *_, claimed_length, _block, claimed_size = BLOSC_HEADER.unpack_from(payload)
    if claimed_length != length or claimed_size != len(payload):
        raise DamagedObjectError(f"object {name} is damaged: its length does not match its header")
    try:
        return cast("bytes", _blosc().decompress(payload))
    except (RuntimeError, ValueError) as error:
        raise DamagedObjectError(f"object {name} is damaged: it cannot be decompressed") from error


@cache
def _blosc() -> ModuleType:
    """numcodecs' Blosc, without threads of its own: objects are read from several of ours."""
    from numcodecs import blosc  # pyright: ignore[reportAttributeAccessIssue]  # compiled, and without stubs

    blosc.use_threads = False
    return blosc
