"""One block of particles in a STAR file, column by column, with errors that name file, block, column and row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.star import Blocks

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
        return values[self.optics_rows()]

    def optics_rows(self) -> NDArray[np.intp]:
        """(p,) row of data_optics of every particle.

        Raises InputError when data_optics does not say it without contradiction.
        """
        assert self.optics is not None
        if not len(self.optics):
            raise InputError(f"{self.path}: block data_optics has no rows")
        group = "rlnOpticsGroup"
        if group not in self.optics.columns or not self.has(group):
            if len(self.optics) == 1:
                return np.zeros(len(self.table), dtype=np.intp)
            lacks = f"block data_{self.block}" if group in self.optics.columns else "data_optics"
            raise InputError(f"{self.path}: {len(self.optics)} optics groups, but {lacks} has no column _{group}")
        numbers, rows = self._optics_numbers()
        wanted = self.numbers([group])[:, 0]
        place = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
        unknown = np.unique(wanted[numbers[place] != wanted])
        if len(unknown):
            raise InputError(f"{self.path}: optics group {unknown[0]:g} is used but not in data_optics")
        return rows[place]

    def _optics_numbers(self) -> tuple[Array, NDArray[np.intp]]:
        """(g,) numbers of the optics groups, sorted, and row of each. One that is there twice must be the same."""
        assert self.optics is not None
        read = np.asarray(pd.to_numeric(self.optics["rlnOpticsGroup"], errors="coerce"), dtype=np.float64)
        if not np.isfinite(read).all():
            raise InputError(f"{self.path}: _rlnOpticsGroup is not a number in data_optics")
        numbers, rows, counts = np.unique(read, return_index=True, return_counts=True)
        for number in numbers[counts > 1]:
            for column in self.optics.columns.drop("rlnOpticsGroupName", errors="ignore"):
                values = list(dict.fromkeys(self.optics[column].to_numpy()[read == number].tolist()))
                if len(values) > 1:
                    raise InputError(
                        f"{self.path}: data_optics has group {number:g} twice, with _{column} {values[0]} and "
                        f"{values[1]}; give each group a number of its own"
                    )
        return numbers, rows


def block_with(path: Path, blocks: Blocks, marks: Callable[[str], bool]) -> str | None:
    """The name of the block of particles: `particles`, or the only one with columns that are marks of particles.

    Raises InputError when several are.
    """
    if "particles" in blocks:
        return "particles"
    found = [name for name, table in blocks.items() if any(marks(column) for column in table.columns)]
    if len(found) > 1:
        names = ", ".join(f"data_{name} ({len(blocks[name])} rows)" for name in found)
        raise InputError(f"{path}: several blocks hold particles: {names}; leave the one that is meant")
    return found[0] if found else None
