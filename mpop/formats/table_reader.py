"""One block of particles in a STAR file, column by column, with errors that name file, block, column and row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop_hooks.columns import problem_with_columns

Array = NDArray[np.float64]


class TableReader:
    """A block of p rows. optics: the block of optics groups, if the file has one. doubts: found so far."""

    def __init__(self, path: Path, block: str, table: pd.DataFrame, optics: pd.DataFrame | None = None) -> None:
        self.path, self.block, self.table, self.optics = path, block, table, optics
        self.doubts: list[Doubt] = []

    def has(self, *columns: str) -> bool:
        """Whether the block has all of these columns."""
        return all(column in self.table.columns for column in columns)

    def numbers(self, columns: Sequence[str]) -> Array:
        """(p, c) finite numbers of some columns."""
        missing = [column for column in columns if not self.has(column)]
        if missing:
            names = ", ".join(f"_{column}" for column in missing)
            raise InputError(f"{self.path}: block data_{self.block} has no column {names}")
        read = [np.asarray(pd.to_numeric(self.table[c], errors="coerce"), dtype=np.float64) for c in columns]
        numbers = np.stack(read, axis=1)
        bad = np.argwhere(~np.isfinite(numbers))
        if len(bad):
            rows = ", ".join(str(r + 1) for r in np.unique(bad[:, 0])[:5])
            column = columns[int(bad[0, 1])]
            raise InputError(f"{self.path}: _{column} is not a number in rows {rows}")
        return numbers

    def whole(self, columns: Sequence[str]) -> Array | None:
        """(p, c) numbers of columns that mean nothing without each other; None when the block has none of them.

        Raises InputError when it has some of them.
        """
        return self.numbers(columns) if any(self.has(column) for column in columns) else None

    def shift(self, columns: Sequence[str]) -> Array | None:
        """(p, c) components of a shift; None when the block has none of them.

        Those that are missing are 0: doubtful, unless no particle is shifted.
        """
        given = [column for column in columns if self.has(column)]
        if not given:
            return None
        shift = np.zeros((len(self.table), len(columns)))
        shift[:, [columns.index(column) for column in given]] = self.numbers(given)
        missing = [column for column in columns if column not in given]
        if missing and shift.any():
            has, lacks = (", ".join(f"_{column}" for column in some) for some in (given, missing))
            self.doubts.append(
                Doubt(
                    "partial-columns",
                    f"{self.path}: block data_{self.block}",
                    f"it has {has}",
                    f"not {lacks}",
                    "the missing part of the shift is taken as 0",
                )
            )
        return shift

    def kept(self, columns: Sequence[str]) -> dict[str, list[str | float | int]]:
        """Those of some columns that the block has, to be kept for export, each (p,) long."""
        kept = {column: self.table[column].tolist() for column in columns if self.has(column)}
        if problem := problem_with_columns(kept, len(self.table)):
            raise InputError(f"{self.path}: block data_{self.block}: {problem}")
        for column, values in kept.items():
            quoted = [row for row, value in enumerate(values, start=1) if isinstance(value, str) and '"' in value]
            if quoted:
                raise InputError(
                    f"{self.path}: _{column} holds a quotation mark in row {quoted[0]}, which programs read in "
                    "different ways; take it out"
                )
        return kept

    def half(self, column: str) -> NDArray[np.uint8] | None:
        """(p,) half-sets, None when the block does not tell them."""
        if not self.has(column):
            return None
        half = self.numbers([column])[:, 0]
        wrong = np.flatnonzero(~np.isin(half, (1, 2)))
        if len(wrong):
            raise InputError(
                f"{self.path}: _{column} is {half[wrong[0]]:g} in row {wrong[0] + 1}, expected 1 or 2"
            )
        return half.astype(np.uint8)

    def of_optics(self, column: str) -> Array | None:
        """(p,) value of every particle, its own or that of its optics group; None when neither is there."""
        if self.has(column):
            return self.numbers([column])[:, 0]
        if self.optics is None or column not in self.optics.columns:
            return None
        values = np.asarray(pd.to_numeric(self.optics[column], errors="coerce"), dtype=np.float64)
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: _{column} is not a number in data_optics")
        if len(values) == 1:
            return np.full(len(self.table), values[0])
        groups = {int(g): v for g, v in zip(self.optics["rlnOpticsGroup"], values, strict=True)}
        wanted = self.numbers(["rlnOpticsGroup"])[:, 0].astype(int)
        unknown = sorted(set(wanted) - set(groups))
        if unknown:
            raise InputError(f"{self.path}: optics group {unknown[0]} is used but not in data_optics")
        return np.array([groups[g] for g in wanted])
