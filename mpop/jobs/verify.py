"""`mpop verify`: re-hash every object, re-derive every version of the graph, and say what any damage touches."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from mpop.jobs.progress import Progress, silent
from mpop.population import Population
from mpop_hooks.objects_complete import named_objects
from mpop_store import MpopError, version_of
from mpop_store.groups import group_objects


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be. dependents: what relies on it, in words."""

    kind: str
    name: str
    message: str
    dependents: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VerifyReport:
    """What was looked at and what was found."""

    objects: int
    bytes: int
    git_objects: int
    commits: int
    records: int
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass
class _Version:
    """One version of one record, and the commits that hold it."""

    path: str
    record: dict[str, Any]
    commits: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        name = self.record.get("name") or self.record.get("id", "")
        kind = self.record.get("kind", "record")
        commits = ", ".join(commit[:10] for commit in self.commits[:3]) or "the working state"
        more = f" and {len(self.commits) - 3} more" if len(self.commits) > 3 else ""
        return f"{kind} {name}, version {str(self.record.get('version', ''))[:10]}, in {commits}{more}"


def verify(population: Population, progress: Progress = silent) -> VerifyReport:
    """Check everything that is here. Derived objects may be missing, but not damaged."""
    problems: list[Problem] = []
    git_objects = _check_git(population, problems)
    if problems:  # history cannot be walked safely
        _, size, count, damaged = _check_objects(population, progress)
        problems += [Problem("object", name, message) for name, message in damaged.items()]
        return VerifyReport(count, size, git_objects, 0, 0, problems)
    versions, commits = _history(population)
    names, size, count, damaged = _check_objects(population, progress)
    users = _users(population, versions)
    for name, message in damaged.items():
        problems.append(Problem("object", name, message, [str(version) for version in users.get(name, ())]))
    for version in versions:
        for name in named_objects(version.record):
            if name not in names:
                problems.append(Problem("object", name, f"object {name} is missing", [str(version)]))
    problems += _check_graph(versions)
    return VerifyReport(count, size, git_objects, commits, len(versions), _unique(problems))


def _unique(problems: list[Problem]) -> list[Problem]:
    merged: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for problem in problems:
        merged[problem.kind, problem.name, problem.message] += problem.dependents
    return [Problem(*key, list(dict.fromkeys(dependents))) for key, dependents in merged.items()]


def _check_git(population: Population, problems: list[Problem]) -> int:
    count = 0
    for name, data in population.repository.git_objects():
        count += 1
        if data is None:
            problems.append(
                Problem("git", name, f"Git object {name} is damaged or missing", ["the history that holds it"])
            )
    return count


def _check_objects(population: Population, progress: Progress) -> tuple[set[str], int, int, dict[str, str]]:
    """Names here, bytes on disk, count, and what is wrong with which."""
    objects = population.objects
    names = list(objects.names())
    damaged: dict[str, str] = {}
    size = 0
    for number, name in enumerate(names, start=1):
        try:
            size += objects.size(name)
            objects.get(name)
        except (MpopError, OSError) as error:
            damaged[name] = str(error)
        progress("objects", number, len(names))
    return set(names), size, len(names), damaged


def _history(population: Population) -> tuple[list[_Version], int]:
    """Every version of every record in every commit, and in the working state."""
    found: dict[tuple[str, str], _Version] = {}
    commits = 0
    revisions: list[str | None] = [commit.id for commit in population.repository.log()]
    for revision in [*reversed(revisions), None]:
        commits += revision is not None
        for path, record in population.repository.records(at=revision).items():
            key = (path, json.dumps(record, sort_keys=True))
            version = found.setdefault(key, _Version(path, record))
            if revision is not None:
                version.commits.append(revision)
    return list(found.values()), commits


def _users(population: Population, versions: list[_Version]) -> dict[str, list[_Version]]:
    """Object name -> the record versions that need it, directly or through a group."""
    users: dict[str, list[_Version]] = defaultdict(list)
    members: dict[str, list[str]] = {}
    for version in versions:
        derived = [part["group"] for part in version.record.get("derived", {}).get("sums", {}).values()]
        for name in [*named_objects(version.record), *derived]:
            if name not in members:
                try:
                    members[name] = group_objects(population.objects, name)
                except MpopError:
                    members[name] = [name]  # a plain object, or one too damaged to list its parts
            for part in members[name]:
                users[part].append(version)
    return users


def _check_graph(versions: list[_Version]) -> list[Problem]:
    """Versions follow from content; parents, jobs and both kinds of edges lead somewhere."""
    problems: list[Problem] = []
    known: dict[str, set[str]] = defaultdict(set)
    for version in versions:
        record = version.record
        known[record.get("kind", "")].add(str(record.get("version")))
        known["job id"].add(record["id"] if record.get("kind") == "job" else "")
    for version in versions:
        record, kind = version.record, version.record.get("kind", "")
        if record.get("version") != version_of(record):
            message = f"the version of {version.path} does not follow from its content"
            problems.append(Problem("record", version.path, message, [str(version)]))
        edges = [("parent", kind, record.get("parent")), ("job", "job id", record.get("job"))]
        edges += [("species", "species", v) for v in record.get("species_versions", {}).values()]
        edges += [("item", "item", v) for v in record.get("item_versions", {}).values()]
        for edge, target, wanted in edges:
            if wanted is not None and wanted not in known[target]:
                message = f"{version.path} names a {edge} version {wanted[:10]} that is nowhere in the history"
                problems.append(Problem("edge", version.path, message, [str(version)]))
    return problems
