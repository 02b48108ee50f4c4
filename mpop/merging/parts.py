"""What differs between the sides of a merge, sorted by who changed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mpop.errors import StateError
from mpop.merging.items import ItemMerge, RootMerge, SourceMerge
from mpop.merging.species import SpeciesMerge, Three
from mpop.merging.three_way import Side
from mpop.records.models import ItemRecord, SpeciesHead
from mpop_hooks.schema import ITEM, JOB, PART, POPULATION, SOURCE, SPECIES


@dataclass
class Parts:
    """What a merge is made of.

    taken: paths whose record becomes theirs, as it is. items, sources, species: what both sides changed, each in
    its way, by id. root: the population's own record, if both changed it. refined: the tilt series that each side
    changed.
    """

    three: Three
    taken: set[str] = field(default_factory=set)
    items: dict[str, ItemMerge] = field(default_factory=dict)
    sources: dict[str, SourceMerge] = field(default_factory=dict)
    species: dict[str, SpeciesMerge] = field(default_factory=dict)
    root: RootMerge | None = None
    refined: dict[Side, set[str]] = field(default_factory=dict)

    def item(self, item: str, sides: Mapping[str, Side]) -> ItemRecord | None:
        """The merged record of a tilt series. sides: for those that both sides refined."""
        merge = self.items.get(item)
        if merge is not None:
            return merge.merged(merge.side or sides.get(item, "ours"))
        return (self.three.theirs if ITEM.path(item) in self.taken else self.three.ours).item(item)

    def item_sides(self, chosen: Mapping[str, Side]) -> dict[str, Side]:
        """The side whose model is taken, of every tilt series that both sides changed."""
        return {item: merge.side or chosen.get(item, "ours") for item, merge in self.items.items()}


def compare(three: Three) -> Parts:
    """Sort what they changed into what can be taken as it is, and what we changed too."""
    here, there = three.base.changes_to(three.ours), three.base.changes_to(three.theirs)
    parts = Parts(three)
    parts.refined = {"ours": _items(here), "theirs": _items(there)}
    our_species = {species_of(path) for path in here} - {None}
    both: set[str] = set()
    for path in sorted(there):
        species = species_of(path)
        if species is not None and species in our_species:
            both.add(species)
        elif path not in here:
            parts.taken.add(path)
        elif not _are_one(three, path):
            _add_changed_on_both(parts, path)
    for species in sorted(both):
        _add_species_of_both(parts, species, {path for path in there if species_of(path) == species})
    return parts


def _add_species_of_both(parts: Parts, species: str, there: set[str]) -> None:
    three = parts.three
    base, ours, theirs, open_keys = three.records(lambda one: one.species(species), SPECIES.path(species))
    if not any(open_keys) and not any(one.open_rows(species) for one in (three.base, three.ours, three.theirs)):
        if (ours and ours.version) == (theirs and theirs.version) or _follows(ours, theirs, base):
            return
        if _follows(theirs, ours, base):
            parts.taken |= there
            return
    elif _are_one_species(three, species):
        return
    parts.species[species] = SpeciesMerge(three, species)


def _are_one(three: Three, path: str) -> bool:
    """Whether both sides have the same record, decided in all its keys."""
    is_open = three.ours.open_keys(path) or three.theirs.open_keys(path)
    return not is_open and three.ours.raw(path) == three.theirs.raw(path)


def _are_one_species(three: Three, species: str) -> bool:
    is_open = three.ours.open_rows(species) or three.theirs.open_rows(species)
    return not is_open and _are_one(three, SPECIES.path(species))


def _follows(
    newer: ItemRecord | SpeciesHead | None,
    older: ItemRecord | SpeciesHead | None,
    base: ItemRecord | SpeciesHead | None,
) -> bool:
    """Whether one version was made from another, and that one after the base: nothing is lost with it.

    They may be on both sides without a common commit that has them, as a request takes a species along alone. Had
    a side gone back to the older one, which the base then knows, that would be its change.
    """
    if newer is None or older is None or older.version not in (newer.parent, *newer.merged):
        return False
    return base is None or base.version in (older.parent, *older.merged)


def _items(changed: Mapping[str, str]) -> set[str]:
    return {item for path, (item,) in ITEM.keys(changed).items() if changed[path] != "D"}


def species_of(path: str) -> str | None:
    """The species that a record belongs to, if to one."""
    key = SPECIES.key(path) or PART.key(path)
    return None if key is None else key[0]


def _add_changed_on_both(parts: Parts, path: str) -> None:
    three = parts.three
    if key := ITEM.key(path):
        (identity,) = key
        base, ours, theirs, open_keys = three.records(lambda one: one.item(identity), path)
        is_open = any(open_keys)
        if not is_open and _follows(theirs, ours, base):
            parts.taken.add(path)
        elif is_open or not _follows(ours, theirs, base):
            parts.items[identity] = ItemMerge(base, ours, theirs, open_keys)
    elif key := SOURCE.key(path):
        (identity,) = key
        parts.sources[identity] = SourceMerge(*three.records(lambda one: one.source(identity), path))
    elif key := JOB.key(path):
        (identity,) = key
        ours, theirs = three.ours.job(identity), three.theirs.job(identity)
        if ours is None or (theirs is not None and theirs.version < ours.version):
            parts.taken.add(path)  # the same job ran twice, and both labs shall keep the same record of it
    elif path == POPULATION.path():
        parts.root = RootMerge(*three.records(lambda one: one.root(), path))
    else:
        raise StateError(f"both sides changed {path}, a kind of record that this mpop cannot merge; update mpop?")
