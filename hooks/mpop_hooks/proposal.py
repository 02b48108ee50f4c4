"""A change of a population before it becomes visible: what policies are asked about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pygit2

from mpop_store import NotFoundError, ObjectStore
from mpop_store.git.history import Changes, History
from mpop_store.git.repository import Repository

Record = Mapping[str, Any]
Event = Literal["commit", "merge", "receive"]

POLICIES_FOLDER = "policies"
"""Where a population's own policies lie, in mpop's private folder of its Git directory."""


class Snapshot(Mapping[str, Record]):
    """All records of a revision (None: of the working state) by path, each read when it is asked for.

    changes: path -> record that takes its place, or None where it goes.
    """

    def __init__(self, history: History, at: str | None, changes: Changes | None = None) -> None:
        self._history = history
        self._at = at
        self._changes = changes or {}

    def __getitem__(self, path: str) -> Record:
        if path in self._changes:
            record = self._changes[path]
            if record is None:
                raise KeyError(path)
            return record
        try:
            return self._history.read(path, self._at)
        except NotFoundError as error:
            raise KeyError(path) from error

    def __iter__(self) -> Iterator[str]:
        return self.paths()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def paths(self, prefix: str = "") -> Iterator[str]:
        """Paths of the records whose path begins with a prefix; no record is read."""
        there = self._history.entries(self._at, prefix)
        yield from (path for path in there if path not in self._changes)
        changed = (path for path, record in self._changes.items() if record is not None)
        yield from (path for path in changed if path.startswith(prefix))


@dataclass(frozen=True)
class Proposal:
    """A step from one state of a population to the next.

    event: "commit", a person or a job commits here; "merge", two histories are joined here; "receive", somebody
    pushes to us or offers a merge request.
    records: path -> record that is added or changed, as it would be.
    before: path -> the same record in the parent, where it was there.
    removed: path -> record that goes, as it was.
    objects: the store in which the arrays are.
    folder: the population's own policies (`mpop_hooks.executables`); None asks none.
    state: all records as they would be; None asks no policy that looks beyond the changed ones.
    settings: what the population's Git configuration says under `mpop.`, keys in lower case.
    by_hand: a person put this together, saw it in `mpop status`, and commits it.
    """

    event: Event
    records: Mapping[str, Record]
    before: Mapping[str, Record]
    removed: Mapping[str, Record]
    objects: ObjectStore
    folder: Path | None = None
    state: Snapshot | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    by_hand: bool = False

    @classmethod
    def between(cls, history: History, old: str | None, new: str, event: Event) -> Proposal:
        """The step from a commit (None: from nothing) to another. A merge takes one step from each parent."""
        changes = history.changes(old, new)
        return cls._of(history, event, changes, old, Snapshot(history, new))

    @classmethod
    def staged(cls, repository: Repository) -> Proposal:
        """The step from HEAD to the working state."""
        changes = {path: kind for kind, path in repository.status()}
        proposal = cls._of(repository, "commit", changes, repository.head, Snapshot(repository, None))
        return replace(proposal, by_hand=True)

    @classmethod
    def changing(cls, history: History, old: str, changes: Changes, event: Event) -> Proposal:
        """The step from a commit to one in which these records (None: gone) are different."""
        kinds = {
            path: "D" if record is None else "A" if history.find(path, old) is None else "M"
            for path, record in changes.items()
        }
        return cls._of(history, event, kinds, old, Snapshot(history, old, changes))

    @classmethod
    def joining(cls, history: History, ours: str, theirs: str, changes: Changes) -> Proposal:
        """The step from `theirs` to a merge that is made of `ours` and these changes."""
        state = Snapshot(history, ours, changes)
        kinds = {path: kind for path, kind in history.changes(theirs, ours).items() if path not in changes}
        for path, record in changes.items():
            old = history.find(path, theirs)
            if old is None:
                kinds |= {} if record is None else {path: "A"}
            elif record is None:
                kinds[path] = "D"
            elif history.load(old) != record:
                kinds[path] = "M"
        return cls._of(history, "merge", kinds, theirs, state)

    @classmethod
    def _of(
        cls, history: History, event: Event, kinds: Mapping[str, str], old: str | None, state: Snapshot
    ) -> Proposal:
        return cls(
            event,
            records={path: state[path] for path, kind in kinds.items() if kind != "D"},
            before={path: history.read(path, old) for path, kind in kinds.items() if kind == "M"},
            removed={path: history.read(path, old) for path, kind in kinds.items() if kind == "D"},
            objects=history.objects,
            folder=history.private / POLICIES_FOLDER,
            state=state,
            settings=settings_of(history),
        )


def settings_of(history: History) -> dict[str, str]:
    """What a population's own Git configuration says under `mpop.`; it is never cloned, pushed or pulled."""
    config = pygit2.Config(str(history.git_directory / "config"))
    return {entry.name: entry.value for entry in config if entry.name.startswith("mpop.") and entry.value}
