"""Commits in the words of a biologist: what a job did to which species."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat

from mpop.errors import NotFoundError
from mpop.population import Population, record_path, typed
from mpop.records.models import ItemRecord, JobRecord, SourceType, SpeciesHead
from mpop_hooks.schema import ITEM, JOB, SPECIES
from mpop_store.git.repository import Commit, Repository


@dataclass(frozen=True)
class SpeciesChange:
    """A species before and after a commit; resolution None where there was none."""

    name: str
    resolution_before_A: float | None
    resolution_after_A: float | None
    particles: int
    version: str
    from_items: int
    """Tilt series, or stacks, that contributed to its half-maps; 0 for half-maps that were imported."""
    same_maps: bool = False
    """Whether its half-maps are those of before."""


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
    stacks: list[str] = field(default_factory=list)
    """Names of the stacks of particle images whose poses were refined."""
    uses: list[str] = field(default_factory=list)
    """`species@version` that those models were refined against."""
    job: JobRecord | None = None
    leads_to: list[str] = field(default_factory=list)
    """The parents; in a list of some commits only, the nearest listed ancestors."""
    names: list[str] = field(default_factory=list)
    """Branches and tags at this commit."""
    types: list[SourceType] = field(default_factory=list)
    """Of the sources that there are at this commit, where a species changed."""


def describe(population: Population, commit: Commit) -> HistoryEntry:
    """Read what a commit changed."""
    repository = population.repository
    parent = commit.parents[0] if commit.parents else None
    job: JobRecord | None = None
    species: list[SpeciesChange] = []
    items: dict[str, list[str]] = {}
    uses: set[tuple[str, str]] = set()
    for path, kind in commit.changed.items():
        if kind == "D":
            continue
        if JOB.key(path):
            found = typed(JobRecord, path, repository.read(path, commit.id))
            job = found if job is None or found.verb == "merge" else job  # the others came with what was merged
        elif SPECIES.key(path):
            new = typed(SpeciesHead, path, repository.read(path, commit.id))
            old = repository.read(path, parent) if parent and kind == "M" else {}
            species.append(
                SpeciesChange(
                    new.name,
                    old.get("resolution_A"),
                    new.resolution_A,
                    new.n_particles,
                    new.version,
                    new.n_items,
                    old.get("maps_object") == new.maps_object,
                )
            )
        elif ITEM.key(path):
            item = typed(ItemRecord, path, repository.read(path, commit.id))
            items.setdefault(item.source, []).append(item.name)
            uses |= set(item.species_versions.items())
    names = {one.id: one.name for one in population.species_heads(commit.id).values()} if uses else {}
    sources = population.sources(commit.id) if items or species else {}
    stacks = {one for one in items if one in sources and sources[one].type == "particle-stack"}
    return HistoryEntry(
        commit.id,
        list(commit.parents),
        commit.time.isoformat(),
        commit.author,
        commit.message.rstrip(),
        job.verb if job else None,
        species,
        sorted(name for one, found in items.items() if one not in stacks for name in found),
        sorted(name for one in stacks for name in items[one]),
        sorted(f"{names.get(identity, identity)}@{version[:8]}" for identity, version in uses),
        job,
        types=sorted({one.type for one in sources.values()}) if species else [],
    )


def history(
    population: Population,
    start: str = "HEAD",
    limit: int | None = None,
    species: str | None = None,
    item: str | None = None,
    graph: bool = False,
) -> list[HistoryEntry]:
    """Commits from a revision back, newest first, read as far as `limit` needs.

    species, item: names or ids; only commits that changed it, or hold a job on it alone. graph: children before
    parents, whatever the clocks said. Raises NotFoundError for an unknown revision or name.
    """
    repository = population.repository
    if repository.head is None and start == "HEAD":
        return []
    paths = _paths(population, start, species, item)
    commits = repository.log(start)
    listed, leads_to = _select(repository, children_first(commits) if graph or paths else commits, paths, limit)
    names = names_of_commits(repository)
    return [
        replace(describe(population, commit), leads_to=leads_to[commit.id], names=names.get(commit.id, []))
        for commit in listed
    ]


def _paths(population: Population, start: str, species: str | None, item: str | None) -> list[str]:
    """The records that are asked for, as they are known at a revision or in the working state."""
    paths: list[str] = []
    for name, read in ((species, population.one_species), (item, population.item)):
        if name is not None:
            try:
                paths.append(record_path(read(name, start)))
            except NotFoundError:
                paths.append(record_path(read(name)))
    return paths


def _select(
    repository: Repository, commits: Iterable[Commit], paths: Sequence[str], limit: int | None
) -> tuple[list[Commit], dict[str, list[str]]]:
    """The commits to list, and by id the listed ones that each leads to.

    Of records, only those commits that no parent agrees with; a merge that took them over from one side as they
    were is followed to that side alone.
    """
    listed: list[Commit] = []
    follow: dict[str, tuple[str, ...]] = {}
    wanted: set[str] = set()
    for commit in commits:
        if follow and commit.id not in wanted:
            continue
        same = [
            one
            for number, one in enumerate(commit.parents)
            if paths and _agrees(repository, commit, number, paths)
        ]
        is_listed = not same and (
            not paths or bool(commit.parents) or any(path in commit.changed for path in paths)
        )
        follow[commit.id] = commit.parents if is_listed else tuple(same[:1])
        wanted.update(follow[commit.id])
        if is_listed:
            listed.append(commit)
            if len(listed) == limit:
                break
    return listed, _nearest(listed, follow)


def _agrees(repository: Repository, commit: Commit, parent: int, paths: Sequence[str]) -> bool:
    """Whether a commit left records as they were in one of its parents, and adds no job on them to it."""
    changed = commit.changed if parent == 0 else repository.changes(commit.parents[parent], commit.id)
    return not any(
        path in paths or (kind != "D" and JOB.key(path) and _reads(repository, commit, path, paths))
        for path, kind in changed.items()
    )


def _reads(repository: Repository, commit: Commit, job: str, paths: Sequence[str]) -> bool:
    """Whether a job had one of the records as its only input, as those have that measure the maps of a species."""
    inputs = repository.read(job, commit.id)["inputs"]
    return len(inputs) == 1 and not inputs.keys().isdisjoint(paths)


def _nearest(listed: Sequence[Commit], follow: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Where the lines of a graph lead: past commits that are not listed, to those that are or were not read."""
    ids = {commit.id for commit in listed}
    reached: dict[str, list[str]] = {}
    for oid in reversed(follow):  # parents before children
        beyond = [[one] if one in ids or one not in follow else reached[one] for one in follow[oid]]
        reached[oid] = list(dict.fromkeys(chain.from_iterable(beyond)))
    return {oid: reached[oid] for oid in ids}


