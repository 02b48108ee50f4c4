"""Take particles out of species."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from mpop.collisions.choices import Loser, by_species_and_item
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.records.tilt_series import ParticleSet


def without(particles: ParticleSet, ids: Iterable[int]) -> ParticleSet:
    """The particles but those with the given ids."""
    kept = ~np.isin(particles.id, np.array(sorted(ids), dtype=np.uint64))
    return ParticleSet(
        particles.id[kept],
        particles.half[kept],
        particles.position_A[kept],
        particles.angles_deg[kept],
        {key: [values[row] for row in np.flatnonzero(kept)] for key, values in particles.extra.items()},
    )


def remove(population: Population, species: SpeciesRecord, gone: Mapping[str, set[int]]) -> SpeciesRecord:
    """A species without some particles: item id -> ids that go. Its arrays are stored, the record is not.

    A series whose particles all go keeps an empty set: it was not lost, nothing of this species is left in it.
    """
    sets = {item: population.particles(species, item) for item in gone}
    fewer = {item: without(particles, gone[item]) for item, particles in sets.items()}
    n_gone = sum(len(sets[item]) - len(fewer[item]) for item in gone)
    groups = {item: population.write_particles(particles) for item, particles in fewer.items()}
    update = {"particles": {**species.particles, **groups}, "n_particles": species.n_particles - n_gone}
    return species.model_copy(update=update)


def stage_removal(population: Population, chosen: Iterable[Loser]) -> list[SpeciesRecord]:
    """Put species without the chosen particles into the working state; returns them.

    Their half-maps still hold these particles until `mpop reconstruct` or `mpop refine` makes new ones.
    """
    gone: dict[str, dict[str, set[int]]] = {}
    for (species, item), ids in by_species_and_item(chosen).items():
        gone.setdefault(species, {})[item] = ids
    now = population.species()
    head = population.repository.head
    committed = {} if head is None else population.species("HEAD")
    changed = []
    for identity, items in gone.items():
        record = remove(population, now[identity], items)
        parent = committed[identity].version if identity in committed else record.parent
        changed.append(record.model_copy(update={"parent": parent, "job": None}))
    population.stage(changed)
    return changed
