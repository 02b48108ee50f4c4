"""The records of a merged species, written part by part: only those in which it differs from ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpop.merging.species import HOW, MAPS, SpeciesMerge
from mpop.merging.three_way import Side
from mpop.population import Population
from mpop.records.models import SpeciesHead, SpeciesPart
from mpop_hooks.schema import PART, SPECIES
from mpop_store import hash_bytes, version_of
from mpop_store.arrays.groups import read_manifest

Changes = dict[str, dict[str, Any] | None]

FROM_MAPS = (*MAPS, *HOW, "derived")
"""Fields of a species that say what its half-maps are, and what made them."""


@dataclass(frozen=True)
class Maps:
    """The half-maps that a merged species gets.

    side: whose denoiser goes with them, if both sides have a new one. preferred: the side whose particles are
    taken where both changed them and no series decides. fields: as `FROM_MAPS`. item_versions: two digits -> item
    -> version that contributed, of every part that may differ from ours.
    """

    side: Side
    preferred: Side
    fields: dict[str, Any]
    item_versions: Mapping[str, Mapping[str, str]]


@dataclass
class Joined:
    """A merged species: what to write (nothing if it is ours as it stands), its new version, and where it is."""

    id: str
    version: str | None
    changes: Changes = field(default_factory=dict)


def maps_of(merge: SpeciesMerge, preferred: Side) -> Maps:
    """The half-maps of the side that made new ones; of the preferred one when both did."""
    side = merge.maps_side or preferred
    head = merge.head(side)
    snapshot = merge.three.of(side)
    versions = {digits: snapshot.part(merge.id, digits).item_versions for digits in merge.digits}
    return Maps(side, preferred, {name: getattr(head, name) for name in FROM_MAPS}, versions)


def join_species(merge: SpeciesMerge, maps: Maps, item_sides: Mapping[str, Side]) -> Joined:
    """The species with the given half-maps and both sides' particles.

    item_sides: items in which the particles follow the side whose model was chosen.
    """
    ours = merge.head("ours")
    parts, changed = dict(ours.parts), {}
    particles, items = ours.n_particles, ours.n_items
    for digits in sorted({*merge.digits, *maps.item_versions}):
        old = merge.three.ours.part(merge.id, digits)
        new = _particles(merge, digits, maps.preferred, item_sides)
        particles += _added(merge.three.population, old.particles, new)
        part = _part(merge.id, new, maps.item_versions.get(digits, {}))
        items += (0 if part is None else len(part["item_versions"])) - len(old.item_versions)
        changed[PART.path(merge.id, digits)] = part
        if part is None:
            parts.pop(digits, None)
        else:
            parts[digits] = part["version"]
    head = ours.model_copy(
        update={
            **maps.fields,
            "name": merge.name,
            "denoiser_object": merge.denoiser(maps.side),
            "n_particles": particles,
            "n_items": items,
            "parts": parts,
        }
    )
    return _as_new(merge, head, changed)


def _particles(
    merge: SpeciesMerge, digits: str, preferred: Side, item_sides: Mapping[str, Side]
) -> dict[str, str]:
    """The merged particles of one part."""
    found: dict[str, str] = {}
    ours, theirs = (merge.three.of(side).part(merge.id, digits) for side in ("ours", "theirs"))
    for item in sorted({*ours.particles, *theirs.particles}):
        group = merge.merged_group(item, item_sides.get(item, preferred))
        if group is not None:
            found[item] = group
    return found


def _part(species: str, particles: dict[str, str], versions: Mapping[str, str]) -> dict[str, Any] | None:
    """A part as JSON; None when there is nothing in it."""
    kept = {item: version for item, version in versions.items() if item in particles}
    if not particles:
        return None
    part = SpeciesPart(species=species, particles=particles, item_versions=kept).model_dump(mode="json")
    return {**part, "version": version_of(part)}


def _added(population: Population, old: Mapping[str, str], new: Mapping[str, str]) -> int:
    """How many particles more the new groups hold."""
    differing = [item for item in old.keys() | new.keys() if old.get(item) != new.get(item)]
    counts = {
        group: particle_count(population, group)
        for item in differing
        for group in (old.get(item), new.get(item))
        if group is not None
    }
    return sum(counts.get(new.get(item, ""), 0) - counts.get(old.get(item, ""), 0) for item in differing)


def particle_count(population: Population, group: str) -> int:
    """Particles in a group, from its manifest alone."""
    entry = read_manifest(population.objects, group)["id/zarr.json"]
    text = base64.b64decode(entry["inline"]) if "inline" in entry else population.objects.get(entry["object"])
    return int(json.loads(text)["shape"][0])


def _content(head: SpeciesHead) -> dict[str, Any]:
    return head.model_dump(exclude={"parent", "merged", "version", "derived"})


def _as_new(merge: SpeciesMerge, head: SpeciesHead, parts: Changes) -> Joined:
    """As a new version with two parents; a side's own version where the merge gave nothing else."""
    ours, theirs = merge.head("ours"), merge.head("theirs")
    if _content(head) == _content(ours):
        return Joined(merge.id, ours.version)
    if _content(head) == _content(theirs):
        paths = [SPECIES.path(merge.id), *parts]
        return Joined(merge.id, theirs.version, {path: merge.three.theirs.raw(path) for path in paths})
    record = head.model_copy(update={"parent": ours.version, "merged": [theirs.version]}).model_dump(mode="json")
    record["version"] = version_of(record)
    return Joined(merge.id, record["version"], {SPECIES.path(merge.id): record, **parts})


def second_of(merge: SpeciesMerge) -> Joined:
    """Their species as one of its own, under an id and a name that follow from what it is."""
    theirs = merge.three.theirs.whole(merge.id)
    assert theirs is not None
    identity = hash_bytes(f"{merge.id} {theirs.version}".encode())[:16]
    changes: Changes = {}
    parts: dict[str, str] = {}
    for digits in theirs.parts:
        part = merge.three.theirs.part(merge.id, digits)
        new = _part(identity, part.particles, part.item_versions)
        assert new is not None
        parts[digits] = new["version"]
        changes[PART.path(identity, digits)] = new
    head = merge.head("theirs").model_copy(
        update={
            "id": identity,
            "name": f"{theirs.name}-{identity[:6]}",
            "parts": parts,
            "parent": theirs.version,
            "merged": [],
        }
    )
    record = head.model_dump(mode="json")
    record["version"] = version_of(record)
    return Joined(identity, record["version"], {SPECIES.path(identity): record, **changes})


def removal(merge: SpeciesMerge) -> Changes:
    """Take the species out."""
    head = merge.ours
    paths = [] if head is None else [SPECIES.path(merge.id), *(PART.path(merge.id, ab) for ab in head.parts)]
    return dict.fromkeys(paths)


def whole_of_theirs(merge: SpeciesMerge) -> Changes:
    """Their species as it is, for one that we removed."""
    head = merge.head("theirs")
    paths = [SPECIES.path(merge.id), *(PART.path(merge.id, ab) for ab in head.parts)]
    return {path: merge.three.theirs.raw(path) for path in paths}
