"""STAR as the programs of this field write it: a row is a line, and text stays as it stands.

    data_NAME           begins a block
    loop_               begins its table: names of columns (`_rlnTomoName #1`), a line each, then a line a row
    _rlnVoltage 300     or a block of single values, which becomes a table of one row

Values are parted by blanks; one in quotation marks may hold blanks. A `#` begins a comment at the start of a line
or behind the last value; elsewhere it is part of a value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

VALUE = re.compile(r"""(['"])(.*?)\1(?=\s|$)|(\S+)""")
"""One value: in quotation marks that end before a blank, or up to the next blank."""
END = "\0"
"""Between rows; no text has it."""
LEADING_ZERO = re.compile(r"0\d+$")
NO_NUMBER = ("nan", "-nan", "+nan")
TEXT_SUFFIXES = ("Name", "Hash", "File", "Image")
"""Ends of the names of columns that hold names: a series `00254` is not the number 254."""


def parse_star(text: str) -> dict[str, pd.DataFrame]:
    """The blocks of a STAR file by name; those with nothing in them are left out. Raises ValueError.

    text: without the character 0. Columns whose values are all numbers become numbers, unless they hold names.
    Where neither RELION nor Warp says what a column holds, leading zeros (`007`) make it text.
    """
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    starts = [number for number, line in enumerate(lines) if line[:5].lower() == "data_"]
    blocks: dict[str, pd.DataFrame] = {}
    seen: dict[str, int] = {}
    for start, end in pairwise([*starts, len(lines)]):
        name = lines[start].split()[0][5:]
        if name in seen:
            raise ValueError(
                f"two blocks are called data_{name}, in lines {seen[name] + 1} and {start + 1}; "
                "make them one table, or take one out"
            )
        seen[name] = start
        filled = [n for n in range(start + 1, end) if lines[n] and lines[n][0] != "#"]
        if filled:
            blocks[name] = _block(name, lines, filled)
    if starts and not blocks:
        raise ValueError("its blocks are empty")
    return blocks


def _block(name: str, lines: list[str], filled: list[int]) -> pd.DataFrame:
    """A table from a block. filled: the numbers of its lines that are neither empty nor comments."""
    first = lines[filled[0]]
    if first.split()[0].lower() == "loop_":
        return _loop(name, lines, filled[1:])
    if not first.startswith("_"):
        raise ValueError(f"line {filled[0] + 1} is neither loop_ nor a name with a value: {first[:40]!r}")
    pairs = [_row(lines[n], 2, n) for n in filled]
    return _table(name, [pair[0] for pair in pairs], [[pair[1]] for pair in pairs])


def _loop(name: str, lines: list[str], filled: list[int]) -> pd.DataFrame:
    columns: list[str] = []
    for n in filled:
        parts = lines[n].split(None, 2)
        if not parts[0].startswith("_") or (len(parts) > 1 and not parts[1].startswith("#")):
            break
        columns.append(parts[0])
    if not columns:
        raise ValueError(f"block data_{name} has a loop_ without columns")
    rows = filled[len(columns) :]
    return _table(name, columns, _plain(lines, rows, len(columns)) or _by_row(lines, rows, len(columns)))


def _plain(lines: list[str], rows: list[int], count: int) -> list[list[str]] | None:
    """The columns of rows without quotation marks and comments, split in one go; None where there may be such."""
    text = f" {END} ".join([*(lines[n] for n in rows), ""])
    if '"' in text or "'" in text or not text.isascii():
        return None
    values = text.split()
    ends = values[count :: count + 1]
    if len(values) != len(rows) * (count + 1) or ends.count(END) != len(rows):
        return None
    return [values[column :: count + 1] for column in range(count)]


def _by_row(lines: list[str], rows: list[int], count: int) -> list[list[str]]:
    values = [_row(lines[n], count, n) for n in rows]
    return [[row[column] for row in values] for column in range(count)]


def _row(line: str, count: int, number: int) -> list[str]:
    """The values of a line, of which there must be so many."""
    if '"' in line or "'" in line:
        values = [match[2] if match[1] else match[3] for match in VALUE.finditer(line)]
    elif line.isascii():
        values = line.split()
    else:  # blanks that are not ASCII are part of a name
        values = re.findall(r"[^ \t\v\f]+", line)
    if len(values) != count:
        if len(values) < count or not values[count].startswith("#"):
            raise ValueError(f"line {number + 1} holds {len(values)} values, expected {count}")
        del values[count:]
    return values


def _table(block: str, names: Sequence[str], columns: Sequence[Sequence[str]]) -> pd.DataFrame:
    table: dict[str, pd.Series] = {}
    written: dict[str, Sequence[str]] = {}
    for name, values in zip((name[1:] for name in names), columns, strict=True):
        if written.setdefault(name, values) != values:
            raise ValueError(
                f"block data_{block} has column _{name} twice, with different values; take the wrong one out"
            )
        table[name] = _column(name, values)
    return pd.DataFrame(table)


def _column(name: str, values: Sequence[str]) -> pd.Series:
    """Numbers, where all values are, or else text."""
    text = pd.Series(values, dtype=object)
    if name.endswith(TEXT_SUFFIXES) or "" in values:
        return text
    numbers = _numbers(text)
    if numbers is None:
        numbers = _numbers(text.mask(text.str.lower().isin(NO_NUMBER)))
    if numbers is None:
        return text
    if not name.startswith(("rln", "wrp")) and any(map(LEADING_ZERO.match, values)):
        return text
    return text if numbers.isna().all() else numbers


def _numbers(text: pd.Series) -> pd.Series | None:
    try:
        return pd.Series(pd.to_numeric(text))
    except ValueError:
        return None
