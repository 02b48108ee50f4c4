"""One species that both sides changed: maps by side, particles by item and id.

Half-maps, and what gives them their scale and symmetry, are one thing: they come from one side, or are pooled.
Particles do not follow the maps: their poses in a tilt series belong with the model of that series, so they are
merged series by series, and where both sides moved them they come from the side whose model is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from mpop.merging.rows import MergedRows, merge_rows
from mpop.merging.snapshots import Snapshot
from mpop.merging.three_way import Side, side_taken, value_taken
from mpop.population import Population
from mpop.records.arrays import particles_from_arrays
from mpop.records.models import SourceType, SpeciesHead
from mpop.records.tilt_series import ParticleSet
from mpop_store.arrays.groups import read_group

MAPS = ("maps_object", "symmetry", "diameter_A", "pixel_size_A", "box")
"""What must change together."""
UNWRITTEN = "unwritten"


@dataclass(frozen=True)
class Three:
    """The three commits of a merge."""

    population: Population
    base: Snapshot
    ours: Snapshot
    theirs: Snapshot

    def of(self, side: Side) -> Snapshot:
        """The commit of a side."""
        return self.ours if side == "ours" else self.theirs

    @cached_property
    def source_types(self) -> list[SourceType]:
        """The types of source that either side has, sorted: what an item may be."""
        commits = [one.commit for one in (self.ours, self.theirs) if one.commit is not None]
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

    @property
    def maps_side(self) -> Side | None:
        """The side whose half-maps are taken; None when both made new ones.

        When both made the same, either would do; which it is must not depend on who merges.
        """
        base, ours, theirs = (
            head and tuple(getattr(head, field) for field in MAPS) for head in (self.base, self.ours, self.theirs)
        )
        if ours == theirs:
            return "ours" if self.head("ours").version <= self.head("theirs").version else "theirs"
        return side_taken(base, ours, theirs)

    def denoiser(self, maps: Side) -> str | None:
        """The denoiser that the merge takes; that of the maps' side where both changed it."""
        was = self.base and self.base.denoiser_object
        values = self.head("ours").denoiser_object, self.head("theirs").denoiser_object
        side = side_taken(was, *values)
        return values[0] if (side or maps) == "ours" else values[1]

    @property
    def name(self) -> str:
        """Its name: a new one if one side renamed it, ours if both did."""
        ours, theirs = self.head("ours").name, self.head("theirs").name
        return value_taken(self.base.name if self.base else "", ours, theirs)

    @cached_property
    def digits(self) -> list[str]:
        """The parts in which the two sides differ."""
        ours, theirs = (head.parts if head else {} for head in (self.ours, self.theirs))
        return sorted(ab for ab in ours.keys() | theirs.keys() if ours.get(ab) != theirs.get(ab))

    def groups(self, item: str) -> tuple[str | None, str | None, str | None]:
        """The particles of base, ours and theirs in an item."""
        base, ours, theirs = (
            snapshot.part(self.id, item[:2]).particles.get(item)
            for snapshot in (self.three.base, self.three.ours, self.three.theirs)
        )
        return base, ours, theirs

    @cached_property
    def changed_on_both(self) -> dict[str, tuple[str | None, str | None, str | None]]:
        """Item -> its groups, of all items in which both sides changed particles, each in its way."""
        items = {
            item
            for ab in self.digits
            for snapshot in (self.three.ours, self.three.theirs)
            for item in snapshot.part(self.id, ab).particles
        }
        found = {item: self.groups(item) for item in sorted(items)}
        return {item: groups for item, groups in found.items() if side_taken(*groups) is None}

    def moved_on_both(self, decided: Mapping[str, object]) -> dict[str, int]:
        """Item -> particles that both sides moved, without the items that are `decided` as a whole."""
        counts = {item: self.rows(item).clashes for item in self.changed_on_both if item not in decided}
        return {item: count for item, count in counts.items() if count}

    def rows(self, item: str, preferred: Side = "ours") -> MergedRows:
        """The particles of an item in which both sides changed some."""
        base, ours, theirs = (None if group is None else self._read(group) for group in self.groups(item))
        some = ours or theirs
        assert some is not None
        return merge_rows(base, ours or _none_of(some), theirs or _none_of(some), preferred)

    def merged_group(self, item: str, preferred: Side, write: bool = True) -> str | None:
        """The particles of an item: three-way by group, and by row where both sides changed it.

        write: store them when neither side has them so; without, `UNWRITTEN` stands for their name.
        """
        ours, theirs = self.groups(item)[1:]
        side = side_taken(*self.groups(item))
        rows = None
        if side is None:
            rows = self.rows(item, preferred)
            side = rows.whole
        if side is not None:
            return ours if side == "ours" else theirs
        assert rows is not None
        if not len(rows.particles):
            return None
        return self.three.population.write_particles(rows.particles) if write else UNWRITTEN

    def _read(self, group: str) -> ParticleSet:
        return particles_from_arrays(*read_group(self.three.population.objects, group))


def _none_of(particles: ParticleSet) -> ParticleSet:
    """No particle, sampled as the given ones."""
    nothing = slice(0, 0)
    return ParticleSet(
        particles.id[nothing],
        particles.half[nothing],
        particles.position_A[nothing],
        particles.angles_deg[nothing],
        {name: [] for name in particles.extra},
    )
