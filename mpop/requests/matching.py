"""The same series under other names: two labs may have imported the same images apart.

A series is known by its raw images. Where its id is the same on both sides, only names may differ, and names do
not matter. Where the ids differ (one lab sorted its tilts otherwise) but the set of raw images is the same, the
particles that are offered in one series are meant for the other. Positions have their origin at the corner of the
tomogram, so tomograms of different sizes move them by half of the difference. Two imports that disagree about the
tilt angles have tomograms that cannot be compared, and are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mpop.jobs.importing.source import source_id
from mpop.population import Population, record_path
from mpop.records import ItemRecord, Record, SourceRecord, SpeciesRecord, TiltSeriesModel
from mpop_hooks.schema import ITEM, PART

ANGLE_TOLERANCE_DEG = 5.0
"""By how much refinement may have changed a tilt or axis angle; a flipped tilt axis is far beyond."""
LENGTH_TOLERANCE = 0.01
"""Relative difference of image sizes in A up to which two imports agree on the pixel size."""

Shift = tuple[float, float, float]


@dataclass(frozen=True)
class Match:
    """A series that is offered and the series that is the same one there.

    by: "id" where only names differ, "raw images" where the ids do too. shift_A: added to positions, x, y, z.
    """

    item: str
    name: str
    there: str
    name_there: str
    by: str
    shift_A: Shift = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Matching:
    """What is the same on both sides. problems: why some of it cannot be brought together, in words."""

    renamed: list[Match] = field(default_factory=list)
    """Same id, another name."""
    mapped: list[Match] = field(default_factory=list)
    """Other id, same raw images."""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Adapted:
    """An offered commit in terms of the other side's series. commit: the same one if nothing had to change."""

    commit: str
    matching: Matching


def match(population: Population, offered: Iterable[ItemRecord], there: Mapping[str, ItemRecord]) -> Matching:
    """Find offered series among those of the other side, by id or by the set of their raw images."""
    found = Matching()
    by_raw: dict[frozenset[str], list[ItemRecord]] = defaultdict(list)
    for item in there.values():
        by_raw[_raw(item)].append(item)
    for item in sorted(offered, key=lambda one: one.name):
        if item.id in there:
            other = there[item.id]
            if other.name != item.name:
                found.renamed.append(Match(item.id, item.name, other.id, other.name, "id"))
            continue
        same = by_raw.get(_raw(item), [])
        if len(same) > 1:
            names = ", ".join(sorted(f"{one.name} ({one.id})" for one in same))
            found.problems.append(f"{item.name} has the raw images of several series there: {names}")
        elif same:
            _add_mapped(population, item, same[0], found)
    _refuse_double(found)
    return found


def _raw(item: ItemRecord) -> frozenset[str]:
    return frozenset(raw.hash for raw in item.raw)


def _add_mapped(population: Population, item: ItemRecord, other: ItemRecord, found: Matching) -> None:
    ours, theirs = population.tilt_series(item), population.tilt_series(other)
    if problem := _disagreement(item, ours, other, theirs):
        found.problems.append(
            f"{item.name} has the raw images of {other.name} there, but {problem}; import one of them again"
        )
        return
    x, y, z = (np.subtract(theirs.volume_dims_A, ours.volume_dims_A) / 2).tolist()
    found.mapped.append(Match(item.id, item.name, other.id, other.name, "raw images", (x, y, z)))


def _disagreement(
    item: ItemRecord, ours: TiltSeriesModel, other: ItemRecord, theirs: TiltSeriesModel
) -> str | None:
    """Why particles of one import would be elsewhere in the other, in words."""
    where = {raw.hash: tilt for tilt, raw in enumerate(other.raw)}
    order = [where[raw.hash] for raw in item.raw]
    for name, first, second in (
        ("tilt", ours.angles_deg, theirs.angles_deg[order]),
        ("tilt axis", ours.axis_angle_deg, theirs.axis_angle_deg[order]),
    ):
        apart = float(np.abs((first - second + 180) % 360 - 180).max())
        if apart > ANGLE_TOLERANCE_DEG:
            return f"the {name} angles differ by up to {apart:.0f} degrees"
    if ours.are_angles_inverted != theirs.are_angles_inverted:
        return "one of them has its angles inverted"
    if np.abs(np.divide(ours.image_dims_A, theirs.image_dims_A) - 1).max() > LENGTH_TOLERANCE:
        return f"images are {ours.image_dims_A[0]:.0f} A wide in one and {theirs.image_dims_A[0]:.0f} in the other"
    return None


def _refuse_double(found: Matching) -> None:
    """Two offered series that are one series there could hold the same particles twice."""
    by_target: dict[str, list[Match]] = defaultdict(list)
    for one in found.mapped:
        by_target[one.there].append(one)
    for matches in by_target.values():
        if len(matches) > 1:
            names = ", ".join(one.name for one in matches)
            found.problems.append(f"{names} are all the same series there, {matches[0].name_there}")


