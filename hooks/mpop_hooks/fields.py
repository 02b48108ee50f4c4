"""What the fields of records may hold: kinds of values, ids and hashes, sizes with bounds.

The models of the science say it too, but whoever receives a record must be able to look at it without them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from mpop_hooks.names import is_name
from mpop_store.hashing import levels

POINT_GROUP = re.compile(r"[CD][1-9]\d{0,2}|T|O|I[1-4]?")
MAX_PATH = 4096
MAX_DEPTH = 20

KINDS = frozenset({dict, list, str, int, float, bool, type(None)})
TEXT = frozenset({str})

Check = Callable[[Any], bool]


class Together:
    """A check that looks at many values in one go: records hold hashes and raw images by the thousand."""

    def __call__(self, value: Any) -> bool:
        return self.accepts_all((value,))

    def accepts_all(self, values: Collection[Any]) -> bool:
        """Whether all of some values are as they should be."""
        raise NotImplementedError


class Hex(Together):
    """Text of so many hexadecimal digits, in lower case."""

    def __init__(self, *lengths: int) -> None:
        self._lengths = frozenset(lengths)

    def accepts_all(self, values: Collection[Any]) -> bool:
        if not (TEXT.issuperset(map(type, values)) and self._lengths.issuperset(map(len, values))):
            return False
        return not "".join(values).encode(errors="replace").translate(None, b"0123456789abcdef")


class OrNone(Together):
    """Nothing, or what a check accepts."""

    def __init__(self, check: Check) -> None:
        self._check = check

    def accepts_all(self, values: Collection[Any]) -> bool:
        return _accepts_all(self._check, [value for value in values if value is not None])


class WithFields(Together):
    """A dictionary with fields that checks accept."""

    def __init__(self, **checks: Check) -> None:
        self._checks = checks

    def accepts_all(self, values: Collection[Any]) -> bool:
        return all(isinstance(value, dict) for value in values) and all(
            _accepts_all(check, [value.get(key) for value in values]) for key, check in self._checks.items()
        )


def _accepts_all(check: Check, values: Collection[Any]) -> bool:
    return check.accepts_all(values) if isinstance(check, Together) else all(map(check, values))


def matches(pattern: re.Pattern[str]) -> Check:
    """Text of a form."""
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def between(low: float, high: float) -> Check:
    """A number."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def a(kind: type) -> Check:
    """Text, a dictionary..."""
    return lambda value: isinstance(value, kind)


def some(check: Check) -> Check:
    """A list of what a check accepts, not an empty one."""
    return lambda value: value != [] and each(check)(value)


def each(check: Check, length: int | None = None) -> Check:
    """A list of what a check accepts."""
    return lambda value: isinstance(value, list) and length in (None, len(value)) and _accepts_all(check, value)


def by(key: Check, check: Check) -> Check:
    """A dictionary from and to what checks accept."""
    return lambda value: (
        isinstance(value, dict) and _accepts_all(key, value) and _accepts_all(check, value.values())
    )


an_id, a_hash = Hex(16, 64), Hex(64)
a_path: Check = lambda value: isinstance(value, str) and 0 < len(value) <= MAX_PATH  # noqa: E731
a_raw_image = WithFields(path=a_path, hash=a_hash, size=between(0, 2**50), stored_object=OrNone(a_hash))
a_length = between(1e-3, 1e6)
kept_sums = WithFields(sums=OrNone(by(an_id, WithFields(key=a(str), group=a_hash))))

CHECKS: Mapping[str, tuple[Check, str]] = {
    "id": (an_id, "is not an id"),
    "species": (an_id, "is not an id"),
    "source": (an_id, "is not an id"),
    "job": (OrNone(an_id), "is not an id"),
    "name": (is_name, "is empty, too long or looks like a path"),
    "symmetry": (matches(POINT_GROUP), "is no point group"),
    "version": (a_hash, "is not a hash"),
    "parent": (OrNone(a_hash), "is not a hash"),
    "merged": (each(a_hash), "are not hashes"),
    "model_object": (a_hash, "is not a hash"),
    "attachments": (by(is_name, a_hash), "do not name objects by name"),
    "maps_object": (a_hash, "is not a hash"),
    "box": (between(1, 1024), "is not between 1 and 1024"),
    "n_particles": (between(0, 10**10), "is no number of particles"),
    "n_items": (between(0, 10**8), "is no number of series"),
    "pixel_size_A": (a_length, "is no length"),
    "diameter_A": (a_length, "is no length"),
    "resolution_A": (OrNone(a_length), "is no length"),
    "particles": (by(an_id, a_hash), "does not name groups by item id"),
    "item_versions": (by(an_id, a_hash), "does not name versions by item id"),
    "species_versions": (by(an_id, a_hash), "does not name versions by species id"),
    "parts": (by(Hex(2), a_hash), "does not name versions by two digits"),
    "items": (each(an_id), "are not ids"),
    "raw": (some(a_raw_image), "does not describe raw images"),
    "derived": (kept_sums, "does not describe what can be computed again"),
    "image_shape": (each(between(1, 10**6), 2), "are not rows and columns"),
    "volume_dims_A": (each(a_length, 3), "are not three lengths"),
    "verb": (a(str), "is no verb"),
    "parameters": (a(dict), "are not by name"),
    "inputs": (by(a(str), a_hash), "does not name versions by path"),
    "software": (by(a(str), a(str)), "does not name versions by program"),
    "series": (each(a(dict)), "does not list series"),
    "failed": (each(WithFields(item=an_id, name=is_name, reason=a(str))), "does not list series"),
    "warnings": (each(a(str)), "are not lines"),
    "result": (a(dict), "is not by name"),
}
"""Field -> what it must be, and what to say if it is not. Other fields ending in `_object` may name an object."""


def wrong_fields(record: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the fields of a record, in words."""
    if not _is_readable(record):
        yield "it holds characters that cannot be printed, or is nested too deeply"
    for field, value in record.items():
        check, complaint = CHECKS.get(field, (None, ""))
        if check is None and field.endswith("_object"):
            check, complaint = OrNone(a_hash), "is not a hash"
        if check is not None and not check(value):
            yield f"its {field} {complaint}"


def _is_readable(record: Mapping[str, Any]) -> bool:
    """Whether all text could be shown on a terminal as it is, and nothing is nested too deeply."""
    for depth, (keys, values, kinds) in enumerate(levels(dict(record))):
        if depth > MAX_DEPTH or not (TEXT.issuperset(map(type, keys)) and KINDS.issuperset(kinds)):
            return False
        texts = values if kinds == TEXT else [one for one in values if type(one) is str]
        if not ("".join(keys).isprintable() and "".join(texts).isprintable()):
            return False
    return True
