"""Files that are named after something in a record: in their folder, or nowhere.

Whoever makes a path of a name that came from data takes it from here; `tests/test_paths.py` looks for those who
do not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from mpop_store.errors import StateError

MAX_COMPONENT = 255
"""Bytes of the longest file name that common file systems take."""


def inside(folder: Path, name: str) -> Path:
    """The file called `name` in a folder. Raises StateError for anything but one plain component of a path."""
    if problem := _problem(name):
        shown = repr(name) if len(name) <= MAX_COMPONENT else f"{name[:40]!r}..."
        raise StateError(
            f"no file in {folder} may be called {shown}: the name {problem}; rename what it is made from"
        )
    return folder / name


def _problem(name: str) -> str | None:
    if name in ("", ".", ".."):
        return "means no file"
    if "/" in name or "\\" in name:
        return "leads to another folder"
    if not name.isprintable():
        return "holds characters that cannot be printed"
    if len(name.encode()) > MAX_COMPONENT:
        return f"is longer than {MAX_COMPONENT} bytes"
    return None


def same_file(name: str) -> str:
    """What two names have in common that are one file where capitals and forms of accents do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def refuse_same_files(what: str, names: Iterable[str]) -> None:
    """Raise StateError when two files would have one name, also where capitals and forms of accents do not count.

    what: the things that are called so, in words.
    """
    seen: dict[str, str] = {}
    for name in names:
        key = same_file(name)
        if key in seen:
            also = "" if seen[key] == name else f" and {seen[key]}"
            raise StateError(f"several {what} are called {name}{also}; their files would overwrite each other")
        seen[key] = name


def below(root: Path, path: str) -> Path:
    """The file at a relative path, with `/`, in a folder. Raises StateError for what lies or leads elsewhere."""
    *folders, name = path.split("/")
    place = root
    for folder in folders:
        place = inside(place, folder)
        if place.is_symlink():
            raise StateError(f"{place} is a link to another place; take it away, a folder belongs there")
    return inside(place, name)