def adapted(population: Population, offered: str, target: str) -> Adapted:
    """An offered commit in terms of a target's series.

    Series that the target knows under another id are replaced by the target's: species move their particles there,
    and the series are taken out again. The commit made for that has the offered one as parent, so that nothing is
    lost from its history. With problems nothing is changed.
    """
    repository = population.repository
    touched: dict[str, str] = {}
    for base in repository.merge_bases([target], offered) or [None]:
        touched |= repository.changes(base, offered)
    wanted = _items_in_question(population, offered, touched)
    if not wanted:
        return Adapted(offered, Matching())
    there = _items_there(population, wanted, target)
    found = match(population, wanted, there)
    if found.mapped and not found.problems:
        _refuse_full(population, offered, found)
    if found.problems or not found.mapped:
        return Adapted(offered, found)
    changes = _changes(population, offered, found.mapped)
    names = ", ".join(f"{one.name} is {one.name_there}" for one in found.mapped)
    message = f"Match {len(found.mapped)} series by their raw images\n\n{names}"
    return Adapted(repository.write_commit(repository.resolve(offered), changes, [offered], message), found)


def _items_in_question(population: Population, offered: str, touched: Mapping[str, str]) -> list[ItemRecord]:
    """The series that the offer adds or changes, and those in which its species have particles."""
    ids = {item for (item,) in ITEM.keys(touched).values()}
    for path in PART.keys(touched):
        if touched[path] != "D":
            ids |= set(population.repository.read(path, offered).get("particles", {}))
    entries = population.repository.entries(offered, ITEM.prefix())
    return [population.item(one, offered) for one in sorted(ids) if ITEM.path(one) in entries]


def _items_there(population: Population, wanted: list[ItemRecord], target: str) -> dict[str, ItemRecord]:
    """The target's series; all of them only if some that are wanted are not there by id."""
    entries = population.repository.entries(target, ITEM.prefix())
    if all(record_path(item) in entries for item in wanted):
        return {item.id: population.item(item.id, target) for item in wanted}
    return population.items(target)


def _species_in(population: Population, offered: str, items: Iterable[str]) -> list[SpeciesRecord]:
    """The species that have particles in one of these series."""
    wanted = set(items)
    digits = {item[:2] for item in wanted}
    heads = [head for head in population.species_heads(offered).values() if digits & set(head.parts)]
    whole = [population.one_species(head.id, offered) for head in heads]
    return [species for species in whole if wanted & set(species.particles)]


def _refuse_full(population: Population, offered: str, found: Matching) -> None:
    """Particles are not moved to where the species has some already: they might be the same ones."""
    for species in _species_in(population, offered, [one.item for one in found.mapped]):
        for one in found.mapped:
            if one.item in species.particles and one.there in species.particles:
                same = f"{one.name} and in {one.name_there}"
                found.problems.append(f"{species.name} has particles in {same}, which are the same series")


def _changes(population: Population, offered: str, mapped: list[Match]) -> dict[str, Mapping[str, object] | None]:
    """What has to be different in the offered commit."""
    by_item = {one.item: one for one in mapped}
    records: list[Record] = [_moved(population, one, by_item) for one in _species_in(population, offered, by_item)]
    removed: list[Record] = [population.item(item, offered) for item in by_item]
    for source in population.sources(offered).values():
        left = [item for item in source.items if item not in by_item]
        if left != source.items:
            removed.append(source)
            records += _source_of(population, source, left, offered) if left else []
    changes: dict[str, Mapping[str, object] | None] = dict.fromkeys(map(record_path, removed))
    return changes | population.changes(records, offered)


def _source_of(population: Population, source: SourceRecord, items: list[str], offered: str) -> list[Record]:
    """Series that are new to the other side as a source of their own: no source loses what it lists."""
    identity = source_id(items)
    moved = [population.item(item, offered) for item in items]
    return [
        source.model_copy(update={"id": identity, "items": sorted(items)}),
        *(item.model_copy(update={"source": identity, "parent": item.version}) for item in moved),
    ]


def _moved(population: Population, species: SpeciesRecord, by_item: Mapping[str, Match]) -> SpeciesRecord:
    """The species with its particles in the series of the other side."""
    particles: dict[str, str] = {}
    for item, group in species.particles.items():
        one = by_item.get(item)
        if one is not None and any(one.shift_A):
            held = population.particles(species, item)
            group = population.write_particles(replace(held, position_A=held.position_A + np.array(one.shift_A)))
        particles[one.there if one else item] = group
    versions = {
        by_item[item].there if item in by_item else item: version
        for item, version in species.item_versions.items()
    }
    new = {"particles": particles, "item_versions": versions, "parent": species.version, "derived": {}}
    return species.model_copy(update=new)
