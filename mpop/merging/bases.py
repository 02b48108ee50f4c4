"""The base of a merge: the best common ancestor, or, where there are several, what merging these gives.

Two sides that merged each other have several best common ancestors. As Git's recursive strategy does, these are
merged in pairs, from a base that is found in the same way, into a state that is in no commit: a *virtual base*.
What they disagree on is left open in it (`mpop.merging.three_way.UNDECIDED`), so that no change of either side is
taken for the state before. It lives in memory: nothing is written.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mpop.errors import StateError
from mpop.merging.joining import join_species, maps_of, whole_of_theirs
from mpop.merging.parts import compare
from mpop.merging.rows import Cells
from mpop.merging.snapshots import Snapshot
from mpop.merging.species import SpeciesMerge, Three
from mpop.merging.three_way import Side
from mpop.population import Population
from mpop.records.models import Record
from mpop_hooks.schema import ITEM, PART, POPULATION, SOURCE, SPECIES
from mpop_store.objects.in_memory import InMemoryObjects

MOST_JOINS = 10_000
"""Pairs of ancestors that are merged for one base: two labs that merged each other daily for 27 years. A history
made to hold more can keep nobody waiting."""

Raw = dict[str, Any] | None
Tips = tuple[str, ...]


def base_of(population: Population, bases: Sequence[str]) -> Snapshot:
    """The state that a merge starts from. bases: all best common ancestors, by id; [] is the empty state.

    Raises StateError when the ancestors merged each other too often.
    """
    if len(bases) < 2:
        return Snapshot(population, bases[0] if bases else None)
    in_memory = copy.copy(population)
    in_memory.objects = InMemoryObjects(population.objects)
    made: dict[Tips, Snapshot] = {}
    below: dict[Tips, Tips] = {}
    waiting: list[Tips] = [tuple(bases)]
    while waiting:
        tips = waiting[-1]
        if tips in made:
            waiting.pop()
        elif len(tips) < 2:
            made[tips] = Snapshot(in_memory, tips[0] if tips else None)
        else:
            *most, last = tips
            if tips not in below:
                below[tips] = tuple(population.repository.merge_bases(most, last))
                if len(below) > MOST_JOINS:
                    raise StateError(
                        f"the two sides merged each other more than {MOST_JOINS} times; "
                        "merge one of the commits from before that first"
                    )
            needed = (below[tips], tuple(most), (last,))
            missing = [one for one in needed if one not in made]
            waiting += missing
            if not missing:
                made[tips] = _joined(Three(in_memory, *(made[one] for one in needed)))
    return made[tuple(bases)]


@dataclass
class _Changes:
    """What is other in a virtual state than in the commit under it. records: path -> record, or None for none.
    open: path -> keys that are undecided; rows: species -> item -> particle -> cells that are."""

    records: dict[str, Raw] = field(default_factory=dict)
    open: dict[str, frozenset[str]] = field(default_factory=dict)
    rows: dict[str, dict[str, Mapping[int, Cells]]] = field(default_factory=lambda: defaultdict(dict))

    def copy(self) -> _Changes:
        """For another state that has more of them."""
        rows = {species: dict(items) for species, items in self.rows.items()}
        return _Changes(dict(self.records), dict(self.open), defaultdict(dict, rows))

    def put(self, path: str, open_keys: frozenset[str], record: Record | None) -> None:
        """A merged record. When it is undecided whether there is one, it is the one that some side has."""
        self.records[path] = None if record is None else record.model_dump(mode="json")
        self.leave_open(path, open_keys)

    def leave_open(self, path: str, keys: frozenset[str]) -> None:
        """Keys of a record that are undecided, in place of those that were before."""
        self.open.pop(path, None)
        if keys:
            self.open[path] = keys


class VirtualSnapshot(Snapshot):
    """A state that is in no commit: that of a commit, and changes to it."""

    def __init__(self, three: Three, under: str | None, changes: _Changes) -> None:
        super().__init__(three.population, under)
        self.three = three
        self._changes = changes

    @property
    def commits(self) -> list[str]:
        """The commits that it is made of, by id."""
        return sorted({*self.three.ours.commits, *self.three.theirs.commits})

    @property
    def touched(self) -> set[str]:
        """Paths of the records that may be otherwise than in the commit under it."""
        rows = self._changes.rows.items()
        parts = {PART.path(species, item[:2]) for species, items in rows for item in items}
        return {*self._changes.records, *self._changes.open, *parts}

    def open_keys(self, path: str) -> frozenset[str]:
        """The keys of a record that are undecided."""
        return self._changes.open.get(path, frozenset())

    def open_rows(self, species: str) -> Mapping[str, Mapping[int, Cells]]:
        """Item -> particle -> what of it is undecided."""
        return self._changes.rows.get(species, {})

    def raw(self, path: str) -> Raw:
        """A record as JSON; None where there is none. What it says of undecided keys means nothing."""
        if path in self._changes.records:
            return self._changes.records[path]
        return super().raw(path)

    def paths(self, prefix: str) -> set[str]:
        """Paths of the records whose path begins with a prefix."""
        mine = {path: record for path, record in self._changes.records.items() if path.startswith(prefix)}
        return (super().paths(prefix) - mine.keys()) | {
            path for path, record in mine.items() if record is not None
        }

    def with_changes(self) -> _Changes:
        """A copy of what is other in it than in the commit under it."""
        return self._changes.copy()


def _joined(three: Three) -> VirtualSnapshot:
    """What merging two states gives, with the keys left open that they disagree on."""
    parts = compare(three)
    ours, theirs = three.ours, three.theirs
    changes = ours.with_changes() if isinstance(ours, VirtualSnapshot) else _Changes()
    for path in parts.taken:
        changes.records[path] = theirs.raw(path)
        changes.leave_open(path, theirs.open_keys(path))
        if key := PART.key(path):
            _take_rows(changes, key[0], path, theirs.open_rows(key[0]))
    for item, merge in parts.items.items():
        side: Side = merge.side or ("ours" if merge.ours else "theirs")
        changes.put(ITEM.path(item), merge.left_open(), merge.merged(side))
    for source, merge in parts.sources.items():
        changes.put(SOURCE.path(source), merge.left_open(), merge.merged("ours" if merge.ours else "theirs"))
    if parts.root:
        changes.put(POPULATION.path(), parts.root.left_open(), parts.root.merged())
    for merge in parts.species.values():
        _join_species(changes, merge)
    return VirtualSnapshot(three, ours.under, changes)


def _take_rows(changes: _Changes, species: str, part: str, theirs: Mapping[str, Mapping[int, Cells]]) -> None:
    """Of one part of a species, what is undecided on their side, and not what is on ours."""
    kept = {item: rows for item, rows in changes.rows[species].items() if PART.path(species, item[:2]) != part}
    taken = {item: rows for item, rows in theirs.items() if PART.path(species, item[:2]) == part}
    changes.rows[species] = kept | taken


def _join_species(changes: _Changes, merge: SpeciesMerge) -> None:
    """A species that both changed."""
    theirs = merge.three.theirs
    if merge.ours is None:
        changes.records |= whole_of_theirs(merge)
        changes.rows[merge.id] = dict(theirs.open_rows(merge.id))
    elif merge.theirs is not None:
        changes.records |= join_species(merge, maps_of(merge, "ours"), {}).changes
        found = {item: merge.open_rows(item) for item in merge.items_in(merge.digits)}
        changes.rows[merge.id] |= found
        changes.rows[merge.id] = {item: rows for item, rows in changes.rows[merge.id].items() if rows}
    changes.leave_open(SPECIES.path(merge.id), merge.left_open())
