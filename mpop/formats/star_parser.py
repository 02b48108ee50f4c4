"""STAR as the programs of this field write it, parsed by gemmi: a row is a line, and text stays as it stands.

gemmi's grammar is that of CIF, which is STAR with a little less and a little more: characters beyond ASCII are
given to it in UTF-7, and rows that are not one line each, which RELION cannot read either, are refused here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from io import StringIO
from typing import cast

import gemmi
import pandas as pd

BLOCK = re.compile(r"^\s*data_", re.IGNORECASE | re.MULTILINE)
WHERE = re.compile(r"^string:(\d+)(?::\d+\(\d+\))?")
"""Where gemmi met an error: the line, and more that says nothing to a user."""
UNNAMED = " "
"""gemmi's name of a block that has none."""
QUOTES = ("'", '"', ";")
"""What a value begins with that does not stand as it is meant."""
COMMENT = "#"
LEADING_ZERO = re.compile(r"0\d+$")
NO_NUMBER = ("nan", "-nan", "+nan")
TEXT_SUFFIXES = ("Name", "Hash", "File", "Image")
"""Ends of the names of columns that hold names: a series `00254` is not the number 254."""


def parse_star(text: str) -> dict[str, pd.DataFrame]:
    """The blocks of a STAR file by name; those with nothing in them are left out. Raises ValueError.

    Columns whose values are all numbers become numbers, unless they hold names. Where neither RELION nor Warp says
    what a column holds, leading zeros (`007`) make it text. A block of single values becomes a table of one row.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not BLOCK.search(text):
        return {}
    encoded = not text.isascii()
    if encoded:
        text = text.encode("utf-7").decode("ascii")
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        raise ValueError(WHERE.sub(r"line \1", str(error)).removeprefix("string: ")) from error
    lines = text.split("\n")
    tables: dict[str, pd.DataFrame] = {}
    for block in document:
        if columns := _columns(block, lines, encoded):
            tables[_plain(block.name.removeprefix(UNNAMED), encoded)] = pd.DataFrame(columns)
    if len(document) and not tables:
        raise ValueError("its blocks are empty")
    return tables


def _columns(block: gemmi.cif.Block, lines: Sequence[str], encoded: bool) -> dict[str, pd.Series]:
    """The columns of a block by name."""
    pairs = {tag: [value] for tag, value in (cast(tuple[str, str], item.pair) for item in block if item.pair)}
    loops = [item for item in block if item.loop is not None]
    if (pairs and loops) or len(loops) > 1:
        name = block.name.removeprefix(UNNAMED)
        raise ValueError(f"block data_{name} holds more than one table; give each a block of its own")
    if not loops:
        tags, numbers, as_written = list(pairs), {}, False
    else:
        (item,) = loops
        tags = list(item.loop.tags)
        rows = "\n".join(_rows(item.loop, item.line_number, lines))
        as_written = not (encoded or any(mark in rows for mark in (*QUOTES, COMMENT)))
        numbers = _numbers_at_once(tags, rows) if as_written else {}
    columns: dict[str, pd.Series] = {}
    for tag in tags:
        name = _plain(tag[1:], encoded)
        if tag in numbers:
            columns[name] = numbers[tag]
            continue
        values = pairs[tag] if not loops else list(block.find_loop(tag))
        columns[name] = _column(name, values if as_written else [_plain(value, encoded) for value in values])
    return columns


def _rows(loop: gemmi.cif.Loop, line_number: int, lines: Sequence[str]) -> list[str]:
    """The lines of a loop's rows. Raises ValueError where rows are not one line each.

    line_number: of `loop_`, the first is 1. Rows with quotation marks or comments are only counted.
    """
    width, found = loop.width(), -loop.width()  # the lines of its columns come first
    rows = []
    for number, line in enumerate(lines[line_number:], start=line_number + 1):
        words = line.split()
        if words and words[0].lower().startswith("data_"):
            break
        if not words or words[0].startswith(COMMENT):
            continue
        found += 1
        if found > 0:
            rows.append(line)
            if len(words) != width and not set(line) & {"'", '"', COMMENT}:
                raise ValueError(f"line {number} holds {len(words)} values, expected {width}")
    if found != loop.length():
        raise ValueError(
            f"line {line_number}: a table of {loop.length()} rows in {found} lines; each row must be one"
        )
    return rows


def _numbers_at_once(tags: Sequence[str], rows: str) -> dict[str, pd.Series]:
    """The columns by tag that are all numbers, of rows without quotation marks and comments. It is `_column` for
    those whose text says all that there is to know, and many times as fast."""
    chosen = [tag for tag in tags if tag.startswith(("_rln", "_wrp")) and not tag.endswith(TEXT_SUFFIXES)]
    if not rows or not chosen:
        return {}
    table = pd.read_csv(
        StringIO(rows),
        sep=r"\s+",
        header=None,
        names=range(len(tags)),
        usecols=[tags.index(tag) for tag in chosen],
        index_col=False,
        na_filter=False,
        quoting=csv.QUOTE_NONE,
        low_memory=False,
    )
    columns = {tag: table[tags.index(tag)].to_numpy() for tag in chosen}
    return {tag: pd.Series(column) for tag, column in columns.items() if column.dtype.kind in "iuf"}


def _plain(text: str, encoded: bool) -> str:
    """Text as it is meant."""
    if text.startswith(QUOTES):
        text = gemmi.cif.as_string(text)
    return text.encode("ascii").decode("utf-7") if encoded else text


def _column(name: str, values: list[str]) -> pd.Series:
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
