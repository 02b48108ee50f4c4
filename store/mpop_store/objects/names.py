"""Many names of objects in one file, with a few words about them.

magic     8 bytes
about     4 bytes length (LE), then canonical JSON
counts    8 bytes number of groups, 8 bytes number of objects (LE)
names     32 bytes each: the groups ascending, then the objects ascending
trailer   BLAKE3 (32 bytes) of everything before
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from mpop_store.durable import TEMPORARY, fsync, fsync_all
from mpop_store.errors import DamagedObjectError
from mpop_store.hashing import canonical_json, parse_json
from mpop_store.objects.loose import open_regular
from mpop_store.objects.packs import NAME_SIZE, TRAILER_SIZE, Names, find_name

MAGIC = b"MPOPNAM\x01"
LENGTH = struct.Struct("<I")
COUNTS = struct.Struct("<QQ")


class NameSet:
    """Names of objects, kept as 32 bytes each: there may be a million."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        found = _sorted(np.frombuffer(bytes.fromhex("".join(names)), "S32"))[0]
        self.raw: Names = found[~_is_followed_by_same(found)]

    @classmethod
    def of(cls, raw: Names) -> NameSet:
        """Raw names, ascending, each once."""
        made = cls()
        made.raw = raw
        return made

    def __contains__(self, name: str) -> bool:
        return find_name(self.raw, name) is not None

    def __len__(self) -> int:
        return len(self.raw)

    def __or__(self, other: NameSet) -> NameSet:
        found, _ = _sorted(np.concatenate([self.raw, other.raw]))
        return NameSet.of(found[~_is_followed_by_same(found)])

    def __and__(self, other: NameSet) -> NameSet:
        found, _ = _sorted(np.concatenate([self.raw, other.raw]))
        return NameSet.of(found[_is_followed_by_same(found)])

    def __sub__(self, other: NameSet) -> NameSet:
        found, order = _sorted(np.concatenate([self.raw, other.raw]))
        return NameSet.of(found[~_is_followed_by_same(found) & (order < len(self.raw))])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NameSet) and bool(np.array_equal(self.raw, other.raw))

    def hex(self) -> list[str]:
        """The names, ascending."""
        digits = self.raw.tobytes().hex()
        return [digits[start : start + 2 * NAME_SIZE] for start in range(0, len(digits), 2 * NAME_SIZE)]


def _sorted(raw: Names) -> tuple[Names, NDArray[np.intp]]:
    """Names in ascending order, and the place where each was; of equal ones the first comes first.

    Sorted as four numbers each, for NumPy takes ten times as long for text.
    """
    numbers = raw.view(">u8").reshape(-1, NAME_SIZE // 8).astype(np.uint64)
    order = np.lexsort(numbers.T[::-1])
    return raw[order], order


def _is_followed_by_same(names: Names) -> NDArray[np.bool_]:
    """Of ascending names, which come once more."""
    return np.append(names[1:] == names[:-1], [False] * min(1, len(names))).astype(bool)


@dataclass(frozen=True)
class NameFile:
    """What such a file holds. groups: names of manifests, with which all that they consist of is meant."""

    about: Mapping[str, Any] = field(default_factory=dict)
    groups: NameSet = field(default_factory=NameSet)
    objects: NameSet = field(default_factory=NameSet)

    def write(self, path: Path) -> None:
        """Put the file in place, durable. Raises OSError."""
        about = canonical_json(dict(self.about))
        body = MAGIC + LENGTH.pack(len(about)) + about + COUNTS.pack(len(self.groups), len(self.objects))
        body += self.groups.raw.tobytes() + self.objects.raw.tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(body + blake3(body).digest())
            fsync_all([temporary])
            os.replace(temporary, path)
            for folder in list(path.parents)[:3]:  # those of promises may be new
                fsync(folder)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> NameFile:
        """Raises FileNotFoundError, or DamagedObjectError for what is not such a file."""
        with open_regular(path) as file:
            content = file.read()
        body = memoryview(content)[:-TRAILER_SIZE]
        if bytes(body[: len(MAGIC)]) != MAGIC or blake3(body).digest() != content[-TRAILER_SIZE:]:
            raise DamagedObjectError(f"{path} is damaged")
        try:
            (length,) = LENGTH.unpack_from(body, len(MAGIC))
            at = len(MAGIC) + LENGTH.size
            about = parse_json(bytes(body[at : at + length]))
            n_groups, n_objects = COUNTS.unpack_from(body, at + length)
            at += length + COUNTS.size
            if not isinstance(about, dict) or len(body) != at + NAME_SIZE * (n_groups + n_objects):
                raise ValueError("lengths")
        except (ValueError, struct.error) as error:
            raise DamagedObjectError(f"{path} is damaged") from error
        groups = np.frombuffer(body, "S32", n_groups, at)
        objects = np.frombuffer(body, "S32", n_objects, at + NAME_SIZE * n_groups)
        return cls(about, NameSet.of(groups), NameSet.of(objects))
