"""Search the series of a population, of a commit, or of records that are nowhere yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import zarr

from mpop.collisions.bodies import Body
from mpop.collisions.occupants import Occupant, Shape, occupant
from mpop.collisions.report import CollisionReport, ItemCollisions, SpeciesSeen
from mpop.collisions.search import THRESHOLD, search
from mpop.errors import InputError
from mpop.population import Population
from mpop.records.arrays import particles_from_arrays
from mpop.records.models import ItemRecord, SpeciesRecord
from mpop.run import Progress, silent
from mpop_store import ObjectStore
from mpop_store.arrays.groups import open_group, read_group

"""Called with the task, how many steps are done, and of how many."""


def find(
    population: Population,
    species: Sequence[str] = (),
    items: Sequence[str] = (),
    at: str | None = None,
    since: str | None = None,
    threshold: float = THRESHOLD,
    progress: Progress = silent,
) -> CollisionReport:
    """Collisions among species in series, given by name or id; none given means all.

    at: a revision, None is the working state. since: a revision; what was in one place then is not reported.
    """
    known = population.species(at)
    chosen = [population.one_species(name, at) for name in species] or list(known.values())
    everything = tilt_series(population, at)
    wanted = [population.item(name, at).id for name in items] or list(everything)
    if stacks := [name for name, item in zip(items, wanted, strict=False) if item not in everything]:
        raise InputError(f"{stacks[0]} is a stack: each particle has an image of its own, and none can collide")
    names = {item: everything[item].name for item in wanted}
    before = None if since is None else population.species(since)
    return find_among(population.objects, chosen, names, before, threshold, progress)


def tilt_series(population: Population, at: str | None = None) -> dict[str, ItemRecord]:
    """Items by id in which particles may collide. Of two particles in a stack nobody knows how far apart they are:
    each has an image of its own."""
    sources = population.sources(at)
    items = population.items(at).items()
    return {identity: item for identity, item in items if sources[item.source].type == "tilt-series"}


def find_among(
    objects: ObjectStore,
    species: Iterable[SpeciesRecord],
    items: Mapping[str, str],
    before: Mapping[str, SpeciesRecord] | None = None,
    threshold: float = THRESHOLD,
    progress: Progress = silent,
) -> CollisionReport:
    """Collisions among species, whose arrays must be in the store, in series (id -> name).

    before: species by id as they were. Particles that they do not hold are incoming, and only collisions with
    these are reported. None: all are, and no particle is incoming.
    """
    present = [one for one in species if not items.keys().isdisjoint(one.particles)]
    shapes = {one.id: shape_of(objects, one) for one in present}
    held = [item for item in items if any(item in one.particles for one in present)]
    found: list[ItemCollisions] = []
    particles = 0
    for number, item in enumerate(sorted(held, key=lambda item: (items[item], item)), start=1):
        occupants = list(_occupants(objects, item, present, shapes, before))
        particles += sum(len(one) for one in occupants)
        try:
            collisions = search(occupants, threshold)
        except InputError as error:
            raise InputError(f"{items[item]}: {error}") from error
        if before is not None:
            collisions = [hit for hit in collisions if hit.first.incoming or hit.second.incoming]
        if collisions:
            found.append(ItemCollisions(item, items[item], collisions))
        progress("collisions", number, len(held))
    seen = {one.id: SpeciesSeen(one.id, one.name, one.resolution_A, one.body.mask_A3) for one in shapes.values()}
    return CollisionReport(threshold, seen, len(held), particles, found)


def shape_of(objects: ObjectStore, species: SpeciesRecord) -> Shape:
    """The body of a species and what ranks it. Raises InputError when its mask is empty."""
    mask = open_group(objects, species.maps_object).get("mask")
    if not isinstance(mask, zarr.Array):
        raise InputError(f"species {species.name} has no mask")
    try:
        body = Body.of(np.asarray(mask[...]), species.pixel_size_A)
    except InputError as error:
        raise InputError(f"species {species.name}: {error}") from error
    return Shape(species.id, species.name, body, species.symmetry, species.resolution_A)


def _occupants(
    objects: ObjectStore,
    item: str,
    species: Iterable[SpeciesRecord],
    shapes: Mapping[str, Shape],
    before: Mapping[str, SpeciesRecord] | None,
) -> Iterator[Occupant]:
    for one in species:
        if item not in one.particles:
            continue
        known = None
        if before is not None:
            group = before[one.id].particles.get(item) if one.id in before else None
            known = np.zeros(0, np.uint64) if group is None else read_group(objects, group)[0]["id"]
        particles = particles_from_arrays(*read_group(objects, one.particles[item]))
        yield occupant(shapes[one.id], particles, known)
