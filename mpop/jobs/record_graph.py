"""What the records of all commits say of each other and of objects, without keeping them in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mpop_hooks.schema import PART, SCHEMA, references_of
from mpop_store import MpopError, ObjectStore, version_of
from mpop_store.arrays.groups import group_objects
from mpop_store.git.integrity import Survey
from mpop_store.git.repository import Repository
from mpop_store.transfer.naming import everything, references_in

Target = tuple[str, str]
"""Where an edge leads: what the other end must be, such as "item version", and its name."""


@dataclass(frozen=True)
class Version:
    """One version of one record. commit: one that holds it, None for the working state only."""

    path: str
    oid: str
    commit: str | None


@dataclass
class RecordGraph:
    """Everything that records lead to.

    needed: objects that some record cannot do without; groups: those of them that consist of others. targets:
    where edges lead; known: versions and ids that exist. underived: records whose version does not follow from
    their content. unreadable: records that are none, and why. names: what people call the record of an id.
    """

    versions: list[Version] = field(default_factory=list)
    needed: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    targets: set[Target] = field(default_factory=set)
    known: set[Target] = field(default_factory=set)
    underived: list[Version] = field(default_factory=list)
    unreadable: list[tuple[Version, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)


class RecordReader:
    """Reads the records that a survey found. objects: must not fetch what is missing."""

    def __init__(self, repository: Repository, objects: ObjectStore, survey: Survey) -> None:
        self._repository = repository
        self._objects = objects
        self._survey = survey
        self._parts = cache(self._read_parts)

    def read(self) -> RecordGraph:
        """Look at every version of every record in history and working state."""
        graph = RecordGraph()
        for (path, oid), commit in self._survey.records.items():
            if path.endswith(".json") and oid not in self._survey.broken:
                version = Version(path, oid, commit)
                try:
                    self._add(graph, version, self._repository.load(oid))
                except MpopError as error:
                    graph.unreadable.append((version, str(error)))
        return graph

    def _add(self, graph: RecordGraph, version: Version, record: dict[str, Any]) -> None:
        references_in(record, version.path, everything(references_of))  # raises for names that are none
        graph.versions.append(version)
        kind, identity = record.get("kind", ""), str(record.get("id"))
        graph.known |= {(f"{kind} version", str(record.get("version"))), (f"{kind} id", identity)}
        if "name" in record:
            graph.names[identity] = str(record["name"])
        if record.get("version") != version_of(record):
            graph.underived.append(version)
        graph.targets.update((target, wanted) for _, target, wanted in SCHEMA.edges(record))
        graph.needed |= self.objects_of(record)[0]
        graph.groups.update(references_of(record).groups)

    def objects_of(self, record: dict[str, Any]) -> tuple[set[str], set[str]]:
        """Objects that a record needs, and those that can be computed again; parts of groups as far as known."""
        named = references_of(record)
        return self.parts_of(named.groups) | set(named.files), self.parts_of(named.derived)

    def parts_of(self, groups: Iterable[str]) -> set[str]:
        """What groups consist of, and the groups themselves; as far as known."""
        return {part for name in groups for part in self._parts(name)}

    def _read_parts(self, name: str) -> tuple[str, ...]:
        try:
            return tuple(group_objects(self._objects, name))
        except MpopError:
            return (name,)  # missing, or too damaged to list its parts

    def records(self, graph: RecordGraph) -> Iterator[tuple[Version, dict[str, Any]]]:
        """Every readable record once more."""
        for version in graph.versions:
            yield version, self._repository.load(version.oid)

    def describe(self, version: Version, record: dict[str, Any], graph: RecordGraph) -> str:
        """A version of a record in words, with the commits that hold it."""
        kind = str(record.get("kind", "record"))
        if kind == PART.kind:
            kind = "particles of species"
            name = graph.names.get(str(record.get("species")), "")
        else:
            name = record.get("name") or record.get("id", "")
        holders = [commit[:10] for commit in self._holding(version)]
        where = ", ".join(holders[:3]) or "the working state"
        more = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
        return f"{kind} {name}, version {str(record.get('version', ''))[:10]}, in {where}{more}"

    def _holding(self, version: Version) -> Iterator[str]:
        if version.commit is not None:
            for commit in self._survey.commits:
                with suppress(MpopError):
                    if self._repository.find(version.path, commit) == version.oid:
                        yield commit
