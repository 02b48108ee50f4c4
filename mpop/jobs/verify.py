"""`mpop verify`: re-hash every object, re-derive every version of the graph, and say what any damage touches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mpop.jobs.progress import Progress, silent
from mpop.population import Population
from mpop_hooks.objects_complete import references_of
from mpop_store import MpopError, version_of
from mpop_store.groups import group_objects
from mpop_store.integrity import Survey


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
    git_files: int
    commits: int
    records: int
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass
class _Version:
    """One version of one record, and the commits that hold it. name: what people call it."""

    path: str
    record: dict[str, Any]
    commits: list[str]
    name: str = ""

    def __str__(self) -> str:
        name = self.name or self.record.get("name") or self.record.get("id", "")
        kind = str(self.record.get("kind", "record")).replace("species-part", "particles of species")
        commits = ", ".join(commit[:10] for commit in self.commits[:3]) or "the working state"
        more = f" and {len(self.commits) - 3} more" if len(self.commits) > 3 else ""
        return f"{kind} {name}, version {str(self.record.get('version', ''))[:10]}, in {commits}{more}"


def verify(population: Population, progress: Progress = silent) -> VerifyReport:
    """Check everything that is here. Derived objects may be missing, but not damaged."""
    git = population.repository.survey()
    problems = [
        Problem("git", name, f"Git: {name} is damaged or missing", needed_by)
        for name, needed_by in git.broken.items()
    ]
    versions = _load_versions(population, git, problems)
    sizes, damaged = _check_objects(population, progress)
    users, droppable = _users(population, versions)
    for name, message in damaged.items():
        problems.append(Problem("object", name, message, [str(version) for version in users.get(name, ())]))
    for name in sorted(set(users) - set(sizes) - droppable):
        needed_by = [str(version) for version in users[name]]
        problems.append(Problem("object", name, f"object {name} is missing", needed_by))
    problems += _check_graph(versions)
    return VerifyReport(len(sizes), sum(sizes.values()), git.files, len(git.commits), len(versions), problems)


def _load_versions(population: Population, git: Survey, problems: list[Problem]) -> list[_Version]:
    """Every version of every record in history and working state; what cannot be read is a problem."""
    versions: list[_Version] = []
    for (path, oid), commits in git.records.items():
        if path.endswith(".json") and oid not in git.broken:
            try:
                versions.append(_Version(path, population.repository.load(oid), commits))
            except MpopError as error:
                problems.append(Problem("record", path, str(error), [commit[:10] for commit in commits]))
    names = {version.record.get("id"): str(version.record.get("name")) for version in versions}
    for version in versions:
        if version.record.get("kind") == "species-part":
            version.name = names.get(version.record.get("species"), "")
    return versions


def _check_objects(population: Population, progress: Progress) -> tuple[dict[str, int], dict[str, str]]:
    """Name -> bytes on disk of every object here; name -> what is wrong, of the damaged ones."""
    objects = population.objects
    names = list(objects.names())
    sizes: dict[str, int] = {}
    damaged: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        sizes[name] = objects.size(name)
        try:
            objects.get(name)
        except MpopError as error:
            damaged[name] = str(error)
        progress("objects", number, len(names))
    return sizes, damaged


def _users(population: Population, versions: list[_Version]) -> tuple[dict[str, list[_Version]], set[str]]:
    """Object name -> the record versions that name it or a group that it is part of; and which of these objects
    no version needs, because they can be computed again."""
    users: dict[str, list[_Version]] = defaultdict(list)
    needed: set[str] = set()

    @cache
    def parts(name: str) -> list[str]:
        try:
            return group_objects(population.objects, name)
        except MpopError:
            return [name]  # missing, or too damaged to list its parts

    for version in versions:
        named = references_of(version.record)
        required = [part for name in named.groups for part in parts(name)]
        required += named.files
        needed.update(required)
        derived = [part for name in named.derived for part in parts(name)]
        for name in dict.fromkeys([*required, *derived]):
            users[name].append(version)
    return users, set(users) - needed


def _check_graph(versions: list[_Version]) -> list[Problem]:
    """Versions follow from content; parents, jobs and both kinds of edges lead somewhere."""
    known: dict[str, set[str]] = defaultdict(set)
    for version in versions:
        kind = version.record.get("kind", "")
        known[f"{kind} version"].add(str(version.record.get("version")))
        known[f"{kind} id"].add(str(version.record.get("id")))
    problems: list[Problem] = []
    for version in versions:
        if version.record.get("version") != version_of(version.record):
            message = f"the version of {version.path} does not follow from its content"
            problems.append(Problem("record", version.path, message, [str(version)]))
        for edge, target, wanted in edges(version.record):
            if wanted not in known[target]:
                message = f"{version.path} names a {edge}, {target} {wanted[:10]}, that is nowhere in the history"
                problems.append(Problem("edge", version.path, message, [str(version)]))
    return problems


def edges(record: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Where a record leads: what it calls the other end, what that must be, and its name."""
    if record.get("parent") is not None:
        yield "parent", f"{record.get('kind')} version", record["parent"]
    for version in record.get("merged", ()):
        yield "merged version", f"{record.get('kind')} version", version
    if record.get("job") is not None:
        yield "job", "job id", record["job"]
    if record.get("source") is not None:
        yield "source", "source id", record["source"]
    for version in record.get("species_versions", {}).values():
        yield "reference", "species version", version
    for version in record.get("item_versions", {}).values():
        yield "contribution", "item version", version
    for version in record.get("parts", {}).values():
        yield "part", "species-part version", version
    if record.get("kind") == "species-part":
        yield "species", "species id", record.get("species", "")
        for item in record.get("particles", {}):
            yield "tilt series", "item id", item
    if record.get("kind") == "source":
        for item in record.get("items", ()):
            yield "tilt series", "item id", item
