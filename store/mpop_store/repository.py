"""Records in an ordinary Git repository, beside the objects that they name.

The working state is the Git index: staging builds a whole new index and swaps it in by one rename; files in the
work tree are a rendering of it for people to read. Commits move the branch by compare-and-swap under a lock, so
that two processes never lose each other's work. Repositories are created with SHA-1 and loose refs explicitly.
"""

from __future__ import annotations

import datetime
import fcntl
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import CheckoutStrategy, FileMode, SortMode

from mpop_store.errors import InputError, NotFoundError, StateError, StoreError
from mpop_store.hashing import canonical_json
from mpop_store.objects import ObjectStore

ROOT_RECORD = "population.json"
FORMAT_VERSION = 1
BRANCH = "refs/heads/main"
README = """# An mpop population

This repository holds the records of a population of macromolecules: which raw data, which species, what was
done to them. `git log` and `git diff` work. The arrays that the records name live in the object store, which a
plain `git clone` does not copy; use `mpop` to read and change anything here.
"""

EXCLUDE = "/*\n" + "".join(
    f"!/{name}\n" for name in (ROOT_RECORD, "README.md", "sources", "items", "species", "jobs")
)
"""Git looks at nothing else in the folder: raw data may lie beside the records."""

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}

Changes = Mapping[str, Mapping[str, Any] | None]
"""Record path -> new content, or None to remove it."""


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


