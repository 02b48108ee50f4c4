"""What the fields of records may hold: kinds of values, ids and hashes, sizes with bounds.

The models of the science say it too, but whoever receives a record must be able to look at it without them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from mpop_hooks.names import is_name

POINT_GROUP = re.compile(r"[CD][1-9]\d{0,2}|T|O|I[1-4]?")
MAX_PATH = 4096
MAX_DEPTH = 20

SCALARS = frozenset({str, int, float, bool, type(None)})
TEXT = frozenset({str})

Check = Callable[[Any], bool]


class Hex:
    """Text of so many hexadecimal digits, in lower case. Records hold these by the thousand: many are looked at
    together."""

    def __init__(self, *lengths: int) -> None:
        self._lengths = frozenset(lengths)

    def __call__(self, value: Any) -> bool:
        return self.accepts_all((value,))

    def accepts_all(self, values: Collection[Any]) -> bool:
        """Whether all of some values are such text."""
        if not (TEXT.issuperset(map(type, values)) and self._lengths.issuperset(map(len, values))):
            return False
        return not "".join(values).encode(errors="replace").translate(None, b"0123456789abcdef")


def _accepts_all(check: Check, values: Collection[Any]) -> bool:
    return check.accepts_all(values) if isinstance(check, Hex) else all(map(check, values))


def matches(pattern: re.Pattern[str]) -> Check:
    """Text of a form."""
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def between(low: float, high: float) -> Check:
    """A number."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def a(kind: type) -> Check:
    """Text, a dictionary..."""
    return lambda value: isinstance(value, kind)


def or_none(check: Check) -> Check:
    """Nothing, or what a check accepts."""
    return lambda value: value is None or check(value)


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


def with_fields(**checks: Check) -> Check:
    """A dictionary with fields that checks accept."""
    return lambda value: isinstance(value, dict) and all(check(value.get(key)) for key, check in checks.items())


an_id, a_hash = Hex(16, 64), Hex(64)
a_path: Check = lambda value: isinstance(value, str) and 0 < len(value) <= MAX_PATH  # noqa: E731
a_raw_image = with_fields(path=a_path, hash=a_hash, size=between(0, 2**50), stored_object=or_none(a_hash))
a_length = between(1e-3, 1e6)
kept_sums = with_fields(sums=or_none(by(an_id, with_fields(key=a(str), group=a_hash))))

CHECKS: Mapping[str, tuple[Check, str]] = {
    "id": (an_id, "is not an id"),
    "species": (an_id, "is not an id"),
    "source": (an_id, "is not an id"),
    "job": (or_none(an_id), "is not an id"),
    "name": (is_name, "is empty, too long or looks like a path"),
    "symmetry": (matches(POINT_GROUP), "is no point group"),
    "version": (a_hash, "is not a hash"),
    "parent": (or_none(a_hash), "is not a hash"),
    "merged": (each(a_hash), "are not hashes"),
    "model_object": (a_hash, "is not a hash"),
    "maps_object": (a_hash, "is not a hash"),
    "box": (between(1, 1024), "is not between 1 and 1024"),
    "n_particles": (between(0, 10**10), "is no number of particles"),
    "n_items": (between(0, 10**8), "is no number of series"),
    "pixel_size_A": (a_length, "is no length"),
    "diameter_A": (a_length, "is no length"),
    "resolution_A": (or_none(a_length), "is no length"),
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
    "failed": (each(with_fields(item=an_id, name=is_name, reason=a(str))), "does not list series"),
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
            check, complaint = or_none(a_hash), "is not a hash"
        if check is not None and not check(value):
            yield f"its {field} {complaint}"


def _is_readable(record: Mapping[str, Any]) -> bool:
    """Whether all text could be shown on a terminal as it is, and nothing is nested too deeply."""
    try:
        text = json.dumps(record, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):
        return False
    if "\\" not in text:  # nothing had to be escaped, so the whole shows what its parts hold
        return text.isprintable() and _is_shallow(record)
    return _is_shallow(record) and _is_printable(record)


def _is_shallow(value: Any, depth: int = 0) -> bool:
    if depth > MAX_DEPTH:
        return False
    inside = value.values() if isinstance(value, Mapping) else value
    if SCALARS.issuperset(map(type, inside)):  # of hundreds, at once
        return True
    return all(_is_shallow(one, depth + 1) for one in inside if isinstance(one, dict | list))


def _is_printable(value: Any) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, Mapping):
        return all(_is_printable(one) for pair in value.items() for one in pair)
    return not isinstance(value, list) or all(_is_printable(one) for one in value)
