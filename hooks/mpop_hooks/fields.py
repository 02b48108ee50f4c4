"""Checks of what the fields of records hold: kinds of values, ids and hashes, sizes with bounds.

Which field must be what is in `mpop_hooks.schema`. Whoever receives a record looks at it with these, before the
models of the science read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mpop_store.hashing import levels

POINT_GROUP = re.compile(r"[CD][1-9]\d{0,2}|T|O|I[1-4]?")
MAX_PATH = 4096
MAX_DEPTH = 20

KINDS = frozenset({dict, list, str, int, float, bool, type(None)})
TEXT = frozenset({str})

Condition = Callable[[Any], bool]


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

    def __init__(self, check: Condition) -> None:
        self._check = check

    def accepts_all(self, values: Collection[Any]) -> bool:
        return _accepts_all(self._check, [value for value in values if value is not None])


class WithFields(Together):
    """A dictionary with fields that checks accept."""

    def __init__(self, **checks: Condition) -> None:
        self._checks = checks

    def accepts_all(self, values: Collection[Any]) -> bool:
        return all(isinstance(value, dict) for value in values) and all(
            _accepts_all(check, [value.get(key) for value in values]) for key, check in self._checks.items()
        )


def _accepts_all(check: Condition, values: Collection[Any]) -> bool:
    return check.accepts_all(values) if isinstance(check, Together) else all(map(check, values))


def matches(pattern: re.Pattern[str]) -> Condition:
    """Text of a form."""
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def between(low: float, high: float) -> Condition:
    """A number."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def a(kind: type) -> Condition:
    """Text, a dictionary..."""
    return lambda value: isinstance(value, kind)


def some(check: Condition) -> Condition:
    """A list of what a check accepts, not an empty one."""
    return lambda value: value != [] and each(check)(value)


def each(check: Condition, length: int | None = None) -> Condition:
    """A list of what a check accepts."""
    return lambda value: isinstance(value, list) and length in (None, len(value)) and _accepts_all(check, value)


def by(key: Condition, check: Condition) -> Condition:
    """A dictionary from and to what checks accept."""
    return lambda value: (
        isinstance(value, dict) and _accepts_all(key, value) and _accepts_all(check, value.values())
    )


def is_path(value: Any) -> bool:
    """Text of a length that a path can have."""
    return isinstance(value, str) and 0 < len(value) <= MAX_PATH


an_id, a_hash = Hex(16, 64), Hex(64)
a_length = between(1e-3, 1e6)


def is_readable(record: Mapping[str, Any]) -> bool:
    """Whether all text could be shown on a terminal as it is, and nothing is nested too deeply."""
    for depth, (keys, values, kinds) in enumerate(levels(dict(record))):
        if depth > MAX_DEPTH or not (TEXT.issuperset(map(type, keys)) and KINDS.issuperset(kinds)):
            return False
        texts = values if kinds == TEXT else [one for one in values if type(one) is str]
        if not ("".join(keys).isprintable() and "".join(texts).isprintable()):
            return False
    return True
