"""What differs between the sides of a merge, sorted by who changed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mpop.errors import StateError
from mpop.merging.items import ItemMerge, SourceMerge
from mpop.merging.snapshots import item_path
from mpop.merging.species import SpeciesMerge, Three
from mpop.merging.three_way import Side
from mpop.records.models import ItemRecord, SpeciesHead
from mpop_store.git.repository import ROOT_RECORD


@dataclass
class Parts:
    """What a merge is made of.

    taken: paths whose record becomes theirs, as it is. items, sources, species: what both sides changed, each in
    its way, by id. root: whether both changed the population's own record. refined: the tilt series that each side
    changed.
    """

    three: Three
    taken: set[str] = field(default_factory=set)
    items: dict[str, ItemMerge] = field(default_factory=dict)
    sources: dict[str, SourceMerge] = field(default_factory=dict)
    species: dict[str, SpeciesMerge] = field(default_factory=dict)
    root: bool = False
    refined: dict[Side, set[str]] = field(default_factory=dict)

    def item(self, item: str, sides: Mapping[str, Side]) -> ItemRecord | None:
        """The merged record of a tilt series. sides: for those that both sides refined."""
        merge = self.items.get(item)
        if merge is not None:
            return merge.merged(merge.side or sides.get(item, "ours"))
        return (self.three.theirs if item_path(item) in self.taken else self.three.ours).item(item)

    def item_sides(self, chosen: Mapping[str, Side]) -> dict[str, Side]:
        """The side whose model is taken, of every tilt series that both sides changed."""
        return {item: merge.side or chosen.get(item, "ours") for item, merge in self.items.items()}


def compare(three: Three) -> Parts:
    """Sort what they changed into what can be taken as it is, and what we changed too."""
    repository = three.population.repository
    assert three.ours.commit is not None
    assert three.theirs.commit is not None
    here = repository.changes(three.base.commit, three.ours.commit)
    there = repository.changes(three.base.commit, three.theirs.commit)
    parts = Parts(three, root=ROOT_RECORD in here and ROOT_RECORD in there)
    parts.refined = {"ours": _items(here), "theirs": _items(there)}
    our_species = {species_of(path) for path in here} - {None}
    both: set[str] = set()
    for path in sorted(there):
        species = species_of(path)
        if species is not None and species in our_species:
            both.add(species)
        elif path not in here:
            parts.taken.add(path)
        elif three.ours.raw(path) != three.theirs.raw(path):
            _add_changed_on_both(parts, path)
    for species in sorted(both):
        ours, theirs = three.ours.species(species), three.theirs.species(species)
        if (ours and ours.version) == (theirs and theirs.version) or _follows(ours, theirs):
            continue
        if _follows(theirs, ours):
            parts.taken |= {path for path in there if species_of(path) == species}
        else:
            parts.species[species] = SpeciesMerge(three, species)
    return parts


def _follows(newer: ItemRecord | SpeciesHead | None, older: ItemRecord | SpeciesHead | None) -> bool:
    """Whether a version was made from another, so that nothing of that one is lost with it."""
    return newer is not None and older is not None and older.version in (newer.parent, *newer.merged)


def _items(changed: Mapping[str, str]) -> set[str]:
    return {
        path.split("/")[-1].removesuffix(".json")
        for path, kind in changed.items()
        if path.startswith("items/") and kind != "D"
    }


def species_of(path: str) -> str | None:
    """The species that a record belongs to, if to one."""
    folder, _, rest = path.partition("/")
    return rest.split("/")[0].removesuffix(".json") if folder == "species" else None


def _add_changed_on_both(parts: Parts, path: str) -> None:
    folder, identity = path.split("/")[0], path.split("/")[-1].removesuffix(".json")
    three = parts.three
    snapshots = (three.base, three.ours, three.theirs)
    if folder == "items":
        base, ours, theirs = (one.item(identity) for one in snapshots)
        if _follows(theirs, ours):
            parts.taken.add(path)
        elif not _follows(ours, theirs):
            parts.items[identity] = ItemMerge(base, ours, theirs)
    elif folder == "sources":
        parts.sources[identity] = SourceMerge(*(one.source(identity) for one in snapshots))
    elif folder == "jobs":
        ours, theirs = three.ours.job(identity), three.theirs.job(identity)
        if ours is None or (theirs is not None and theirs.version < ours.version):
            parts.taken.add(path)  # the same job ran twice, and both labs shall keep the same record of it
    elif path != ROOT_RECORD:
        raise StateError(f"both sides changed {path}, a kind of record that this mpop cannot merge; update mpop?")
