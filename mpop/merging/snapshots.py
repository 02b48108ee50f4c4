"""The records of one commit, typed, each read once and only when it is asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

from mpop.population import Population, typed
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
from mpop.records.species import head_path, join, part_path
from mpop_store.git.repository import ROOT_RECORD

R = TypeVar("R", bound=Record)


def item_path(item: str) -> str:
    """Where the record of a tilt series lives."""
    return f"items/{item[:2]}/{item}.json"


def job_path(job: str) -> str:
    """Where the record of a job lives."""
    return f"jobs/{job[:2]}/{job}.json"


class Snapshot:
    """One commit of a population; None is the empty one."""

    def __init__(self, population: Population, commit: str | None) -> None:
        self.commit = commit
        self._repository = population.repository
        self._raw: dict[str, dict[str, Any] | None] = {}
        self._kept: dict[str, Record | None] = {}

    def raw(self, path: str) -> dict[str, Any] | None:
        """A record as JSON; None where there is none."""
        if path not in self._raw:
            oid = None if self.commit is None else self._repository.find(path, self.commit)
            self._raw[path] = None if oid is None else self._repository.load(oid)
        return self._raw[path]

    def _typed(self, kind: type[R], path: str) -> R | None:
        if path not in self._kept:
            found = self.raw(path)
            where = f"{path} in commit {str(self.commit)[:10]}"
            self._kept[path] = None if found is None else typed(kind, where, found)
        kept = self._kept[path]
        assert kept is None or isinstance(kept, kind)
        return kept

    def root(self) -> PopulationRecord | None:
        """The population's own record."""
        return self._typed(PopulationRecord, ROOT_RECORD)

    def item(self, item: str) -> ItemRecord | None:
        """A tilt series."""
        return self._typed(ItemRecord, item_path(item))

    def source(self, source: str) -> SourceRecord | None:
        """A data source."""
        return self._typed(SourceRecord, f"sources/{source}.json")

    def job(self, job: str) -> JobRecord | None:
        """A job."""
        return self._typed(JobRecord, job_path(job))

    def species(self, species: str) -> SpeciesHead | None:
        """A species without its particles."""
        return self._typed(SpeciesHead, head_path(species))

    def part(self, species: str, digits: str) -> SpeciesPart:
        """The particles of a species in the items whose ids begin with two digits."""
        found = self._typed(SpeciesPart, part_path(species, digits))
        return found or SpeciesPart(species=species, particles={}, item_versions={})

    def whole(self, species: str) -> SpeciesRecord | None:
        """A species with all its particles."""
        head = self.species(species)
        if head is None:
            return None
        return join(head, [self.part(species, digits).model_dump() for digits in head.parts])

    @cached_property
    def all_species(self) -> list[SpeciesHead]:
        """Every species, in the order of their ids."""
        if self.commit is None:
            return []
        paths = self._repository.entries(self.commit, "species/")
        found = [self.species(path.split("/")[1].removesuffix(".json")) for path in paths if path.count("/") == 1]
        return sorted((head for head in found if head is not None), key=lambda head: head.id)
