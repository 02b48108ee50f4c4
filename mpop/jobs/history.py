"""Commits in the words of a biologist: what a job did to which species."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from mpop.population import Population
from mpop.records.models import ItemRecord, JobRecord, SpeciesHead
from mpop_store.repository import Commit


@dataclass(frozen=True)
class SpeciesChange:
    """A species before and after a commit; resolution None where there was none."""

    name: str
    resolution_before_A: float | None
    resolution_after_A: float | None
    particles: int
    version: str
    from_items: int
    """Tilt series that contributed to its half-maps."""


@dataclass(frozen=True)
class HistoryEntry:
    """One commit and what it means."""

    id: str
    parents: list[str]
    time: str
    author: str
    message: str
    verb: str | None = None
    species: list[SpeciesChange] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    """Names of the tilt series that got a new model."""
    uses: list[str] = field(default_factory=list)
    """`species@version` that those models were refined against."""
    job: JobRecord | None = None


def describe(population: Population, commit: Commit) -> HistoryEntry:
    """Read what a commit changed."""
    repository = population.repository
    parent = commit.parents[0] if commit.parents else None
    job: JobRecord | None = None
    species: list[SpeciesChange] = []
    items: list[str] = []
    uses: set[tuple[str, str]] = set()
    for path, kind in commit.changed.items():
        if kind == "D":
            continue
        folder = path.split("/")[0]
        if folder == "jobs":
            job = JobRecord.model_validate(repository.read(path, commit.id))
        elif folder == "species" and path.count("/") == 1:
            new = SpeciesHead.model_validate(repository.read(path, commit.id))
            old = repository.read(path, parent) if parent and kind == "M" else {}
            species.append(
                SpeciesChange(
                    new.name,
                    old.get("resolution_A"),
                    new.resolution_A,
                    new.n_particles,
                    new.version,
                    new.n_items,
                )
            )
        elif folder == "items":
            item = ItemRecord.model_validate(repository.read(path, commit.id))
            items.append(item.name)
            uses |= set(item.species_versions.items())
    names = {one.id: one.name for one in population.species_heads(commit.id).values()} if uses else {}
    return HistoryEntry(
        commit.id,
        list(commit.parents),
        commit.time.isoformat(),
        commit.author,
        commit.message.rstrip(),
        job.verb if job else None,
        species,
        sorted(items),
        sorted(f"{names.get(identity, identity)}@{version[:8]}" for identity, version in uses),
        job,
    )


def history(population: Population, start: str = "HEAD", limit: int | None = None) -> list[HistoryEntry]:
    """Commits from a revision back, newest first."""
    return [describe(population, commit) for commit in islice(population.repository.log(start), limit)]
