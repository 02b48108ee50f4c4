"""Records in an ordinary Git repository, beside the objects that they name.

The working state is the Git index: staging builds a whole new index and swaps it in by one rename; files in the
work tree are a rendering of it for people to read. A job's commit becomes visible when the branch moves, by
compare-and-swap under a lock: two processes never lose each other's work. The index that goes with such a commit
is written before, under the commit's name, so that a process that dies in between is made good by the next one.
Repositories are created with SHA-1 and loose refs, whatever Git's defaults are.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import CheckoutStrategy, FileMode, Option, SortMode

from mpop_store.authorship import signature
from mpop_store.durable import fsync_all
from mpop_store.errors import DamagedObjectError, InputError, NotFoundError, StateError, StoreError
from mpop_store.git_objects import GitObjects
from mpop_store.hashing import canonical_json
from mpop_store.integrity import Survey, survey
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
        self._objects = GitObjects(git)
        self.private = Path(git.path) / "mpop"
        self.objects = ObjectStore(self.private / "objects")

    @classmethod
    def init(cls, root: str | Path) -> Repository:
        """Make an empty repository; the folder may exist but must not be a repository yet."""
        root = Path(root).absolute()
        if (root / ".git").exists():
            raise StateError(f"{root} is a Git repository already")
        if (root / ROOT_RECORD).exists():
            raise StateError(f"{root / ROOT_RECORD} is there already; choose an empty folder")
        try:
            git = pygit2.init_repository(root, initial_head="main")
            git.config["core.logAllRefUpdates"] = True
            repository = cls(root, git)
            repository.objects.root.mkdir(parents=True)
            (Path(git.path) / "info" / "exclude").write_text(EXCLUDE)
        except (pygit2.GitError, OSError) as error:
            shutil.rmtree(root / ".git", ignore_errors=True)
            raise StoreError(f"cannot create a repository at {root}: {error}") from error
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
        except (pygit2.GitError, ValueError) as error:
            raise StateError(f"{found}: a kind of Git repository that mpop cannot use ({error})") from error
        if git.is_bare:
            raise StateError(f"{found} is a bare repository; run mpop in a population with a work tree")
        repository = cls(Path(git.workdir), git)
        repository._check_kind()
        repository._recover()
        return repository

    def _check_kind(self) -> None:
        """Raise StateError for what is not a population, or not one that this mpop reads."""
        try:
            version = self.read(ROOT_RECORD).get("format")
        except NotFoundError:
            version = None
        except DamagedObjectError:
            if ROOT_RECORD in self._index():
                return  # so that `mpop verify` can say what else is damaged
            raise
        if version is None:
            raise StateError(f"{self.root} is a plain Git repository, not an mpop population")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise StateError(f"the population has format {version}, this mpop reads {FORMAT_VERSION}; update mpop")
        if not self.private.is_dir():
            raise StateError(
                f"{self.root} is a plain `git clone` of a population, without its arrays; "
                "copy .git/mpop from the original into its .git"
            )

    @property
    def head(self) -> str | None:
        """Id of the commit that the branch points to; None before the first."""
        with _readable_damage("the current branch", "`git reflog` knows where it was"):
            return None if self._git.head_is_unborn else str(self._git.head.target)

    def resolve(self, revision: str) -> str:
        """Commit id of HEAD, HEAD~3, a branch, or the beginning of an id."""
        head = self.head
        if head is not None and revision == "HEAD":
            return head
        if head is not None and revision != head:
            self._objects.check_history(head)
        try:
            return str(self._git.revparse_single(revision).peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise NotFoundError(f"no commit {revision!r} in this population") from error

    def _commit(self, revision: str) -> pygit2.Commit:
        return self._objects.commit(self.resolve(revision))

    @property
    def _index_path(self) -> Path:
        return Path(self._git.path) / "index"

    def _index(self) -> pygit2.Index:
        """The index as it is on disk now; to be read only, so that no change ever lingers in memory."""
        with _readable_damage("the working state (.git/index)", "`git reset` makes it the last commit again"):
            index = self._git.index
            index.read(False)  # if it has changed on disk
            return index

    def entries(self, at: str | None = None) -> dict[str, str]:
        """Path -> Git object of every record; `at` None is the working state."""
        if at is None:
            return {entry.path: str(entry.id) for entry in self._index() if entry.path.endswith(".json")}
        tree = str(self._commit(at).tree_id)
        return {path: oid for path, oid in self._objects.files(tree) if path.endswith(".json")}

    def read(self, path: str, at: str | None = None) -> dict[str, Any]:
        """A record, from the working state or from a revision."""
        oid = self._staged(path) if at is None else self._objects.find(str(self._commit(at).tree_id), path)
        if oid is None:
            raise NotFoundError(f"no record {path} in " + ("the working state" if at is None else at))
        return self.load(oid)

    def _staged(self, path: str) -> str | None:
        index = self._index()
        return str(index[path].id) if path in index else None

    def load(self, oid: str) -> dict[str, Any]:
        """The record in a Git object. Raises DamagedObjectError."""
        try:
            return json.loads(self._objects.blob(oid))
        except ValueError as error:
            raise DamagedObjectError(f"Git object {oid} is not a record") from error

    def records(self, prefix: str = "", at: str | None = None) -> dict[str, dict[str, Any]]:
        """All records whose path begins with a prefix, by path."""
        found = self.entries(at)
        return {path: self.load(found[path]) for path in sorted(found) if path.startswith(prefix)}

    def status(self) -> list[tuple[str, str]]:
        """("A" | "M" | "D", path) of what the next commit would change."""
        committed = {} if self.head is None else self.entries("HEAD")
        staged = self.entries(None)
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

    def _pending(self, purpose: str) -> Path:
        """Where an index is written before it takes the place of the one in use."""
        return self.private / f"index-{purpose}"

    def _recover(self) -> None:
        """Finish or drop what a process left that died between moving the branch and swapping the index."""
        if any(self.private.glob("index-*")):
            with self._locked(), _readable_errors(self.root):
                self._finish_pending()

    def _finish_pending(self) -> None:
        for path in self.private.glob("index-*"):
            if path == self._pending(self.head or "none"):
                os.replace(path, self._index_path)
                self._render({})
            else:
                path.unlink()

    def _prepare(self, changes: Changes, purpose: str) -> Path:
        """Write the index in use, with changes, to a file of its own."""
        self._index()  # is sound, or this raises
        path = self._pending(purpose)
        try:
            path.unlink(missing_ok=True)
            if self._index_path.exists():
                shutil.copyfile(self._index_path, path)
            index = pygit2.Index(path)
            self._apply(index, changes)
            if "README.md" not in index and not (self.root / "README.md").exists():
                index.add(pygit2.IndexEntry("README.md", self._git.create_blob(README.encode()), FileMode.BLOB))
            index.write()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _apply(self, index: pygit2.Index, changes: Changes) -> None:
        for path, record in changes.items():
            if record is None:
                index.remove(path)
            else:
                blob = self._git.create_blob(canonical_json(record) + b"\n")
                index.add(pygit2.IndexEntry(path, blob, FileMode.BLOB))

    def _render(self, changes: Changes) -> None:
        """Make the work tree what the index says. changes: records that may have to go."""
        self._git.index.read(force=True)  # libgit2 holds an older one in memory, and would write that back
        self._git.checkout_index(strategy=CheckoutStrategy.FORCE)
        index = self._index()
        for path in changes:
            if path not in index:
                (self.root / path).unlink(missing_ok=True)

    def stage(self, changes: Changes) -> None:
        """Change the working state, all or nothing: on any error, or Ctrl-C, it is what it was."""
        with self._locked(), _readable_errors(self.root):
            self._finish_pending()
            before = self._prepare({}, "before")
            try:
                os.replace(self._prepare(changes, "after"), self._index_path)
                self._render(changes)
            except BaseException:
                os.replace(before, self._index_path)
                with contextlib.suppress(pygit2.GitError, OSError):
                    self._render(changes)
                raise
            before.unlink()

    def commit(self, message: str) -> str:
        """Commit the working state; returns the commit's id. Raises StateError when nothing changed."""
        with self._locked(), _readable_errors(self.root):
            self._finish_pending()
            head, entries, changes = self.head, self.entries(), self.status()
            if not changes:
                raise StateError("nothing to commit: the working state is what was committed last")
            with self._durable(entries[path] for kind, path in changes if kind != "D"):
                commit = self._create_commit(self._index().write_tree(self._git), message, head)
                self._advance(commit, message, head)
            return commit

    def commit_changes(self, changes: Changes, message: str, since: str) -> str:
        """Commit records on top of HEAD in one step, for jobs. since: the commit that the job started from.

        Raises StateError when one of the records has been changed by someone else since then.
        """
        with self._locked(), _readable_errors(self.root):
            self._finish_pending()
            self._refuse_overwriting(changes, since)
            head = self.head
            index = pygit2.Index()
            index.read_tree(self._commit("HEAD").tree)
            self._apply(index, changes)
            with self._durable(str(index[path].id) for path, record in changes.items() if record is not None):
                commit = self._create_commit(index.write_tree(self._git), message, head)
                pending = self._prepare(changes, commit)
                self._advance(commit, message, head)
            os.replace(pending, self._index_path)
            with contextlib.suppress(pygit2.GitError, OSError):  # the commit stands; the next change renders again
                self._render(changes)
            return commit

    def _refuse_overwriting(self, changes: Changes, since: str) -> None:
        """A job must not undo what others committed or staged while it ran."""
        before = self.entries(since)
        for now, how in ((self.entries("HEAD"), "committed"), (self.entries(None), "staged")):
            moved = [path for path in changes if before.get(path) != now.get(path)]
            if moved:
                raise StateError(
                    f"{len(moved)} records were changed and {how} while the job ran (first: {moved[0]}); "
                    "run the job again"
                )

    @contextmanager
    def _durable(self, blobs: Iterator[str]) -> Iterator[None]:
        """Sync objects, given Git blobs, and what is written to Git inside, before the branch is seen to move."""
        self.objects.sync()
        self.objects.clean()
        loose = [self._objects.loose_path(blob) for blob in blobs]
        fsync_all(path for path in loose if path.exists())  # the others are in a pack
        pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)
        try:
            yield
        finally:
            pygit2.option(Option.ENABLE_FSYNC_GITDIR, False)

    def _create_commit(self, tree: pygit2.Oid, message: str, head: str | None) -> str:
        """Write a commit that no branch points to yet."""
        if not message.strip():
            raise InputError("a commit needs a message that says what changed")
        parents = [] if head is None else [pygit2.Oid(hex=head)]
        author, committer = (signature(role, self._git.config) for role in ("AUTHOR", "COMMITTER"))
        return str(self._git.create_commit(None, author, committer, message.rstrip() + "\n", tree, parents))

    def _advance(self, commit: str, message: str, head: str | None) -> None:
        """Move the branch to a commit, if it is still at `head`."""
        try:
            if head is None:
                self._git.references.create(BRANCH, commit, force=False)
                return
            reference = self._git.head
            if str(reference.target) != head:
                raise StateError("another process committed first; run the command again")
            reference.set_target(commit, f"commit: {message.splitlines()[0]}")
        except (pygit2.AlreadyExistsError, pygit2.GitError) as error:
            raise StateError(f"another process committed first; run the command again ({error})") from error

    def log(self, start: str = "HEAD") -> Iterator[Commit]:
        """Commits reachable from a revision, newest first."""
        if self.head is None:
            return
        tip = self.resolve(start)
        self._objects.check_history(tip)
        for commit in self._git.walk(pygit2.Oid(hex=tip), SortMode.TOPOLOGICAL | SortMode.TIME):
            yield self._describe(commit)

    def show(self, revision: str = "HEAD") -> Commit:
        """One commit."""
        return self._describe(self._commit(revision))

    def survey(self) -> Survey:
        """Check the Git side as a whole; see `mpop_store.integrity`."""
        return survey(self._git, self.entries())

    def _describe(self, commit: pygit2.Commit) -> Commit:
        parents = [str(parent) for parent in commit.parent_ids]
        old = str(self._objects.commit(parents[0]).tree_id) if parents else None
        changed = {
            path: kind
            for path, kind in self._objects.differences(old, str(commit.tree_id))
            if path.endswith(".json")
        }
        zone = datetime.timezone(datetime.timedelta(minutes=commit.commit_time_offset))
        return Commit(
            str(commit.id),
            tuple(parents),
            datetime.datetime.fromtimestamp(commit.commit_time, zone),
            f"{commit.author.name} <{commit.author.email}>",
            commit.message,
            changed,
        )


@contextmanager
def _readable_errors(root: Path) -> Iterator[None]:
    """Errors of Git and the file system as one line."""
    try:
        yield
    except (pygit2.GitError, OSError) as error:
        raise StoreError(f"cannot write to the population at {root}: {error}") from error


@contextmanager
def _readable_damage(what: str, remedy: str) -> Iterator[None]:
    """A file of Git's that cannot be read, as one line."""
    try:
        yield
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise DamagedObjectError(f"{what} is damaged or missing; {remedy}") from error
