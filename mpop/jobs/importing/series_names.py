"""Which series a table means by its names. Programs decorate them: `TS_01_10.00Apx`, `TS_01_Vol`, `rec_TS_01`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mpop.formats.particle_tables import series_name

DECORATION = re.compile(
    r"[_.-](\d+(\.\d+)?Apx|\d+(\.\d+)?A|Vol|rec|full_rec|ali|aligned|bin\d+|b\d+)$|^(rec|full)[_.-]", re.IGNORECASE
)
"""What Warp, IMOD and RELION add to the name of a series when they make a file of it."""
SEPARATOR = re.compile("[_.-]")


@dataclass(frozen=True)
class MatchedNames:
    """matched: name in the table -> series that it must be. several: name -> series that it may be, more than one.
    guessed: those of matched that have more around the series' name than programs are known to add."""

    matched: dict[str, str]
    several: dict[str, list[str]]
    guessed: set[str]


def match_names(names: Iterable[str], series: Collection[str]) -> MatchedNames:
    """Match bare names in a table with bare names of series.

    A name that is that of a series means it, and no other name does. Else known decorations are taken off both;
    else a series' name with anything but numbers around it will do. Two names that may mean one series mean none.
    """
    names = list(names)
    matched = {name: name for name in names if name in series}
    rest = [one for one in series if one not in matched]
    several: dict[str, list[str]] = {}
    guessed: set[str] = set()
    plain = {one: undecorated(one) for one in rest}
    for is_guess in (False, True):
        found: dict[str, list[str]] = {}
        for name in names:
            if name in matched or name in several:
                continue
            bare = undecorated(name)
            fits = [one for one in rest if (_holds(name, one) if is_guess else bare == plain[one])]
            if fits:
                found[name] = fits
        meant = _count(found)
        for name, fits in found.items():
            if len(fits) > 1 or meant[fits[0]] > 1:
                several[name] = fits
            else:
                matched[name] = fits[0]
                guessed |= {name} if is_guess else set()
        rest = [one for one in rest if one not in meant]
    return MatchedNames(matched, several, guessed)


def undecorated(name: str) -> str:
    """A name of a series without what programs are known to add."""
    while True:
        less = series_name(DECORATION.sub("", name, count=1))
        if not less or less == name:
            return name
        name = less


def _holds(name: str, series: str) -> bool:
    """Whether a name is that of a series with words before or behind, none of them a number."""
    around = re.fullmatch(rf"(?:(.*)[_.-])?{re.escape(series)}(?:[_.-](.*))?", name)
    if around is None:
        return False
    return not any(word.isdigit() for part in around.groups("") for word in SEPARATOR.split(part))


def _count(found: Mapping[str, list[str]]) -> dict[str, int]:
    """How many names may mean each series."""
    count: dict[str, int] = {}
    for fits in found.values():
        for one in fits:
            count[one] = count.get(one, 0) + 1
    return count
