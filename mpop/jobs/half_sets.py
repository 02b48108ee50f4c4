"""What `reconstruct` and `refine` ask first: whether the half-sets of their species are independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mpop.collisions.finding import tilt_series
from mpop.collisions.half_sets import half_sets_doubt, refuse_empty_half
from mpop.doubts import Doubt
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop_store.arrays.groups import read_array

Say = Callable[[Sequence[Doubt]], None]
"""Is given what is doubted, before the work begins."""


def say_nothing(doubts: Sequence[Doubt]) -> None:
    """For callers who read the record."""


def half_set_doubts(population: Population, species: Sequence[SpeciesRecord]) -> list[Doubt]:
    """Doubts about species as they are now, in all of their items. Raises InputError for a half-set of none.

    Particles in stacks have no place in common: whether two are one is asked at import.
    """
    series = tilt_series(population)
    doubts = []
    for one in species:
        where = f"species {one.name}"
        half = {item: read_array(population.objects, group, "half") for item, group in one.particles.items()}
        refuse_empty_half(where, half.values())
        placed = (
            (half[item], read_array(population.objects, group, "position_A"))
            for item, group in one.particles.items()
            if item in series
        )
        if doubt := half_sets_doubt(where, placed, one.diameter_A):
            doubts.append(doubt)
    return doubts
