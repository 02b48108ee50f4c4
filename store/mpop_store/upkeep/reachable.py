"""Which objects the history needs: from commits over records and groups down to the last chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import pygit2

from mpop_store.arrays.manifests import group_objects
from mpop_store.errors import DamagedObjectError, MissingObjectError
from mpop_store.git.git_objects import GitObjects
from mpop_store.git.history import History
from mpop_store.objects.promises import Held, HeldPromises


class Reachable:
    """Objects that commits lead to, collected over several calls; nothing is looked at twice.

    A group whose manifest is not here because another store has it is no obstacle: its parts are no use here. Any
    other is, and everyone that is damaged: its parts must be kept until it is found again.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._git = GitObjects(pygit2.Repository(str(history.git_directory)))
        self._objects = history.objects.offline()
        self._promises = HeldPromises(history.private)
        self._commits: set[str] = set()
        self._records: set[str] = set()
        self._current: set[str] = set()
        self._groups: set[str] = set()
        self.names: set[str] = set()
        """Names of all objects found so far, whether they are here or not."""

    def add_history(self, tips: Iterable[str]) -> None:
        """What commits and all that came before them need. Raises DamagedObjectError or MissingObjectError."""
        waiting = list(tips)
        while waiting:
            commit = waiting.pop()
            if commit not in self._commits:
                self._commits.add(commit)
                for blob in self._new_records(str(self._git.commit(commit).tree_id), self._records):
                    self._add_record(blob, derived=False)
                waiting += self._git.parents(commit)

    def add_tips(self, tips: Iterable[str]) -> None:
        """What commits that a reference names need: what can be computed again is kept for these only."""
        for commit in dict.fromkeys(tips):
            self.add_history([commit])
            for blob in self._new_records(str(self._git.commit(commit).tree_id), self._current):
                self._add_record(blob, derived=True)

    def add_records(self, blobs: Iterable[str]) -> None:
        """What records of the working state need."""
        for blob in blobs:
            if blob not in self._current:
                self._current.add(blob)
                self._add_record(blob, derived=True)

    def _new_records(self, tree: str, seen: set[str]) -> Iterator[str]:
        """Records below a tree that have not been seen; neither trees nor records are seen twice."""
        if tree in seen:
            return
        seen.add(tree)
        for entry in self._git.tree(tree):
            oid = str(entry.id)
            if entry.type_str == "tree":
                yield from self._new_records(oid, seen)
            elif oid not in seen and str(entry.name).endswith(".json"):
                seen.add(oid)
                yield oid

    def _add_record(self, blob: str, derived: bool) -> None:
        named = self._history.references_of(self._history.load(blob))
        self.names.update(named.files)
        for group in named.groups:
            self._add_group(group, derived=False)
        for group in named.derived if derived else ():
            self._add_group(group, derived=True)

    def _add_group(self, name: str, derived: bool) -> None:
        if name in self._groups:
            return
        self.names.add(name)
        try:
            self.names.update(group_objects(self._objects, name))
        except (MissingObjectError, DamagedObjectError) as error:
            if not derived and (not self._is_elsewhere(name) or self._objects.quarantine.has(name)):
                raise type(error)(
                    f"{error}; what it consists of is not known; run `mpop verify --repair`"
                ) from error
        else:
            self._groups.add(name)

    def _is_elsewhere(self, name: str) -> bool:
        return any(name in held for held in self._elsewhere)

    @cached_property
    def _elsewhere(self) -> list[Held]:
        return list(self._promises.all())
