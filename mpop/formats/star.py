"""STAR tables: parsed by gemmi, written through starfile; errors name file, block and column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pandas as pd
import starfile

from mpop.errors import InputError, StateError
from mpop.formats.files import replacing, require_file
from mpop.formats.known_kinds import STAR, is_not
from mpop.formats.star_parser import parse_star
from mpop_hooks.columns import COLUMN

Blocks = dict[str, pd.DataFrame]
PLAIN = re.compile(r"(?!data_|save_|loop_|stop_|global_|\.$)[A-Za-z0-9./@+-][!-~]*", re.IGNORECASE)
"""Text without need of quotation marks. gemmi puts them around `TS_01`, and Warp and M do not take them off."""
LIST = re.compile(r"\[[^\s'\"#]*\]")
"""A list of numbers as RELION writes it, without quotation marks: `[0.1,2,3]`."""


def read_star(path: Path) -> Blocks:
    """All blocks of a STAR file as tables; a block of single values becomes a table of one row."""
    require_file(path)
    try:
        tables = parse_star(_text(path))
    except ValueError as error:
        raise InputError(is_not(path, STAR, f"not a readable STAR file ({error})")) from error
    if not tables:
        raise InputError(is_not(path, STAR, "no data block; is it a STAR file?"))
    return tables


def _text(path: Path) -> str:
    """What a file says, in UTF-8, or else in Latin-1 as older programs write it; nothing for what is no text."""
    content = path.read_bytes()
    if b"\0" in content:
        return ""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def write_star(path: Path, blocks: Mapping[str, pd.DataFrame | Mapping[str, float | str]]) -> None:
    """Write tables, whole or not at all; numbers with six decimals. The same tables give the same bytes.

    Text is quoted where STAR needs it. Raises StateError for text that cannot stand in one line of a STAR file.
    A dictionary becomes a simple block: a line for each name and its value. starfile begins a file with a comment
    that tells the time; it is taken off.
    """
    tables: dict[str, Any] = {}
    for name, block in blocks.items():
        tables[name] = _quoted(block) if isinstance(block, pd.DataFrame) else _simple(block)
    with replacing(path) as temporary:
        starfile.write(tables, temporary, float_format="%.6f", quote_character="", overwrite=True)
        text = temporary.read_text(encoding="utf-8")
        temporary.write_text(text[text.index("data_") :], encoding="utf-8")


def _quoted(table: pd.DataFrame) -> pd.DataFrame:
    """A table with its text as it stands in a STAR file: starfile's own quoting knows blanks alone."""
    for name in table.columns:
        _require_column(str(name))
    text = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{name: [_quote(name, value) for value in table[name]] for name in text})


def _simple(block: Mapping[str, float | str]) -> dict[str, str]:
    """starfile's format of numbers does not reach simple blocks."""
    lines = {name: value if isinstance(value, str) else f"{value:.6f}" for name, value in block.items()}
    return {_require_column(name): _quote(name, value) for name, value in lines.items()}


def _require_column(name: str) -> str:
    if not COLUMN.fullmatch(name):
        raise StateError(f"{name[:80]!r} cannot be the name of a column in a STAR file; it is not exported")
    return name


def _quote(column: str, value: Any) -> Any:
    """A value of a column of text."""
    if not isinstance(value, str) or LIST.fullmatch(value) or PLAIN.fullmatch(value):
        return value
    quoted = gemmi.cif.quote(value) if value.isprintable() else "\n"
    if "\n" in quoted:  # both quotation marks before blanks: STAR has only a block of lines for that
        raise StateError(f"{value[:80]!r}, in _{column}, cannot stand in one line of a STAR file; rename it")
    return quoted


def read_star_table(path: Path, required: Iterable[str] = ()) -> pd.DataFrame:
    """The only block of a STAR file."""
    name, table = next(iter(read_star(path).items()))
    require_columns(table, required, path, name)
    return table


def require_columns(table: pd.DataFrame, columns: Iterable[str], path: Path, block: str) -> None:
    """InputError naming the columns that a block lacks."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        names = ", ".join(f"_{column}" for column in missing)
        raise InputError(f"{path}: block data_{block} has no column {names}")


def require_numbers(table: pd.DataFrame, columns: Iterable[str], path: Path, block: str) -> None:
    """InputError naming a column that is missing, or holds something else than numbers.

    A column that was read as text for its `-nan`, as C prints it, becomes one of numbers.
    """
    columns = list(columns)
    require_columns(table, columns, path, block)
    for column in columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            wrong = [value for value in table[column] if not _is_number(value)]
            if wrong:
                raise InputError(f"{path}: block data_{block}, column _{column}: {wrong[0]!r} is not a number")
            table[column] = table[column].astype(np.float64)


def require_finite(table: pd.DataFrame, columns: Iterable[str], path: Path, block: str) -> None:
    """As require_numbers; NaN and infinity are no numbers either."""
    columns = list(columns)
    require_numbers(table, columns, path, block)
    for column in columns:
        lost = np.flatnonzero(~np.isfinite(table[column].to_numpy(np.float64)))
        if len(lost):
            raise InputError(
                f"{path}: block data_{block}, row {lost[0] + 1}: _{column} is {table[column].iloc[lost[0]]}, "
                "not a finite number"
            )


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
