"""The records of one commit, typed, each read once and only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

from mpop.merging.rows import Cells, Rows
from mpop.population import Population, typed
from mpop.records.arrays import particles_from_arrays
from mpop.records.models import (
    ItemRecord,
    JobRecord,
    PopulationRecord,
    Record,
    SourceRecord,
    SpeciesHead,
    SpeciesPart,
    SpeciesRecord,
)
from mpop.records.species import join
from mpop_hooks.record_types import LINEAGE
from mpop_hooks.schema import ITEM, JOB, PART, POPULATION, SOURCE, SPECIES
from mpop_store.arrays.groups import read_group

R = TypeVar("R", bound=Record)


NO_CONTENT = (*LINEAGE, "derived")
"""Fields of a record that say how it came to be, or what can be computed again."""


def _content(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if record is None else {key: value for key, value in record.items() if key not in NO_CONTENT}


class Snapshot:
    """One commit of a population; None is the empty one. under: that commit."""

    def __init__(self, population: Population, commit: str | None) -> None:
        self.under = commit
        self.population = population
        self._repository = population.repository
        self._raw: dict[str, dict[str, Any] | None] = {}
        self._kept: dict[str, Record | None] = {}

    @property
    def commits(self) -> list[str]:
        """The commits that it is made of; none if it is empty."""
        return [] if self.under is None else [self.under]

    @property
    def touched(self) -> set[str]:
        """Paths of the records that may be otherwise than in the commit under it; none here."""
        return set()

    def open_keys(self, path: str) -> frozenset[str]:
        """The keys of a record that are undecided; never any in a commit."""
        return frozenset()

    def open_rows(self, species: str) -> Mapping[str, Mapping[int, Cells]]:
        """Item -> particle -> what of it is undecided; never anything in a commit."""
        return {}

    def changes_to(self, other: Snapshot) -> dict[str, str]:
        """Record path -> "A", "M" or "D", of what another state has otherwise, or either leaves undecided.

        Between commits these are the records that differ in anything; a state that is in no commit has no lineage,
        and records that differ in nothing else are the same.
        """
        assert other.under is not None
        found = self._repository.changes(self.under, other.under)
        touched = self.touched | other.touched
        if not touched:
            return found
        kinds: dict[str, str] = {}
        for path in sorted(found.keys() | touched):
            was, now = self.raw(path), other.raw(path)
            if _content(was) != _content(now) or self._is_open(path) or other._is_open(path):
                kinds[path] = "A" if was is None else "D" if now is None else "M"
        return kinds

    def _is_open(self, path: str) -> bool:
        """Whether something of a record, or of the particles in it, is undecided."""
        species, digits = PART.key(path) or ("", "")
        return bool(self.open_keys(path)) or any(item[:2] == digits for item in self.open_rows(species))

    def raw(self, path: str) -> dict[str, Any] | None:
        """A record as JSON; None where there is none."""
        if path not in self._raw:
            oid = None if self.under is None else self._repository.find(path, self.under)
            self._raw[path] = None if oid is None else self._repository.load(oid)
        return self._raw[path]

    def paths(self, prefix: str) -> set[str]:
        """Paths of the records whose path begins with a prefix."""
        return set() if self.under is None else set(self._repository.entries(self.under, prefix))

    def _typed(self, kind: type[R], path: str) -> R | None:
        if path not in self._kept:
            found = self.raw(path)
            where = f"{path} in commit {str(self.under)[:10]}"
            self._kept[path] = None if found is None else typed(kind, where, found)
        kept = self._kept[path]
        assert kept is None or isinstance(kept, kind)
        return kept

    def root(self) -> PopulationRecord | None:
        """The population's own record."""
        return self._typed(PopulationRecord, POPULATION.path())

    def item(self, item: str) -> ItemRecord | None:
        """A tilt series."""
        return self._typed(ItemRecord, ITEM.path(item))

    def source(self, source: str) -> SourceRecord | None:
        """A data source."""
        return self._typed(SourceRecord, SOURCE.path(source))

    def job(self, job: str) -> JobRecord | None:
        """A job."""
        return self._typed(JobRecord, JOB.path(job))

    def species(self, species: str) -> SpeciesHead | None:
        """A species without its particles."""
        return self._typed(SpeciesHead, SPECIES.path(species))

    def part(self, species: str, digits: str) -> SpeciesPart:
        """The particles of a species in the items whose ids begin with two digits."""
        found = self._typed(SpeciesPart, PART.path(species, digits))
        return found or SpeciesPart(species=species, particles={}, item_versions={})

    def group(self, species: str, item: str) -> str | None:
        """The particles of a species in an item, as the name of their group."""
        return self.part(species, item[:2]).particles.get(item)

    def rows(self, species: str, item: str) -> Rows | None:
        """The particles of a species in an item."""
        group = self.group(species, item)
        if group is None:
            return None
        particles = particles_from_arrays(*read_group(self.population.objects, group))
        return Rows(particles, self.open_rows(species).get(item, {}))

    def whole(self, species: str) -> SpeciesRecord | None:
        """A species with all its particles."""
        head = self.species(species)
        if head is None:
            return None
        return join(head, [self.part(species, digits).model_dump() for digits in head.parts])

    @cached_property
    def all_species(self) -> list[SpeciesHead]:
        """Every species, in the order of their ids."""
        found = [self.species(species) for (species,) in SPECIES.keys(self.paths(SPECIES.prefix())).values()]
        return sorted((head for head in found if head is not None), key=lambda head: head.id)
