"""What a job works on: the species asked for and the series that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpop.errors import InputError, StateError
from mpop.population import Population
from mpop.records.models import ItemRecord, SourceRecord, SpeciesRecord


@dataclass(frozen=True)
class Selection:
    """species and items in a fixed order; every item holds at least one particle of a selected species, and
    every species has particles in one of the items.

    head: the commit that all of it was read from.
    """

    head: str

    species: list[SpeciesRecord]
    items: list[ItemRecord]
    sources: dict[str, SourceRecord]

    def species_in(self, item: ItemRecord) -> list[SpeciesRecord]:
        """The selected species with particles in an item."""
        return [species for species in self.species if item.id in species.particles]


def names_to_write(chosen: Selection) -> list[str]:
    """Ids of the species and sources that a refinement of this selection changes, for `leased`."""
    return [*(one.id for one in chosen.species), *chosen.sources]


def select(population: Population, species: Sequence[str] = (), sources: Sequence[str] = ()) -> Selection:
    """Resolve names; none given means all species that have particles in the sources.

    Raises StateError when there are uncommitted changes, no species or no source; NotFoundError for an unknown
    name; InputError when no series of the chosen sources holds a particle of a species that was named, or of any.
    """
    population.refuse_while_merging()
    head = population.repository.head
    if head is None or not population.repository.is_clean:
        raise StateError(
            "the population has uncommitted changes; run `mpop commit -m MESSAGE` first, "
            "so that the job can record what it started from"
        )
    all_species = population.species()
    if not all_species:
        raise StateError("the population has no species; add one with `mpop species add`")
    chosen = [population.one_species(name) for name in species] or list(all_species.values())
    chosen_sources = [population.source(name) for name in sources] or list(population.sources().values())
    by_id = {source.id: source for source in chosen_sources}
    items = [
        item
        for item in population.items().values()
        if item.source in by_id and any(item.id in one.particles for one in chosen)
    ]
    ids = {item.id for item in items}
    held = [one for one in chosen if not ids.isdisjoint(one.particles)]
    if not held or (species and len(held) < len(chosen)):
        names = ", ".join(one.name for one in chosen if one not in held)
        raise InputError(f"no series of the chosen sources holds a particle of {names}")
    return Selection(
        head, sorted(held, key=lambda one: one.id), sorted(items, key=lambda item: (item.name, item.id)), by_id
    )
