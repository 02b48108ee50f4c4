"""The conflicts of a merge: what both sides changed, and only a person, or a rule of theirs, can decide."""

from __future__ import annotations

from mpop.merging.conflicts import Better, Conflict, Numbers, PoolPreview, Way
from mpop.merging.numbers import Makers, better_item, better_species, item_numbers, makers, species_numbers
from mpop.merging.parts import Parts
from mpop.merging.species import SpeciesMerge, Three
from mpop.merging.three_way import Side
from mpop.words import counted_items
from mpop_hooks.schema import ITEM, SOURCE, SPECIES

REMOVED = "removed on one side, changed on the other"

MakersOf = dict[Side, Makers]


def find_conflicts(parts: Parts, preview: bool) -> list[Conflict]:
    """All conflicts. preview: compute what pooling would give."""
    items = [item for item, merge in parts.items.items() if merge.side is None]
    moved = {one: _moved(merge, items) for one, merge in parts.species.items()}
    species = [one for one, merge in parts.species.items() if moved[one] or _maps_disagree(merge)]
    known = _makers(parts, [*map(ITEM.path, items), *map(SPECIES.path, species)])
    conflicts = [_of_item(parts, item, known) for item in items]
    sides: dict[str, Side] = {one.key.split("/")[1]: one.better.side or "ours" for one in conflicts}
    for one in species:
        conflicts.append(_of_species(parts, parts.species[one], moved[one], sides, known, preview))
    return [*conflicts, *_of_sources(parts)]


def _makers(parts: Parts, paths: list[str]) -> MakersOf:
    three = parts.three
    return {
        "ours": makers(three.population, three.ours, three.base, paths),
        "theirs": makers(three.population, three.theirs, three.base, paths),
    }


def _moved(merge: SpeciesMerge, decided: list[str]) -> dict[str, int]:
    return {} if merge.removed_by else merge.moved_on_both(dict.fromkeys(decided))


def _is_known(three: Three, path: str) -> bool:
    """Whether the base has the record, and all of it decided."""
    return three.base.raw(path) is not None and not three.base.open_keys(path)


def _maps_disagree(merge: SpeciesMerge) -> bool:
    return merge.removed_by is not None or merge.maps_side is None


def _of_item(parts: Parts, item: str, known: MakersOf) -> Conflict:
    three, merge = parts.three, parts.items[item]
    ours = item_numbers(three.population, three.ours, item, known["ours"])
    theirs = item_numbers(three.population, three.theirs, item, known["theirs"])
    record = merge.ours or merge.theirs
    assert record is not None
    both = merge.ours is not None and merge.theirs is not None
    return Conflict(
        key=f"item/{item}",
        name=record.name,
        reason="refined on both sides" if both else REMOVED,
        ways=("ours", "theirs", "better") if both else ("ours", "theirs"),
        base=item_numbers(three.population, three.base, item, {}) if _is_known(three, ITEM.path(item)) else None,
        ours=ours,
        theirs=theirs,
        better=better_item(ours, theirs, merge.same_references),
    )


def _of_species(
    parts: Parts,
    merge: SpeciesMerge,
    moved: dict[str, int],
    sides: dict[str, Side],
    known: MakersOf,
    preview: bool,
) -> Conflict:
    three = merge.three
    ours = species_numbers(three.population, three.ours, merge.id, known["ours"])
    theirs = species_numbers(three.population, three.theirs, merge.id, known["theirs"])
    head = merge.ours or merge.theirs
    assert head is not None
    places = counted_items(len(moved), three.source_types)
    reasons = [f"{sum(moved.values())} particles in {places} moved on both sides"] if moved else []
    ways: tuple[Way, ...] = ("ours", "theirs", "better", "both")
    pool = None
    if merge.removed_by is not None:
        reasons = [REMOVED]
        ways = ("ours", "theirs")
    elif merge.maps_side is None:
        reasons.insert(0, "half-maps made on both sides")
        pool = _preview(parts, merge, sides) if preview else None
        ways = ways if pool and not pool.possible else (*ways, "pool")
    return Conflict(
        key=f"species/{merge.id}",
        name=head.name,
        reason=" and ".join(reasons),
        ways=ways,
        base=species_numbers(three.population, three.base, merge.id, {})
        if _is_known(three, SPECIES.path(merge.id))
        else None,
        ours=ours,
        theirs=theirs,
        better=better_species(ours, theirs),
        pool=pool,
    )


def _preview(parts: Parts, merge: SpeciesMerge, sides: dict[str, Side]) -> PoolPreview:
    from mpop.merging.previews import preview_pool  # brings torch, which few merges need

    return preview_pool(merge, lambda item: parts.item(item, sides), parts.item_sides(sides))


def _of_sources(parts: Parts) -> list[Conflict]:
    conflicts = []
    for identity, merge in parts.sources.items():
        reasons = list(merge.clashes())
        record = merge.ours or merge.theirs
        if not reasons or record is None:
            continue
        base, ours, theirs = (Numbers(one and one.version) for one in (merge.base, merge.ours, merge.theirs))
        conflicts.append(
            Conflict(
                key=f"source/{identity}",
                name=record.name,
                reason="; ".join(reasons),
                ways=("ours", "theirs"),
                base=base if _is_known(parts.three, SOURCE.path(identity)) else None,
                ours=ours,
                theirs=theirs,
                better=Better(None, "sources have no number to compare"),
            )
        )
    return conflicts