class Repository:
    """Records and objects of one population."""

    def __init__(self, root: Path, git: pygit2.Repository) -> None:
        self.root = root
        self._git = git
        self.private = Path(git.path) / "mpop"
        self.objects = ObjectStore(self.private / "objects")

    @classmethod
    def init(cls, root: str | Path) -> Repository:
        """Make an empty repository; the folder may exist but must not be a repository yet."""
        root = Path(root).absolute()
        if (root / ".git").exists():
            raise StateError(f"{root} is a Git repository already")
        try:
            git = pygit2.init_repository(root, initial_head="main")
            git.config["core.logAllRefUpdates"] = True
        except (pygit2.GitError, OSError) as error:
            raise StoreError(f"cannot create a repository at {root}: {error}") from error
        repository = cls(root, git)
        repository.objects.root.mkdir(parents=True)
        (Path(git.path) / "info" / "exclude").write_text(EXCLUDE)
        return repository

    @classmethod
    def open(cls, path: str | Path = ".") -> Repository:
        """The population that holds a folder. Raises NotFoundError or StateError."""
        start = Path(path).absolute()
        if not start.is_dir():
            raise NotFoundError(f"{path}: no such folder")
        found = pygit2.discover_repository(str(start))
        if found is None:
            raise NotFoundError(f"{start} is not inside a population; make one with `mpop init`")
        try:
            git = pygit2.Repository(found)
        except pygit2.GitError as error:
            raise StateError(f"{found}: a kind of Git repository that mpop cannot use ({error})") from error
        if git.is_bare:
            raise StateError(f"{found} is a bare repository; run mpop in a population with a work tree")
        repository = cls(Path(git.workdir), git)
        if not repository.private.is_dir():
            raise StateError(f"{repository.root} is a plain Git repository, not an mpop population")
        version = repository.read(ROOT_RECORD).get("format")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise StateError(f"the population has format {version}, this mpop reads {FORMAT_VERSION}; update mpop")
        return repository

    @property
    def head(self) -> str | None:
        """Id of the commit that the branch points to; None before the first."""
        return None if self._git.head_is_unborn else str(self._git.head.target)

    def resolve(self, revision: str) -> str:
        """Commit id of HEAD, HEAD~3, a branch, or the beginning of an id."""
        try:
            found = self._git.revparse_single(revision).peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise NotFoundError(f"no commit {revision!r} in this population") from error
        return str(found.id)

    def _tree(self, revision: str) -> pygit2.Tree:
        commit = self._git[self.resolve(revision)]
        assert isinstance(commit, pygit2.Commit)
        return commit.tree

    def _entries(self, at: str | None) -> dict[str, pygit2.Oid]:
        """Path -> blob of every record; `at` None is the working state."""
        if at is None:
            self._git.index.read(False)
            return {entry.path: entry.id for entry in self._git.index if entry.path.endswith(".json")}
        return dict(_walk(self._tree(at), ""))

    def read(self, path: str, at: str | None = None) -> dict[str, Any]:
        """A record, from the working state or from a revision."""
        oid = self._entries(at).get(path)
        if oid is None:
            raise NotFoundError(f"no record {path} in " + ("the working state" if at is None else at))
        return self._load(oid)

    def _load(self, oid: pygit2.Oid) -> dict[str, Any]:
        blob = self._git[oid]
        assert isinstance(blob, pygit2.Blob)
        return json.loads(blob.data)

    def records(self, prefix: str = "", at: str | None = None) -> dict[str, dict[str, Any]]:
        """All records whose path begins with a prefix, by path."""
        found = self._entries(at)
        return {path: self._load(found[path]) for path in sorted(found) if path.startswith(prefix)}

    def status(self) -> list[tuple[str, str]]:
        """("A" | "M" | "D", path) of what the next commit would change."""
        committed = {} if self.head is None else self._entries("HEAD")
        staged = self._entries(None)
        changes = [("A" if path not in committed else "M", path) for path in sorted(staged)]
        changes = [(kind, path) for kind, path in changes if staged[path] != committed.get(path)]
        return changes + [("D", path) for path in sorted(set(committed) - set(staged))]

    @property
    def is_clean(self) -> bool:
        """Whether the working state is what was committed last."""
        return not self.status()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, across processes."""
        with (self.private / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write_index(self, changes: Changes) -> None:
        """Swap in a new index and render it."""
        index = self._git.index
        index.read(True)
        self._apply(index, changes)
        if "README.md" not in index and not (self.root / "README.md").exists():
            index.add(pygit2.IndexEntry("README.md", self._git.create_blob(README.encode()), FileMode.BLOB))
        index.write()
        self._git.checkout_index(strategy=CheckoutStrategy.FORCE)
        for path, record in changes.items():
            if record is None:
                (self.root / path).unlink(missing_ok=True)

    def _apply(self, index: pygit2.Index, changes: Changes) -> None:
        for path, record in changes.items():
            if record is None:
                index.remove(path)
            else:
                blob = self._git.create_blob(canonical_json(record) + b"\n")
                index.add(pygit2.IndexEntry(path, blob, FileMode.BLOB))

    def stage(self, changes: Changes) -> None:
        """Change the working state, all or nothing."""
        with self._locked(), _readable_errors(self.root):
            self._write_index(changes)

    def commit(self, message: str) -> str:
        """Commit the working state; returns the commit's id. Raises StateError when nothing changed."""
        with self._locked(), _readable_errors(self.root):
            if self.is_clean and self.head is not None:
                raise StateError("nothing to commit: the working state is what was committed last")
            self.objects.sync()
            return self._advance(self._git.index.write_tree(), message, self.head)

    def commit_changes(self, changes: Changes, message: str, since: str) -> str:
        """Commit records on top of HEAD in one step, for jobs. since: the commit that the job started from.

        Raises StateError when one of the records has been changed by someone else since then.
        """
        with self._locked(), _readable_errors(self.root):
            head = self.head
            before, now = self._entries(since), self._entries("HEAD")
            moved = [path for path in changes if before.get(path) != now.get(path)]
            if moved or head is None:
                raise StateError(
                    f"{len(moved)} records were changed by another commit while the job ran (first: {moved[0]}); "
                    "run the job again"
                )
            index = pygit2.Index()
            index.read_tree(self._tree("HEAD"))
            self._apply(index, changes)
            self.objects.sync()
            commit = self._advance(index.write_tree(self._git), message, head)
            self._write_index(changes)
            return commit

    def _advance(self, tree: pygit2.Oid, message: str, head: str | None) -> str:
        """Write a commit and move the branch to it, if the branch is still at `head`."""
        parents = [] if head is None else [pygit2.Oid(hex=head)]
        author, committer = _signature("AUTHOR", self._git), _signature("COMMITTER", self._git)
        commit = self._git.create_commit(None, author, committer, message.rstrip() + "\n", tree, parents)
        try:
            if head is None:
                self._git.references.create(BRANCH, commit, force=False)
            else:
                reference = self._git.head
                if str(reference.target) != head:
                    raise StateError("another process committed first; run the command again")
                reference.set_target(commit, f"commit: {message.splitlines()[0]}")
        except (pygit2.AlreadyExistsError, pygit2.GitError) as error:
            raise StateError(f"another process committed first; run the command again ({error})") from error
        return str(commit)

    def log(self, start: str = "HEAD") -> Iterator[Commit]:
        """Commits reachable from a revision, newest first."""
        if self.head is None:
            return
        order = SortMode.TOPOLOGICAL | SortMode.TIME
        for commit in self._git.walk(pygit2.Oid(hex=self.resolve(start)), order):
            yield self._describe(commit)

    def show(self, revision: str = "HEAD") -> Commit:
        """One commit."""
        commit = self._git[self.resolve(revision)]
        assert isinstance(commit, pygit2.Commit)
        return self._describe(commit)

    def _describe(self, commit: pygit2.Commit) -> Commit:
        new = dict(_walk(commit.tree, ""))
        old = dict(_walk(commit.parents[0].tree, "")) if commit.parents else {}
        changed = {path: "A" if path not in old else "M" for path in sorted(new) if new[path] != old.get(path)}
        changed |= {path: "D" for path in sorted(set(old) - set(new))}
        zone = datetime.timezone(datetime.timedelta(minutes=commit.commit_time_offset))
        return Commit(
            str(commit.id),
            tuple(str(parent) for parent in commit.parent_ids),
            datetime.datetime.fromtimestamp(commit.commit_time, zone),
            f"{commit.author.name} <{commit.author.email}>",
            commit.message,
            changed,
        )

    def git_objects(self) -> Iterator[tuple[str, bytes | None]]:
        """Every Git object with its bytes, None where it cannot be read or does not match its id."""
        for oid in self._git.odb:
            try:
                kind, data = self._git.odb.read(oid)[:2]
                head = f"{_KINDS[int(kind)]} {len(data)}".encode() + b"\0"
                yield str(oid), data if hashlib.sha1(head + data).hexdigest() == str(oid) else None
            except (pygit2.GitError, KeyError, ValueError):
                yield str(oid), None


