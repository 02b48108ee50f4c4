"""Whether a species that comes in is one that the population has already: the same particles under another name.

Two parts of one molecule, each with a mask of its own, have the same particles too, so that this is only noted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mpop.collisions.bodies import SAME_PLACE
from mpop.collisions.half_sets import MAX_REACH_A
from mpop.doubts import Doubt
from mpop.errors import UNUSABLE
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.records.tilt_series import ParticleSet

NEARLY_ALL = 0.9
"""Of the particles of either: a species that others bind to shares fewer places, or shares them farther apart."""


def known_particles_doubts(
    population: Population, where: str, sets: Mapping[str, ParticleSet], diameter_A: float
) -> list[Doubt]:
    """Species with nearly all of the particles, by item id, where they are: within a fifth of the radius, or in a
    stack in the same images."""
    reach = min(SAME_PLACE * diameter_A / 2, MAX_REACH_A)
    total = sum(map(len, sets.values()))
    doubts: list[Doubt] = []
    for species in population.species().values():
        shared = _shared(population, species, sets, reach)
        if 0 < NEARLY_ALL * total <= shared:
            doubts.append(
                Doubt(
                    "species-known",
                    where,
                    f"{shared} of {total} particles are where the population has particles of {species.name}",
                    "images of what is in the population twice count twice",
                    way_on=f"is this {species.name} once more? `mpop species remove` takes one of them out",
                )
            )
    return doubts


def _shared(
    population: Population, species: SpeciesRecord, sets: Mapping[str, ParticleSet], reach_A: float
) -> int:
    """How many particles are where those of a species are; the search ends where too many are not."""
    total = sum(map(len, sets.values()))
    there = sets.keys() & species.particles.keys()
    shared, left = 0, sum(len(sets[item]) for item in there)
    for item in sorted(there):
        if shared + left < NEARLY_ALL * total:
            break
        left -= len(sets[item])
        try:
            known = population.particles(species, item)
        except UNUSABLE:  # of a clone that has not fetched them
            continue
        if population.source(population.item(item).source).type == "particle-stack":
            shared += int(np.isin(sets[item].id, known.id).sum())
        else:
            shared += _near(sets[item], known, reach_A)
    return shared


def _near(particles: ParticleSet, known: ParticleSet, reach_A: float) -> int:
    """How many lie within a reach of one that is known."""
    if not len(known):
        return 0
    here, there = (_places(one) for one in (particles, known))
    distance, _ = KDTree(there).query(here, distance_upper_bound=reach_A)
    return int(np.isfinite(distance).sum())


def _places(particles: ParticleSet) -> NDArray[np.float64]:
    """(p, 3), those that are known."""
    place = particles.position_A.mean(axis=1)
    return place[np.isfinite(place).all(axis=1)]
