"""Warp's tomostar: which image belongs to which tilt of a series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mpop.errors import InputError
from mpop.formats.star import read_star_table, write_star

MOVIE, ANGLE, AXIS, DOSE = "wrpMovieName", "wrpAngleTilt", "wrpAxisAngle", "wrpDose"


@dataclass(frozen=True)
class Tomostar:
    """One series: a row per tilt, in file order; columns unknown to mpop are kept."""

    name: str
    table: pd.DataFrame

    @property
    def movies(self) -> list[str]:
        """Paths of the movies, relative to the folder of the tomostar."""
        return [str(movie) for movie in self.table[MOVIE]]


def read_tomostar(path: str | Path) -> Tomostar:
    """Read a tomostar. Raises InputError naming the file and a missing column."""
    path = Path(path)
    table = read_star_table(path, required=(MOVIE, ANGLE))
    seen: set[str] = set()
    for movie in map(str, table[MOVIE]):
        if movie in seen:
            raise InputError(f"{path}: the movie {movie} is listed twice")
        seen.add(movie)
    return Tomostar(path.stem, table)


def write_tomostar(path: str | Path, table: pd.DataFrame) -> None:
    """Write a tomostar."""
    write_star(Path(path), {"": table})
