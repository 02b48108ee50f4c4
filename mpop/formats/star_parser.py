"""STAR as the programs of this field write it, parsed by gemmi: a row is a line, and text stays as it stands.

gemmi's grammar is that of CIF, which is STAR with a little less and a little more: characters beyond ASCII are
given to it in UTF-7, and rows that are not one line each, which RELION cannot read either, are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    as_written = not (encoded or any(quote in text for quote in QUOTES))
    tables: dict[str, pd.DataFrame] = {}
    for block in document:
        if columns := _columns(block, lines):
            name, *names = (_plain(name, encoded) for name in (block.name.removeprefix(UNNAMED), *columns))
            values = list(columns.values())
            if not as_written:
                values = [[_plain(value, encoded) for value in column] for column in values]
            tables[name] = pd.DataFrame({n: _column(n, v) for n, v in zip(names, values, strict=True)})
    if len(document) and not tables:
        raise ValueError("its blocks are empty")
    return tables


def _columns(block: gemmi.cif.Block, lines: Sequence[str]) -> dict[str, list[str]]:
    """The values of a block by name, as they are written."""
    pairs = {tag[1:]: [value] for tag, value in (cast(tuple[str, str], item.pair) for item in block if item.pair)}
    loops = [item for item in block if item.loop is not None]
    if not loops:
        return pairs
    if pairs or len(loops) > 1:
        name = block.name.removeprefix(UNNAMED)
        raise ValueError(f"block data_{name} holds more than one table; give each a block of its own")
    (item,) = loops
    loop = item.loop
    _require_a_line_for_each_row(loop, item.line_number, lines)
    values, width = loop.values, loop.width()
    return {tag[1:]: values[column::width] for column, tag in enumerate(loop.tags)}


def _require_a_line_for_each_row(loop: gemmi.cif.Loop, line_number: int, lines: Sequence[str]) -> None:
    """line_number: of `loop_`, the first is 1. Rows with quotation marks or comments are only counted."""
    width, found = loop.width(), -loop.width()  # the lines of its columns come first
    for number, line in enumerate(lines[line_number:], start=line_number + 1):
        words = line.split()
        if words and words[0].lower().startswith("data_"):
            break
        if not words or words[0].startswith("#"):
            continue
        found += 1
        if found > 0 and len(words) != width and not set(line) & {"'", '"', "#"}:
            raise ValueError(f"line {number} holds {len(words)} values, expected {width}")
    if found != loop.length():
        raise ValueError(
            f"line {line_number}: a table of {loop.length()} rows in {found} lines; each row must be one"
        )


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
