"""Columns of a table of particles that mpop does not use and keeps for export: what may be in them.

They go into STAR files of other programs. A line break in the name of a column or in a value would be read there
as a further column or row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

COLUMN = re.compile("[A-Za-z_][A-Za-z0-9_]{0,63}")
EXTRA = "extra."
"""What the name of an array begins with that holds a column of numbers; columns of text are an attribute."""
MAX_COLUMNS = 200
MAX_TEXT = 4096
"""Characters of the longest value."""
MAX_INTEGER = 2**53
"""Up to here every integer is a number of JSON."""


def problem_with_columns(columns: Any, rows: int) -> str | None:
    """The first thing that is wrong with columns by name, in words; rows: how long each must be."""
    if not isinstance(columns, Mapping):
        return "its further columns are not by name"
    if len(columns) > MAX_COLUMNS:
        return f"it has more than {MAX_COLUMNS} further columns"
    for name, values in columns.items():
        if problem := problem_with_name(name):
            return problem
        if not isinstance(values, list) or len(values) != rows:
            return f"its column {name} does not have {rows} values"
        if _are_plain(values):
            continue
        if (wrong := next((row for row, value in enumerate(values) if not _is_plain(value)), None)) is not None:
            return (
                f"its column {name} holds {str(values[wrong])[:80]!r} in row {wrong + 1}, which cannot be exported"
            )
    return None


def problem_with_name(name: Any) -> str | None:
    """Why something cannot be the name of a column."""
    if isinstance(name, str) and COLUMN.fullmatch(name):
        return None
    return f"a column cannot be called {str(name)[:80]!r}; letters, digits and _ make the name of a column"


def _are_plain(values: list[Any]) -> bool:
    """Whether values of one type are all plain, in a small part of the time that one after the other takes."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return all(map(math.isfinite, values))
    if kinds == {int}:
        return max(values) <= MAX_INTEGER and min(values) >= -MAX_INTEGER
    return kinds == {str} and max(map(len, values)) <= MAX_TEXT and all(map(str.isprintable, values))


def _is_plain(value: Any) -> bool:
    """Whether a value is a finite number that JSON keeps as it is, or text in one line."""
    if isinstance(value, str):
        return len(value) <= MAX_TEXT and value.isprintable()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= MAX_INTEGER
