"""The file of an object: what is written, what older files hold, and files that somebody forged."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc

from mpop_store import DamagedObjectError, hash_bytes
from mpop_store.objects.encoding import BLOSC, HEADER, MAGIC, RAW, TRAILER_SIZE, decode, encode, name_of

SMOOTH = np.sin(np.linspace(0, 90, 50_000)).astype("<f4").tobytes()


def file_of(payload: bytes, length: int, codec: int = BLOSC, itemsize: int = 4) -> bytes:
    """An object's file with a trailer that is right, whatever is inside."""
    head = HEADER.pack(MAGIC, codec, itemsize, length) + payload
    return head + blake3(head).digest()


@settings(max_examples=80)
@given(data=st.binary(max_size=2000), itemsize=st.integers(1, 17), repeats=st.integers(1, 50))
def test_content_comes_back(data: bytes, itemsize: int, repeats: int) -> None:
    data *= repeats
    blob = encode(memoryview(data), itemsize)
    assert len(blob) <= len(data) + HEADER.size + TRAILER_SIZE
    assert decode(blob, hash_bytes(data)) == data
    assert name_of(blob) == hash_bytes(data)


def test_bytes_of_numbers_are_sorted_by_place_before_they_are_compressed() -> None:
    """The noise in the low bytes of a map must not cost the high bytes their code."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(64, 64, 64)).astype("<f4").tobytes()
    sizes = {itemsize: len(encode(noise, itemsize)) for itemsize in (1, 2, 4)}
    assert sizes[4] < 0.85 * len(noise)
    assert sizes[4] < 0.95 * sizes[2] < 0.95 * sizes[1]


@pytest.mark.parametrize("shuffle", [Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE])
@pytest.mark.parametrize("compressor", ["zstd", "lz4", "blosclz"])
def test_every_kind_of_blosc_buffer_is_read(compressor: str, shuffle: int) -> None:
    """The first version wrote zstd 3 with bit shuffle; any other writer may have chosen otherwise."""
    payload = bytes(Blosc(compressor, clevel=3, shuffle=shuffle, typesize=4).encode(SMOOTH))
    assert decode(file_of(payload, len(SMOOTH)), hash_bytes(SMOOTH)) == SMOOTH


def forged(**changes: int) -> bytes:
    """A file whose Blosc header has been changed."""
    payload = bytearray(encode(SMOOTH, 4)[HEADER.size : -TRAILER_SIZE])
    fields = {"length": 4, "block": 8, "size": 12}
    for field, value in changes.items():
        struct.pack_into("<I", payload, fields[field], value % 2**32)
    return file_of(bytes(payload), changes.get("length", len(SMOOTH)))


@pytest.mark.parametrize(
    "blob",
    [
        forged(length=len(SMOOTH) + 4),
        forged(length=len(SMOOTH) - 4),
        forged(length=2**31 - 2**16),
        forged(size=2**31 - 1),
        forged(size=20),
        forged(block=0),
        forged(block=-1),
        forged(block=1),
        file_of(b"", 5),
        file_of(bytes(15), 0),
        file_of(bytes(16), 0),
        file_of(b"raw", 4, codec=RAW),
        file_of(b"raw", 3, codec=7),
        file_of(b"", 2**63, codec=RAW),
        b"",
        bytes(64),
    ],
)
def test_a_forged_file_is_refused(blob: bytes) -> None:
    with pytest.raises(DamagedObjectError):
        decode(blob, hash_bytes(SMOOTH))


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255), more=st.binary(max_size=8), cut=st.integers(0, 40))
def test_a_forged_payload_gives_the_content_or_an_error(place: int, value: int, more: bytes, cut: int) -> None:
    """The decompressor meets bytes that a stranger chose, with all checksums of the file in order."""
    payload = bytearray(encode(SMOOTH, 4)[HEADER.size : -TRAILER_SIZE])
    payload[place % (64 if place % 2 else len(payload))] = value  # every second time in the headers
    payload = payload[: len(payload) - cut] + more
    struct.pack_into("<I", payload, 12, len(payload))
    with contextlib.suppress(DamagedObjectError):
        assert decode(file_of(bytes(payload), len(SMOOTH)), hash_bytes(SMOOTH)) == SMOOTH
