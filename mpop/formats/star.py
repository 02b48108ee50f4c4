"""STAR tables through the starfile library, with errors that name file, block and column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import starfile

from mpop.errors import InputError
from mpop.formats.files import replacing, require_file

Blocks = dict[str, pd.DataFrame]

TEXT_COLUMNS = [
    "rlnImageName",
    "rlnMicrographName",
    "rlnTomoName",
    "rlnTomoParticleName",
    "wrpMovieName",
    "wrpSourceHash",
    "wrpSourceName",
]
"""Names stay as they are written: a series `00254` is not the number 254."""


def read_star(path: Path) -> Blocks:
    """All blocks of a STAR file as tables; a simple block becomes a table of one row."""
    require_file(path)
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=TEXT_COLUMNS)
    except Exception as error:  # starfile raises whatever its parsing stumbles over
        raise InputError(f"{path}: not a readable STAR file ({' '.join(str(error).split())})") from error
    tables = {
        str(name): block if isinstance(block, pd.DataFrame) else pd.DataFrame([block])
        for name, block in blocks.items()
    }
    if not tables:
        raise InputError(f"{path}: no data block; is it a STAR file?")
    return tables


def write_star(path: Path, blocks: Mapping[str, pd.DataFrame | Mapping[str, float | str]]) -> None:
    """Write tables, whole or not at all; numbers with six decimals. The same tables give the same bytes.

    A dictionary becomes a simple block: a line for each name and its value. starfile begins a file with a comment
    that tells the time; it is taken off.
    """
    tables: dict[str, Any] = {
        name: block if isinstance(block, pd.DataFrame) else _simple(block) for name, block in blocks.items()
    }
    with replacing(path) as temporary:
        starfile.write(tables, temporary, float_format="%.6f", overwrite=True)
        text = temporary.read_text(encoding="utf-8")
        temporary.write_text(text[text.index("data_") :], encoding="utf-8")


def _simple(block: Mapping[str, float | str]) -> dict[str, str]:
    """starfile's format of numbers does not reach simple blocks."""
    return {name: value if isinstance(value, str) else f"{value:.6f}" for name, value in block.items()}


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
    """InputError naming a column that is missing, or holds something else than numbers."""
    columns = list(columns)
    require_columns(table, columns, path, block)
    for column in columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            wrong = next(value for value in table[column] if not _is_number(value))
            raise InputError(f"{path}: block data_{block}, column _{column}: {wrong!r} is not a number")


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
