"""One species that both sides changed: maps by side, particles by item and id.

Half-maps, and what gives them their scale and symmetry, are one thing: they come from one side, or are pooled.
Particles do not follow the maps: their poses in a tilt series belong with the model of that series, so they are
merged series by series, and where both sides moved them they come from the side whose model is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from mpop.merging.items import RecordMerge
from mpop.merging.rows import Cells, MergedRows, Rows, merge_rows
from mpop.merging.snapshots import Snapshot
from mpop.merging.three_way import PRESENCE, UNDECIDED, Side, is_left_open, side_taken
from mpop.population import Population
from mpop.records.models import Record, SourceType, SpeciesHead
from mpop_hooks.schema import SPECIES

R = TypeVar("R", bound=Record)
Triple = tuple[frozenset[str], frozenset[str], frozenset[str]]

HOW = ("resolution_A", "job")
"""How the maps came to be, and what was found of them."""
MAPS = SPECIES.content("name", "denoiser_object", "n_particles", "n_items", "parts", "derived", *HOW)
"""What must change together: the half-maps, and what gives them their scale and symmetry."""
SCALE = tuple(name for name in MAPS if name != "maps_object")
UNWRITTEN = "unwritten"


@dataclass(frozen=True)
class Three:
    """The three commits of a merge."""

    population: Population
    base: Snapshot
    ours: Snapshot
    theirs: Snapshot

    def records(
        self, read: Callable[[Snapshot], R | None], path: str
    ) -> tuple[R | None, R | None, R | None, Triple]:
        """A record in base, ours and theirs, and which of its keys are undecided there."""
        states = (self.base, self.ours, self.theirs)
        base, ours, theirs = (read(one) for one in states)
        open_keys = (self.base.open_keys(path), self.ours.open_keys(path), self.theirs.open_keys(path))
        return base, ours, theirs, open_keys

    def of(self, side: Side) -> Snapshot:
        """The commit of a side."""
        return self.ours if side == "ours" else self.theirs

    @cached_property
    def source_types(self) -> list[SourceType]:
        """The types of source that either side has, sorted: what an item may be."""
        commits = [*self.ours.commits, *self.theirs.commits]
        return sorted({kind for commit in commits for kind in self.population.source_types(commit)})


@dataclass(frozen=True)
class SpeciesMerge:
    """A species that both sides changed, each in its way. None: not there."""

    three: Three
    id: str

    @property
    def base(self) -> SpeciesHead | None:
        """The species before."""
        return self.three.base.species(self.id)

    @property
    def ours(self) -> SpeciesHead | None:
        """The species here."""
        return self.three.ours.species(self.id)

    @property
    def theirs(self) -> SpeciesHead | None:
        """The species there."""
        return self.three.theirs.species(self.id)

    def head(self, side: Side) -> SpeciesHead:
        """The species of a side that has it."""
        head = self.ours if side == "ours" else self.theirs
        assert head is not None
        return head

    @property
    def removed_by(self) -> Side | None:
        """The side that has it no more."""
        return "ours" if self.ours is None else "theirs" if self.theirs is None else None

    @cached_property
    def _heads(self) -> RecordMerge[SpeciesHead]:
        return RecordMerge(*self.three.records(lambda one: one.species(self.id), SPECIES.path(self.id)))

    @property
    def maps_side(self) -> Side | None:
        """The side whose half-maps are taken; None when both made new ones.

        When both made the same in different ways, which it is must not depend on who merges.
        """
        side = side_taken(*self._values("maps", MAPS))
        _, ours, theirs = self._values("maps", MAPS)
        if ours != theirs:
            return side
        how = self._values("maps", HOW)
        least: Side = "ours" if self.head("ours").version <= self.head("theirs").version else "theirs"
        return least if how[1] == how[2] else side_taken(*how) or least

    def _values(self, key: str, fields: tuple[str, ...]) -> list[Any]:
        return self._heads.values(key, lambda head: tuple(getattr(head, field) for field in fields))

    def denoiser(self, maps: Side) -> str | None:
        """The denoiser that the merge takes; that of the maps' side where both changed it."""
        side = side_taken(*self._heads.values("denoiser_object"))
        return self.head(side or maps).denoiser_object

    @property
    def name_side(self) -> Side | None:
        """The side whose name is taken; None when both renamed it."""
        return side_taken(*self._heads.values("name"))

    @property
    def name(self) -> str:
        """Its name: a new one if one side renamed it, ours if both did."""
        return self.head(self.name_side or "ours").name

    def left_open(self) -> frozenset[str]:
        """The keys of the head that the merge leaves undecided."""
        if self.removed_by is not None:
            return frozenset({PRESENCE})
        found = {key for key in ("name", "denoiser_object") if is_left_open(*self._heads.values(key))}
        found |= {"maps"} if self.maps_side is None or UNDECIDED in self._values("maps", MAPS)[1:] else set()
        return frozenset(found | ({PRESENCE} if self._heads.is_presence_open else set()))

    @cached_property
    def digits(self) -> list[str]:
        """The parts in which the two sides differ, or one of them is undecided."""
        ours, theirs = (head.parts if head else {} for head in (self.ours, self.theirs))
        differ = {ab for ab in ours.keys() | theirs.keys() if ours.get(ab) != theirs.get(ab)}
        sides = (self.three.ours, self.three.theirs)
        return sorted(differ | {item[:2] for side in sides for item in side.open_rows(self.id)})

    def groups(self, item: str) -> list[Any]:
        """The particles of base, ours and theirs in an item, by name; UNDECIDED where some are."""
        return [
            UNDECIDED if item in snapshot.open_rows(self.id) else snapshot.group(self.id, item)
            for snapshot in (self.three.base, self.three.ours, self.three.theirs)
        ]

    def items_in(self, digits: Iterable[str]) -> list[str]:
        """The items of some parts that have particles on either side."""
        sides = (self.three.ours, self.three.theirs)
        return sorted({item for ab in digits for side in sides for item in side.part(self.id, ab).particles})

    @cached_property
    def changed_on_both(self) -> list[str]:
        """The items in which both sides changed particles, each in its way."""
        return [item for item in self.items_in(self.digits) if side_taken(*self.groups(item)) is None]

    def moved_on_both(self, decided: Mapping[str, object]) -> dict[str, int]:
        """Item -> particles that both sides moved, without the items that are `decided` as a whole."""
        counts = {item: self.rows(item).clashes for item in self.changed_on_both if item not in decided}
        return {item: count for item, count in counts.items() if count}

    def rows(self, item: str, preferred: Side = "ours") -> MergedRows:
        """The particles of an item in which both sides changed some."""
        base, ours, theirs = (
            snapshot.rows(self.id, item) for snapshot in (self.three.base, self.three.ours, self.three.theirs)
        )
        some = ours or theirs
        assert some is not None
        none = Rows(some.particles.part(np.zeros(0, np.int64)))
        return merge_rows(base, ours or none, theirs or none, preferred)

    def open_rows(self, item: str) -> Mapping[int, Cells]:
        """Of the particles of an item, the cells that the merge leaves undecided."""
        side = side_taken(*self.groups(item))
        if side is None:
            return self.rows(item).open
        return self.three.of(side).open_rows(self.id).get(item, {})

    def merged_group(self, item: str, preferred: Side, write: bool = True) -> str | None:
        """The particles of an item: three-way by group, and by row where both sides changed it.

        write: store them when neither side has them so; without, `UNWRITTEN` stands for their name.
        """
        side = side_taken(*self.groups(item))
        rows = None
        if side is None:
            rows = self.rows(item, preferred)
            side = rows.whole
        if side is not None:
            return self.three.of(side).group(self.id, item)
        assert rows is not None
        if not len(rows.particles):
            return None
        return self.three.population.write_particles(rows.particles) if write else UNWRITTEN
