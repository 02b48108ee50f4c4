"""Records in commits, the references that lead to them, and the objects that they name.

This is what a population with a work tree and a bare one have in common; `mpop_store.git.repository` adds the
working state. Whatever is read from Git is checked first (`mpop_store.git.git_objects`).
"""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pygit2
from pygit2.enums import SortMode

from mpop_store.errors import DamagedObjectError, InputError, NotFoundError, StoreError
from mpop_store.git.authorship import moment, signature
from mpop_store.git.git_objects import UNREADABLE, GitObjects
from mpop_store.git.integrity import Survey, survey
from mpop_store.git.operations import Operation, OperationLog
from mpop_store.git.refs import HEAD, Refs
from mpop_store.git.signing import signer
from mpop_store.hashing import canonical_json, parse_json
from mpop_store.identity import Identity
from mpop_store.locking import Lock
from mpop_store.references import ReferencesOf, no_references

if TYPE_CHECKING:
    from mpop_store.objects.store import ObjectStore

Changes = Mapping[str, Mapping[str, Any] | None]
"""Record path -> new content, or None to remove it."""

NAMESPACES = ("", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/")
"""Where a short name is looked for, in Git's order."""


@dataclass(frozen=True)
class Commit:
    """One commit. changed: record path -> "A", "M" or "D" against the first parent."""

    id: str
    parents: tuple[str, ...]
    time: datetime.datetime
    author: str
    message: str
    changed: dict[str, str]

    @property
    def subject(self) -> str:
        """First line of the message."""
        return self.message.split("\n", 1)[0]


class Vetting(Protocol):
    """Sees to it that records are used only once they have been checked, whichever way they came."""

    def commit(self, oid: str) -> None:
        """Raise StateError unless a commit, and all that it leads to, has been checked."""
        ...

    def together(self, oids: Iterable[str]) -> None:
        """Check many commits in one go, before each is asked about; one that is refused is refused then."""
        ...

    def leads_to(self, commit: str, parents: Iterable[str]) -> None:
        """Note that somebody has read where a commit leads: once it has been checked, so have its parents."""
        ...

    def staged(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise StateError unless records of the working state by path are what mpop writes."""
        ...

    def made(self, commit: str, parents: Sequence[str]) -> None:
        """Note that a commit was made here, on top of parents."""
        ...

    def received(self, tips: Iterable[str], before: Iterable[str]) -> None:
        """Note that commits were checked, down to those that were here before."""
        ...

    def refusals(self, tips: Iterable[str]) -> list[tuple[str, str]]:
        """Every commit that references lead to and that must not be used, and why."""
        ...


class History:
    """Commits, references and objects of one Git directory.

    private: the folder of mpop's own files in it. identity: what tells this store from its copies. references_of:
    what a record names in the object store. vetting: asked before records of a commit are read; None asks nobody.
    """

    def __init__(self, git: pygit2.Repository) -> None:
        self._git = git
        self._objects = GitObjects(git)
        self.private = Path(git.path) / "mpop"
        self.identity = Identity(self.private)
        self._lock = Lock(self.private / "lock", self.identity.settle)
        self.operations = OperationLog(self.private / "operations.jsonl")
        self.refs = Refs(git, self.operations, self._lock, self.finish_interrupted)
        self.references_of: ReferencesOf = no_references
        self.vetting: Vetting | None = None

    @cached_property
    def objects(self) -> ObjectStore:
        """The arrays and files that records name; loaded when first asked for, which many commands never do."""
        from mpop_store.objects.store import ObjectStore

        return ObjectStore(self.private / "objects")

    @property
    def git_directory(self) -> Path:
        """Where Git keeps its files."""
        return Path(self._git.path)

    @property
    def config(self) -> pygit2.Config:
        """Git's configuration as it holds here: the system's, the user's, and this directory's own."""
        return self._git.config

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time, across processes; may be nested."""
        with self._lock.held():
            yield

    def operation_log(self) -> list[Operation]:
        """Every operation that has happened, oldest first, one included that is to be completed yet."""
        waiting = self.operations.under_way()
        has_begun = waiting is None or self.refs.interrupted() is not None
        return [one for one in self.operations.all() if has_begun or one != waiting]

    def finish_interrupted(self) -> None:
        """Complete what a process left half done that died, or drop it if it had not begun; under the lock."""
        operation = self.refs.complete()
        if operation is not None:
            self.operations.end(operation)

    @property
    def head(self) -> str | None:
        """Id of the commit that HEAD leads to; None before the first."""
        return self.refs.get(HEAD)

    def resolve(self, revision: str) -> str:
        """Commit id of HEAD, HEAD~3, a branch, a tag, or the beginning of an id. Raises NotFoundError."""
        base, steps = _split(revision)
        start = self._named(base)
        if start is not None and not steps:
            return start
        try:
            if start is None:
                raise KeyError(base)
            for oid in self._within(start, steps):
                self._objects.commit(oid)
            return str(self._git.revparse_single(start + steps).peel(pygit2.Commit).id)
        except UNREADABLE as error:
            raise NotFoundError(f"no commit {revision!r} in this population") from error

    def _named(self, name: str) -> str | None:
        """The commit that a reference or the beginning of an id means."""
        if name in ("@", HEAD):
            return self.head
        if re.fullmatch("[0-9a-f]{40}", name) and self._objects.contains(name):  # goes first in Git too
            return self.peeled(name)
        for namespace in NAMESPACES:
            if (target := self.refs.get(namespace + name)) is not None:
                return self.peeled(target)
        if re.fullmatch("[0-9a-f]{4,40}", name) is None:
            return None
        for file in (self.git_directory / "objects" / name[:2]).glob(f"{name[2:]}*"):
            self._objects.check(name[:2] + file.name)
        with contextlib.suppress(*UNREADABLE):
            return str(self._git.revparse_single(name).peel(pygit2.Commit).id)
        return None

    def peeled(self, oid: str) -> str:
        """The commit itself, or that behind an annotated tag. Raises DamagedObjectError."""
        self._objects.check(oid)
        try:
            return str(self._git[oid].peel(pygit2.Commit).id)
        except UNREADABLE as error:
            raise DamagedObjectError(f"Git object {oid} leads to no commit; run `mpop verify`") from error

    def _within(self, start: str, steps: str) -> Iterator[str]:
        """Every commit that `~2^2~1` can lead over."""
        depth = sum(int(number or 1) for number in re.findall(r"[~^](\d*)", steps))
        reached = {start}
        for _ in range(depth + 1):
            yield from reached
            reached = {parent for oid in reached for parent in self._objects.parents(oid)}

    def commit_object(self, revision: str) -> pygit2.Commit:
        """A commit as Git has it."""
        return self._objects.commit(self.resolve(revision))

    def entries(self, at: str | None = None, prefix: str = "") -> dict[str, str]:
        """Path -> Git object of the records whose path begins with a prefix, in a revision; None is HEAD."""
        if at is None and self.head is None:
            return {}
        tree = self._vetted_tree(at or HEAD)
        return {path: oid for path, oid in self._objects.files(tree, only=prefix) if path.endswith(".json")}

    def _vetted_tree(self, revision: str) -> str:
        """The tree of a commit whose records may be used."""
        commit = self.commit_object(revision)
        if self.vetting is not None:
            self.vetting.commit(str(commit.id))
        return str(commit.tree_id)

    def vet_together(self, oids: Iterable[str]) -> None:
        """Have many commits checked in one go, whose records will be read one after the other."""
        if self.vetting is not None:
            self.vetting.together(oids)

    @contextmanager
    def as_it_is(self) -> Iterator[None]:
        """Read inside also what was never checked, to report on it."""
        vetting, self.vetting = self.vetting, None
        try:
            yield
        finally:
            self.vetting = vetting

    def find(self, path: str, at: str | None = None) -> str | None:
        """Git object of one record, None if it is not there."""
        if at is None and self.head is None:
            return None
        return self._objects.find(self._vetted_tree(at or HEAD), path)

    def read(self, path: str, at: str | None = None) -> dict[str, Any]:
        """A record. Raises NotFoundError."""
        oid = self.find(path, at)
        if oid is None:
            raise NotFoundError(f"no record {path} in " + ("the working state" if at is None else at))
        return self.load(oid)

    def load(self, oid: str, unique_keys: bool = False) -> dict[str, Any]:
        """The record in a Git object. unique_keys: see `parse_json`. Raises DamagedObjectError."""
        try:
            record = parse_json(self._objects.blob(oid), unique_keys)
        except ValueError as error:
            raise DamagedObjectError(f"Git object {oid} is not a record: {str(error)[:100]}") from error
        if not isinstance(record, dict):
            raise DamagedObjectError(f"Git object {oid} is not a record")
        return record

    def records(self, prefix: str = "", at: str | None = None) -> dict[str, dict[str, Any]]:
        """All records whose path begins with a prefix, by path."""
        found = self.entries(at, prefix)
        return {path: self.load(found[path]) for path in sorted(found)}

    def changes(self, old: str | None, new: str) -> dict[str, str]:
        """Record path -> "A", "M" or "D" between two revisions; old None is the empty one."""
        before = None if old is None else str(self.commit_object(old).tree_id)
        after = str(self.commit_object(new).tree_id)
        return {path: kind for path, kind in self._objects.differences(before, after) if path.endswith(".json")}

    def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor of two revisions; None when they have none."""
        first, second = self.resolve(one), self.resolve(other)
        self._objects.check_history(first)
        self._objects.check_history(second)
        base = self._git.merge_base(pygit2.Oid(hex=first), pygit2.Oid(hex=second))
        return None if base is None else str(base)

    def merge_bases(self, tips: Sequence[str], other: str) -> list[str]:
        """All best common ancestors of a revision and of a merge of other ones (or of one alone), by id, as
        `git merge-base --all` lists them; [] when there are none."""
        ours, theirs = [self.resolve(tip) for tip in tips], self.resolve(other)
        for tip in (*ours, theirs):
            self._objects.check_history(tip)
        best = self._git.merge_base_many([pygit2.Oid(hex=tip) for tip in (theirs, *ours)])
        if best is None:
            return []
        beside = {str(commit.id) for commit in self._beside(ours, [str(best)])}
        common = [commit for commit in self._beside([theirs], [str(best)]) if str(commit.id) in beside]
        behind = {str(parent) for commit in common for parent in commit.parent_ids}
        return sorted({str(best), *(str(commit.id) for commit in common)} - behind)

    def _beside(self, tips: Iterable[str], hidden: Iterable[str]) -> Iterator[pygit2.Commit]:
        """Commits that lead to one of the tips and to none of the hidden ones, newest first."""
        walk = self._git.walk(None, SortMode.TOPOLOGICAL | SortMode.TIME)
        for tip in tips:
            walk.push(pygit2.Oid(hex=tip))
        for oid in hidden:
            walk.hide(pygit2.Oid(hex=oid))
        return iter(walk)

    def since(self, tip: str, ancestors: Iterable[str]) -> Iterator[Commit]:
        """The commits that lead to a revision and to none of its ancestors given, newest first."""
        start = self.resolve(tip)
        self._objects.check_history(start)
        return (self._describe(commit) for commit in self._beside([start], ancestors))

    def leads_to(self, descendant: str, ancestor: str) -> bool:
        """Whether an ancestor is in the history of a descendant, or the same."""
        return self.merge_base(descendant, ancestor) == self.resolve(ancestor)

    def ahead(self, tip: str, of: str) -> list[Commit]:
        """The commits that one revision leads to and another does not, parents before their children."""
        first, second = self.resolve(tip), self.resolve(of)
        self._objects.check_history(first)
        self._objects.check_history(second)
        walk = self._git.walk(pygit2.Oid(hex=first), SortMode.TOPOLOGICAL | SortMode.REVERSE)
        walk.hide(pygit2.Oid(hex=second))
        return [self._describe(commit) for commit in walk]

    def log(self, start: str = HEAD) -> Iterator[Commit]:
        """Commits reachable from a revision, newest first, read as they are asked for."""
        if self.head is None and start == HEAD:
            return
        for commit in self._objects.walk(self.resolve(start)):
            yield self._describe(commit)

    def show(self, revision: str = HEAD) -> Commit:
        """One commit."""
        return self._describe(self.commit_object(revision))

    def survey(self) -> Survey:
        """Check the Git side as a whole; see `mpop_store.git.integrity`."""
        return survey(self._git, self.entries())

    def author(self) -> tuple[str, datetime.datetime]:
        """Who would be the author of a commit made now, and when."""
        signed = signature("AUTHOR", self._git.config)
        return f"{signed.name} <{signed.email}>", moment(signed.time, signed.offset)

    def write_commit(self, base: str | None, changes: Changes, parents: Sequence[str], message: str) -> str:
        """Write a commit that no reference leads to yet: the records of a commit (None: no records), changed.

        Nothing is synced; `make_durable` does that before a reference moves to it.
        """
        return self._write_commit(base, self._write_blobs(changes), parents, message)

    def _write_blobs(self, changes: Changes) -> dict[str, str | None]:
        return {
            path: None if record is None else self._objects.create_blob(canonical_json(record) + b"\n")
            for path, record in changes.items()
        }

    def _write_commit(
        self, base: str | None, blobs: Mapping[str, str | None], parents: Sequence[str], message: str
    ) -> str:
        if not message.strip():
            raise InputError("a commit needs a message that says what changed")
        old = None if base is None else str(self._objects.commit(base).tree_id)
        tree = self._objects.edit_tree(old, blobs)
        if tree is None:
            raise InputError("a commit must hold something")
        author, committer = (signature(role, self.config) for role in ("AUTHOR", "COMMITTER"))
        text = message.rstrip() + "\n"
        return self._objects.create_commit(tree, parents, text, author, committer, signer(self.config, "commit"))

    def write_tag(self, name: str, commit: str, message: str) -> str:
        """Write an annotated tag that no reference leads to yet. Nothing is synced."""
        if not message.strip():
            raise InputError("an annotated tag needs a message")
        tagger = signature("COMMITTER", self.config)
        return self._objects.create_tag(name, commit, message.rstrip() + "\n", tagger, signer(self.config, "tag"))

    def tag_object(self, oid: str) -> pygit2.Tag | None:
        """An annotated tag; None for what is something else. Raises DamagedObjectError."""
        return self._objects.tag(oid)

    def make_durable(self, blobs: Iterable[str] = ()) -> None:
        """Sync all objects and Git objects written here, and given blobs, before a reference leads to them."""
        self.objects.sync()
        self._objects.sync(blobs)

    def _describe(self, commit: pygit2.Commit) -> Commit:
        parents = self._objects.parents(str(commit.id))
        if self.vetting is not None:
            self.vetting.leads_to(str(commit.id), parents)
        old = str(self._objects.commit(parents[0]).tree_id) if parents else None
        changed = {
            path: kind
            for path, kind in self._objects.differences(old, str(commit.tree_id))
            if path.endswith(".json")
        }
        return Commit(
            str(commit.id),
            tuple(parents),
            moment(commit.commit_time, commit.commit_time_offset),
            f"{commit.author.name} <{commit.author.email}>",
            commit.message,
            changed,
        )


def _split(revision: str) -> tuple[str, str]:
    """The name and the steps back of `main~3^2`."""
    found = re.fullmatch(r"([^~^]*)((?:[~^]\d*)*)", revision)
    return (revision, "") if found is None else (found[1], found[2])


@contextmanager
def readable_errors(root: Path) -> Iterator[None]:
    """Errors of Git and the file system as one line."""
    try:
        yield
    except (pygit2.GitError, OSError) as error:
        raise StoreError(f"cannot write to the population at {root}: {error}") from error


@contextmanager
def readable_damage(what: str, remedy: str) -> Iterator[None]:
    """A file of Git's that cannot be read, as one line."""
    try:
        yield
    except UNREADABLE as error:
        raise DamagedObjectError(f"{what} is damaged or missing; {remedy}") from error
