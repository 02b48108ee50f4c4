"""Names from content: BLAKE3 of bytes, of files, and of records as canonical JSON (RFC 8785)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import rfc8785
from blake3 import blake3

from mpop_store.errors import InputError

PLAIN = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
"""Writes canonical JSON of some values; see `_is_plain`."""
PIECE = 2**20
"""Bytes of a file read at a time. It is not mapped into memory: a mapped file that shrinks kills its reader."""

MAX_NESTING = 64
"""Levels of lists and objects in a JSON text; records have a handful."""
MAX_CONTAINERS = 2**22
"""Lists and objects in a JSON text. Two bytes of it become 64 in memory."""
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

TEXT = frozenset({str})
CONTAINERS = frozenset({dict, list})
PLAIN_KINDS = CONTAINERS | {str, bool, int, type(None)}

UNVERSIONED = frozenset({"version", "derived"})
"""Keys that do not take part in a record's version: the version itself, and what can be computed again."""


def hash_bytes(data: bytes | memoryview) -> str:
    """BLAKE3 of bytes, 64 hex digits."""
    return blake3(data).hexdigest()


def hash_file(path: str | Path) -> str:
    """BLAKE3 of a file's content. Raises OSError."""
    digest, buffer = blake3(), memoryview(bytearray(PIECE))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, shortest numbers, UTF-8.

    Raises InputError for what JSON cannot hold the same everywhere: NaN, infinity, integers beyond 2^53.
    """
    if _is_plain(value):
        text = PLAIN.encode(value)
        if text.isascii():  # where the standard library writes the same, ten times as fast
            return text.encode()
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise InputError(f"a value cannot be stored as JSON: {str(error)[:200]}") from error


def parse_json(text: bytes | str, unique_keys: bool = False) -> Any:
    """The value of a JSON text that anybody may have written.

    unique_keys: whether a key that an object has twice, of which other readers may take another one, is an error.
    Raises ValueError, also for what nests too deep, takes far more memory than its text
    does, or holds NaN or infinity by name.
    """
    data = text.encode() if isinstance(text, str) else text
    few = data.count(b"{") + data.count(b"[") <= MAX_NESTING  # as in most records: no need to look at each
    brackets = b"" if few else data.translate(None, NO_BRACKETS)
    if len(brackets) > 2 * MAX_CONTAINERS:
        raise ValueError("JSON of too many parts")
    try:
        value = _with_unique_keys(data) if unique_keys else DECODER.decode(data.decode())
    except RecursionError as error:
        raise ValueError("JSON that nests too deep") from error
    if b"\\u" in data:
        _check_characters(value)
    for _ in range(MAX_NESTING):
        if not brackets:
            return value
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:  # it nests too deep, or strings hold brackets
        _check_nesting(value)
    return value


def _with_unique_keys(data: bytes) -> Any:
    """The value of a JSON text. Raises ValueError where an object has a key twice."""
    keys = 0

    def counted(found: dict[str, Any]) -> dict[str, Any]:
        nonlocal keys
        keys += len(found)
        return found

    value = json.JSONDecoder(parse_constant=_refuse, object_hook=counted).decode(data.decode())
    if keys != data.count(b":"):  # each key has one of its own: so one is here twice, or text holds colons
        UNIQUE.decode(data.decode())
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"JSON that holds {constant}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("JSON that has a key twice")
    return values


DECODER = json.JSONDecoder(parse_constant=_refuse)
UNIQUE = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_unique)


def _check_characters(value: Any) -> None:
    """Raise ValueError for half a character, which can be escaped but neither be written nor printed."""
    with contextlib.suppress(RecursionError):  # it nests too deep, which is said next
        PLAIN.encode(value).encode()


def _check_nesting(value: Any) -> None:
    if next(islice(levels(value), MAX_NESTING, None), None) is not None:
        raise ValueError("JSON that nests too deep")


def _is_plain(value: Any) -> bool:
    """Whether a value is made of text, small integers, None and truth values only, and all keys are text."""
    for keys, values, kinds in levels([value]):
        if not (TEXT.issuperset(map(type, keys)) and PLAIN_KINDS.issuperset(kinds)):
            return False
        if int in kinds:
            numbers = [one for one in values if type(one) is int]
            if min(numbers) <= -(2**53) or max(numbers) >= 2**53:
                return False
    return True


def levels(value: Any) -> Iterator[tuple[list[Any], list[Any], set[type]]]:
    """All keys, all values, and their types, that are equally deep in dictionaries and lists, from the outside in.

    Checks look at hundreds of them at once.
    """
    level = [value]
    while level:
        dicts = [one for one in level if type(one) is dict]
        lists = [one for one in level if type(one) is list] if len(dicts) < len(level) else []
        values = [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]
        kinds = set(map(type, values))
        yield [*chain.from_iterable(dicts)], values, kinds
        level = [] if CONTAINERS.isdisjoint(kinds) else [one for one in values if type(one) in CONTAINERS]


def version_of(record: Mapping[str, Any]) -> str:
    """The version of a record: BLAKE3 of its canonical JSON without the keys in `UNVERSIONED`."""
    return hash_bytes(canonical_json({k: v for k, v in record.items() if k not in UNVERSIONED}))
