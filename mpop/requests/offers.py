"""What a request offers: a branch as it is, or one species of it, on top of the branch that it is meant for.

One species is offered as a commit that adds its records, and the series, sources and jobs that it needs and the
branch lacks, to the tip of the branch; whatever else happened here stays here. What it was made from (older
versions of it, versions of series that made its half-maps, versions of species that those were refined against)
travels as history: the offered commit has a second parent, a chain that holds exactly these versions, so that
every version hash can be derived again on the other side. The chain begins and ends as the branch is; other
species appear in it as the versions need, and are taken out again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpop.errors import NotFoundError, StateError
from mpop.population import Population
from mpop.requests.matching import Matching, adapted
from mpop.requests.records import SpeciesOffer
from mpop_hooks.schema import ITEM, JOB, PART, SCHEMA, SOURCE, SPECIES
from mpop_store.git.history import Commit

STAYS = (ITEM.kind, SOURCE.kind, JOB.kind)
"""Kinds of records that a species takes along into the branch where that does not have them."""


@dataclass(frozen=True)
class Offer:
    """A commit to be offered.

    base: the tip that it was made from or will be compared with. along: path -> record that comes with a species.
    as_history: versions of other records that travel as history only, in words.
    """

    commit: str
    base: str
    species: SpeciesOffer | None = None
    along: list[str] = field(default_factory=list)
    as_history: list[str] = field(default_factory=list)
    matching: Matching = field(default_factory=Matching)


@dataclass(frozen=True)
class _Version:
    """One version of one record in the history that the other side does not have."""

    path: str
    record: Mapping[str, Any]
    commit: Commit

    def __str__(self) -> str:
        name = self.record.get("name") or str(self.record.get("id", self.path))[:10]
        kind = str(self.record.get("kind")).replace("item", "series")
        return f"{kind} {name}@{str(self.record.get('version'))[:8]}"


def branch_tip(population: Population, branch: str, remote_first: bool = True) -> str:
    """The tip of a branch as others have it (as last fetched from the one remote, or from origin), or ours.

    remote_first False: ours, if there is one. Raises NotFoundError.
    """
    refs = population.repository.refs
    remote = [name for name in refs.all("refs/remotes/") if name.split("/", 3)[3] == branch]
    if len(remote) > 1:
        remote = [name for name in remote if name.split("/")[2] == "origin"]
    names = [*remote, f"refs/heads/{branch}"]
    for name in names if remote_first else reversed(names):
        if (tip := refs.get(name)) is not None:
            return tip
    raise NotFoundError(f"no branch {branch!r} here or on a remote to offer something for")


def offer_branch(population: Population, onto: str) -> Offer:
    """Offer all that HEAD has and a branch has not."""
    repository = population.repository
    head, base = repository.head, branch_tip(population, onto)
    if head is None or repository.leads_to(base, head):
        raise StateError(f"there is nothing to offer: {onto} has everything that is here")
    return Offer(head, base)


def offer_species(population: Population, name: str, onto: str) -> Offer:
    """Offer one species of HEAD, with what it needs, on top of a branch."""
    base = branch_tip(population, onto)
    species = population.one_species(name, "HEAD")
    unknown = _Unknown(population, base)
    needed = unknown.needed_by(species.id)
    changes = _added(population, needed, species.id, base)
    if not changes:
        raise StateError(f"there is nothing to offer: {onto} has {species.name} as it is here")
    rest = [one for one in needed if changes.get(one.path) != one.record]
    parents = [base, *_as_history(population, _up_to_the_last(needed, rest), base)]
    commit = population.repository.write_commit(base, changes, parents, f"Offer species {species.name}")
    fitted = adapted(population, commit, base)
    return Offer(
        fitted.commit,
        base,
        SpeciesOffer(id=species.id, name=species.name),
        sorted(path for path in changes if _species_of(path) is None),
        sorted({str(one) for one in rest if one.record.get("kind") != PART.kind}),
        fitted.matching,
    )


class _Unknown:
    """The versions of records that HEAD leads to and a base does not, by how others name them."""

    def __init__(self, population: Population, base: str) -> None:
        self._population = population
        self._base = base
        self._in_order: list[_Version] = []
        self._known: dict[tuple[str, str], list[_Version]] = defaultdict(list)
        for commit in population.repository.ahead("HEAD", base):
            for path, kind in commit.changed.items():
                if kind != "D":
                    self._note(_Version(path, population.repository.read(path, commit.id), commit))

    def _note(self, version: _Version) -> None:
        self._in_order.append(version)
        kind = version.record.get("kind")
        self._known[f"{kind} version", str(version.record.get("version"))].append(version)
        self._known[f"{kind} id", str(version.record.get("id"))].append(version)

    def needed_by(self, species: str) -> list[_Version]:
        """The versions that a species of HEAD leads to, itself included, as they were committed."""
        head = self._population.repository.read(SPECIES.path(species), "HEAD")
        chosen: dict[int, _Version] = {}
        waiting = [("species version", str(head["version"]))]
        asked = set(waiting)
        while waiting:
            for version in self._meant(*waiting.pop()):
                if id(version) in chosen:
                    continue
                chosen[id(version)] = version
                further = {(target, wanted) for _, target, wanted in SCHEMA.edges(version.record)} - asked
                waiting += further
                asked |= further
        return [version for version in self._in_order if id(version) in chosen]

    def _meant(self, target: str, wanted: str) -> Iterator[_Version]:
        """What an edge leads to: one version, or of a record named by its id, the newest if the base has none."""
        found = self._known.get((target, wanted), [])
        if target.endswith(" version"):
            yield from found[:1]
        elif found and self._population.repository.find(found[-1].path, self._base) is None:
            yield found[-1]


def _added(population: Population, needed: list[_Version], species: str, base: str) -> dict[str, Any]:
    """The records that the offered commit adds to the base: the species as it is now, and what it lacks there."""
    repository = population.repository
    added = {one.path: one.record for one in needed if one.record.get("kind") in STAYS}
    changes: dict[str, Any] = {path: one for path, one in added.items() if repository.find(path, base) is None}
    for path, kind in repository.changes(base, "HEAD").items():
        if _species_of(path) == species:
            changes[path] = None if kind == "D" else repository.read(path, "HEAD")
    return changes


def _up_to_the_last(needed: list[_Version], rest: list[_Version]) -> list[_Version]:
    """The versions of all commits up to the last of which something is not offered: states that make sense."""
    commits = list(dict.fromkeys(one.commit.id for one in needed))
    with_rest = {one.commit.id for one in rest}
    last = max((number for number, commit in enumerate(commits) if commit in with_rest), default=-1)
    return [one for one in needed if one.commit.id in commits[: last + 1]]


def _as_history(population: Population, versions: list[_Version], base: str) -> list[str]:
    """A chain of commits on the base that holds the versions, one for each commit that they came in.

    It ends as it began, so that the offered commit adds to it just what it adds to the base. Species are taken out
    as a whole before they are what they were: no step loses some of their particles.
    """
    if not versions:
        return []
    repository = population.repository
    by_commit: dict[str, list[_Version]] = defaultdict(list)
    for one in versions:
        by_commit[one.commit.id].append(one)
    tip = base
    for group in by_commit.values():
        commit = group[0].commit
        origin = f"From {commit.id} by {commit.author}: what the offered species was made from."
        records: dict[str, Any] = {one.path: one.record for one in group}
        for one in group:
            if key := SPECIES.key(one.path):
                records |= _parts(population, key[0], commit.id, tip)
        tip = repository.write_commit(tip, records, [tip], f"{commit.subject}\n\n{origin}")
    species = {_species_of(one.path) for one in versions} - {None}
    if species:
        gone = [path for path in repository.entries(tip, SPECIES.prefix()) if _species_of(path) in species]
        tip = repository.write_commit(tip, dict.fromkeys(gone), [tip], "Take out what was there as history")
    changed = repository.changes(base, tip)
    if not changed:
        return [tip]
    back = {path: None if kind == "A" else repository.read(path, base) for path, kind in changed.items()}
    return [repository.write_commit(tip, back, [tip], "Back to what is there, for what is offered")]


def _parts(population: Population, species: str, at: str, tip: str) -> dict[str, Any]:
    """What gives a species in one commit the parts that it has in another: a head and its parts go together."""
    folder = PART.prefix(species)
    there = population.repository.records(folder, at)
    return dict.fromkeys(population.repository.entries(tip, folder)) | there


def _species_of(path: str) -> str | None:
    """The species that a record belongs to, if to one."""
    key = SPECIES.key(path) or PART.key(path)
    return None if key is None else key[0]
