"""All columns of a table that mpop does not use, kept for export as they are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from mpop.doubts import Doubt
from mpop.formats.table_reader import TableReader
from mpop_hooks.columns import MAX_COLUMNS, MAX_INTEGER, problem_with_columns

Columns = dict[str, list[str | float | int]]

NAMED = 5
"""Columns that a doubt names."""


def keep_columns(reader: TableReader, columns: Iterable[str], room: int = MAX_COLUMNS) -> Columns:
    """Those of some columns of a block that can be kept, each as long as the table, `room` at most.

    The others are left out, with one doubt for all. Numbers that JSON does not have, as infinity, are text.
    """
    kept: Columns = {}
    problems: dict[str, str] = {}
    for column in columns:
        values = _plain(pd.Series(reader.table[column]))
        problem = problem_with_columns({column: values}, len(reader.table))
        if problem is None and len(kept) == room:
            problem = f"it has more than {MAX_COLUMNS} further columns"
        if problem is None:
            kept[column] = values
        else:
            problems[column] = problem
    if problems:
        reader.doubts.append(_not_kept(reader, problems))
    return kept


def keep_with_optics(reader: TableReader, columns: Iterable[str]) -> Columns:
    """Some columns of particles, and those that only their optics groups have, each (p,) long."""
    kept = keep_columns(reader, columns)
    if reader.optics is None or not len(reader.optics):
        return kept
    rows = reader.optics_rows()
    groups = TableReader(reader.path, "optics", reader.optics)
    further = [column for column in reader.optics.columns if not reader.has(column)]
    for column, values in keep_columns(groups, further, MAX_COLUMNS - len(kept)).items():
        kept[column] = [values[row] for row in rows]
    reader.doubts += groups.doubts
    return kept


def _not_kept(reader: TableReader, problems: dict[str, str]) -> Doubt:
    """problems: what is wrong with each column."""
    names = [f"_{name[:80]}" if name.isprintable() else repr(name[:80]) for name in [*problems][:NAMED]]
    more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return Doubt(
        "column-not-kept",
        f"{reader.path}: block data_{reader.block}",
        f"mpop does not use {', '.join(names)}{more}",
        f"it cannot be kept for export either: {next(iter(problems.values()))}",
        "it is left out" if len(problems) == 1 else "they are left out",
    )


def _plain(column: pd.Series) -> list[str | float | int]:
    """Values as they are kept: numbers of JSON, or text."""
    values = column.tolist()
    if pd.api.types.is_numeric_dtype(column):
        read = np.asarray(column, dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(read) | (np.abs(read) > MAX_INTEGER))
        for row in wrong.tolist():
            values[row] = str(values[row])
    return values
