"""Small files that unpack to large ones, and JSON that is more than it looks like."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

MIB = 2**20
KINDS = {"commit": 1, "tree": 2, "blob": 3}
REF_DELTA = 7

JSON = {
    "10^6 deep": b"[" * 10**6 + b"]" * 10**6,
    "600 deep": b'{"a":' * 600 + b"1" + b"}" * 600,
    "many parts": b"[" + b"[],{}," * (2 * MIB + 1) + b"1]",
    "a huge integer": b'{"format":' + b"9" * 10**6 + b"}",
    "an integer that floats cannot hold": b'{"format":' + b"9" * 400 + b"}",
    "NaN": b'{"format":NaN}',
    "infinity": b'{"format":1e999}',
    "a key twice": b'{"format":1,"format":2}',
    "an endless name": b'{"name":"' + b"n" * (4 * MIB) + b'"}',
    "half a character": b'{"name":"\\ud800"}',
    "half a character in a key": b'{"\\ud800":1}',
    "half a character as it is": b'{"name":"\xed\xa0\x80"}',
}
"""What it is -> its text."""


def zeros(size: int) -> Iterator[bytes]:
    """Many zeros, in pieces. size: a multiple of a MiB."""
    piece = bytes(MIB)
    return (piece for _ in range(size // MIB))


def packed(pieces: Iterator[bytes]) -> bytes:
    """As Git packs it."""
    stream = zlib.compressobj(1)
    return b"".join(map(stream.compress, pieces)) + stream.flush()


def _entry(kind: int, size: int, body: bytes) -> bytes:
    first, size = kind << 4 | size & 15, size >> 4
    numbers = [first]
    while size:
        numbers[-1] |= 0x80
        numbers.append(size & 0x7F)
        size >>= 7
    return bytes(numbers) + body


def _pack(*entries: bytes) -> bytes:
    content = b"PACK" + struct.pack(">II", 2, len(entries)) + b"".join(entries)
    return content + hashlib.sha1(content).digest()


def _number(value: int) -> bytes:
    numbers = bytearray()
    while value > 0x7F:
        numbers.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*numbers, value])


def git_pack(kind: str, size: int) -> bytes:
    """A Git pack of one object of that kind and many zeros, or of one whose change (`delta`) makes it so large."""
    if kind in KINDS:
        return _pack(_entry(KINDS[kind], size, packed(zeros(size))))
    base = bytes(2**16)
    oid = hashlib.sha1(b"blob 65536\0" + base).digest()
    delta = _number(len(base)) + _number(size) + b"\x80" * (size // len(base))  # copy all of it, again and again
    changed = _entry(REF_DELTA, len(delta), oid + zlib.compress(delta))
    return _pack(_entry(KINDS["blob"], len(base), zlib.compress(base)), changed)


def loose(git_directory: Path, size: int) -> str:
    """Put a loose blob of zeros among the objects of a Git directory; returns its id."""
    header = b"blob %d\0" % size
    digest = hashlib.sha1(header)
    for piece in zeros(size):
        digest.update(piece)
    oid = digest.hexdigest()
    path = git_directory / "objects" / oid[:2] / oid[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(packed(iter([header, *zeros(size)])))
    return oid


def commit_record(git_directory: Path, path: str, oid: str) -> None:
    """Commit a Git object as a record on main, as plain Git lets anybody do who leaves hooks out."""

    def git(*words: str) -> str:
        command = ["git", f"--git-dir={git_directory}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("read-tree", "HEAD")
    git("update-index", "--add", "--cacheinfo", f"100644,{oid},{path}")
    tree = git("write-tree")
    git("update-ref", "refs/heads/main", git("commit-tree", tree, "-p", "HEAD", "-m", "By plain Git"))