def _walk(tree: pygit2.Tree, prefix: str) -> Iterator[tuple[str, pygit2.Oid]]:
    """Paths and blobs of all records below a tree."""
    for entry in tree:
        path = f"{prefix}{entry.name}"
        if isinstance(entry, pygit2.Tree):
            yield from _walk(entry, path + "/")
        elif path.endswith(".json"):
            yield path, entry.id


@contextmanager
def _readable_errors(root: Path) -> Iterator[None]:
    """Errors of Git and the file system as one line."""
    try:
        yield
    except (pygit2.GitError, OSError) as error:
        raise StoreError(f"cannot write to the population at {root}: {error}") from error


def _signature(role: str, git: pygit2.Repository) -> pygit2.Signature:
    """Who commits and when; GIT_AUTHOR_DATE, GIT_COMMITTER_DATE and SOURCE_DATE_EPOCH decide the time."""
    configured = {key: next(git.config.get_multivar(f"user.{key}"), None) for key in ("name", "email")}
    name = os.environ.get(f"GIT_{role}_NAME") or configured["name"] or getpass.getuser()
    mail = os.environ.get(f"GIT_{role}_EMAIL") or configured["email"]
    mail = mail or f"{getpass.getuser()}@{socket.gethostname()}"
    date = os.environ.get(f"GIT_{role}_DATE") or os.environ.get("SOURCE_DATE_EPOCH")
    moment = _parse_date(date) if date else datetime.datetime.now().astimezone()
    offset = moment.utcoffset() or datetime.timedelta(0)
    return pygit2.Signature(name, mail, int(moment.timestamp()), int(offset.total_seconds() // 60))


def _parse_date(text: str) -> datetime.datetime:
    """`<seconds>`, `@<seconds>`, either with `+hhmm`, or ISO 8601."""
    words = text.strip().removeprefix("@").split()
    try:
        if words[0].isdigit():
            zone = datetime.datetime.strptime(words[1], "%z").tzinfo if len(words) > 1 else datetime.UTC
            return datetime.datetime.fromtimestamp(int(words[0]), zone)
        moment = datetime.datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, IndexError) as error:
        raise InputError(f"the date {text!r} in the environment is not one that Git writes") from error
