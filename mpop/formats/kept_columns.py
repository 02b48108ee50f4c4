"""All columns of a table that mpop does not use, kept for export as they are."""

from __future__ import annotations

from collections.abc import Sequence

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.table_reader import TableReader
from mpop_hooks.columns import MAX_COLUMNS

Columns = dict[str, list[str | float | int]]


def keep_columns(reader: TableReader, columns: Sequence[str]) -> Columns:
    """Those columns that can be kept, each as long as the table. One that cannot is doubted, and left out."""
    kept: Columns = {}
    for column in columns:
        try:
            if len(kept) == MAX_COLUMNS:
                raise InputError(f"{reader.path}: it has more than {MAX_COLUMNS} further columns")
            kept |= reader.kept([column])
        except InputError as error:
            reader.doubts.append(
                Doubt(
                    "column-not-kept",
                    f"{reader.path}: _{column[:80]}",
                    "it is not used",
                    f"it cannot be kept for export either ({error})",
                    "it is left out",
                )
            )
    return kept
