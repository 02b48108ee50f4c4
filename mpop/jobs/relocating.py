"""`mpop source relocate`: raw files that moved are found again by their content. Nothing is committed for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpop.errors import InputError
from mpop.population import Population
from mpop.records.models import ItemRecord, RawImage
from mpop.run import Progress, silent


@dataclass(frozen=True)
class Relocated:
    """found: raw files by now at a place below the new one. missing: paths of those that are not there."""

    found: int
    missing: list[Path]


def relocate(population: Population, old: Path, new: Path, progress: Progress = silent) -> Relocated:
    """Look in `new` for the raw files that should be in `old`, each a file or a folder, and remember their places.

    A file is taken for another only when its whole content has the recorded hash; names and folders may differ.
    Raises InputError when no raw file should be in `old`, when there is no `new`, or when none of them is in it.
    """
    old, new = (Path(os.path.abspath(path)) for path in (old, new))
    if not new.exists():
        raise InputError(f"{new}: no such file or folder")
    wanted = {raw.hash: raw for raw in _linked(population) if _should_be_in(population, raw, old)}
    if not wanted:
        raise InputError(f"no raw file of this population should be in {old}{_where_they_should_be(population)}")
    by_size: dict[int, list[Path]] = {}
    sizes = {raw.size for raw in wanted.values()}
    for path in _files(new):
        size = path.stat().st_size
        if size in sizes:
            by_size.setdefault(size, []).append(path)
    found: dict[str, Path] = {}
    missing: list[Path] = []
    for number, raw in enumerate(wanted.values(), start=1):
        before = population.raw_path(raw)
        place = _with_content(population, raw, _likely_first(before, by_size.get(raw.size, [])))
        if place is None:
            missing.append(before)
        else:
            found[raw.hash] = place
        progress("compare raw files", number, len(wanted))
    if not found:
        raise InputError(
            f"{new}: none of the {len(wanted)} raw files of {old} is in it; "
            f"the first should be {missing[0].name}, with the content that it had at import"
        )
    population.places.remember(found)
    return Relocated(len(found), missing)


def learn_places(population: Population, known: Iterable[ItemRecord], seen: Iterable[ItemRecord]) -> int:
    """Remember where an import saw the raw files of items, if they are gone from where they should be.

    Returns how many were gone.
    """
    at = {raw.hash: population.recorded_path(raw) for item in seen for raw in item.raw}
    linked = (raw for item in known for raw in item.raw if raw.stored_object is None)
    gone = {raw.hash: at[raw.hash] for raw in linked if not population.raw_path(raw).is_file()}
    if gone:
        population.places.remember(gone)
    return len(gone)


def _linked(population: Population) -> Iterator[RawImage]:
    """Raw files of all items that are not in the store."""
    for item in population.items().values():
        yield from (raw for raw in item.raw if raw.stored_object is None)


def _should_be_in(population: Population, raw: RawImage, old: Path) -> bool:
    """By its record, or by where it was found last, though it may have moved on since."""
    places = (population.recorded_path(raw), population.places.of(raw.hash))
    return any(place is not None and place.is_relative_to(old) for place in places)


def _where_they_should_be(population: Population) -> str:
    """The folder that all raw files should be in, for the user who named another."""
    folders = {str(population.raw_path(raw).parent) for raw in _linked(population)}
    return f"; they should be in {os.path.commonpath(folders)}" if folders else ""


def _files(new: Path) -> Iterator[Path]:
    """A file, or the files below a folder, those below links to folders too, each folder once."""
    if new.is_file():
        yield new
    seen: set[str] = set()
    for folder, inner, names in os.walk(new, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        yield from (path for name in names if (path := Path(folder) / name).is_file())


def _likely_first(before: Path, candidates: Sequence[Path]) -> list[Path]:
    """Candidates by how many names at the end of their path are those of the place before."""

    def common(path: Path) -> int:
        pairs = zip(reversed(path.parts), reversed(before.parts), strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), 0)

    return sorted(candidates, key=common, reverse=True)


def _with_content(population: Population, raw: RawImage, candidates: Iterable[Path]) -> Path | None:
    return next((path for path in candidates if population.files.hash(path) == raw.hash), None)