def children_first(commits: Iterable[Commit], ahead: int = 64) -> Iterator[Commit]:
    """Commits that come by date, so that no parent comes before its child.

    Looks so many commits ahead; where dates are wrong by more than that, the order stays theirs.
    """
    waiting: dict[str, Commit] = {}
    children: Counter[str] = Counter()
    for commit in chain(commits, repeat(None)):
        if commit is not None:
            waiting[commit.id] = commit
            children.update(commit.parents)
            if len(waiting) <= ahead:
                continue
        if not waiting:
            return
        ready = next((one for one in waiting.values() if not children[one.id]), next(iter(waiting.values())))
        del waiting[ready.id]
        children.subtract(ready.parents)
        yield ready


def names_of_commits(repository: Repository) -> dict[str, list[str]]:
    """Commit -> the branches and tags at it, in short; HEAD first, with the branch that is checked out."""
    branch = repository.refs.branch
    names: dict[str, list[str]] = {}
    if repository.head is not None:
        names[repository.head] = ["HEAD" if branch is None else f"HEAD -> {branch.removeprefix('refs/heads/')}"]
    kinds = {"refs/heads/": "", "refs/tags/": "tag: ", "refs/remotes/": ""}
    refs = repository.refs.all(tuple(kinds))  # in one go: every listing walks all references
    for prefix, shown in kinds.items():
        for name, oid in refs.items():
            if name.startswith(prefix) and name != branch:
                names.setdefault(repository.peeled(oid), []).append(shown + name.removeprefix(prefix))
    return names
