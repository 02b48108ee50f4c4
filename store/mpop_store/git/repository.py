"""A repository with a working state: what the next commit will hold.

The working state is the Git index: staging builds a whole new index and swaps it in by one rename; files in the
work tree are a rendering of it for people to read. A job's commit becomes visible when the branch moves, by
compare-and-swap under a lock: two processes never lose each other's work. Where a process dies in the
middle, the operation log has no end of that operation: who reads sees it completed, who writes next completes it.
What plain Git did is never taken for that.
Repositories are created with SHA-1 and loose refs, whatever Git's defaults are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import CheckoutStrategy, DeltaStatus, FileMode

from mpop_store.durable import fsync, fsync_all
from mpop_store.errors import DamagedObjectError, NotFoundError, OvertakenError, StateError, StoreError
from mpop_store.filecache import FileState
from mpop_store.git.creating import is_untouched, make
from mpop_store.git.history import Changes, Commit, History, readable_damage, readable_errors
from mpop_store.git.integrity import Survey, survey
from mpop_store.git.many_files import read_files
from mpop_store.git.named_anew import named_anew
from mpop_store.git.opening import open_git, unsupported_index
from mpop_store.git.operations import Moves, Operation
from mpop_store.git.plain_git import README, warn_of_hooks_elsewhere
from mpop_store.git.refs import HEAD, SYMBOLIC
from mpop_store.git.work_tree import is_in_work_tree, remove_empty
from mpop_store.hashing import canonical_json, parse_json
from mpop_store.paths import below, inside

__all__ = ["BRANCH", "FORMAT_VERSION", "ROOT_RECORD", "Changes", "Commit", "Repository"]

ROOT_RECORD = "population.json"
FORMAT_VERSION = 1
BRANCH = "refs/heads/main"
KINDS = {DeltaStatus.ADDED: "A", DeltaStatus.DELETED: "D"}


class Repository(History):
    """Records and objects of one population. A bare one has no working state; it refuses changes."""

    def __init__(self, git: pygit2.Repository) -> None:
        super().__init__(git)
        self.root = Path(git.path if git.is_bare else git.workdir)
        self._index_is_ahead = False
        self._vetted: str | None = None
        self._listed: tuple[str, Mapping[str, str]] | None = None

    @property
    def is_bare(self) -> bool:
        """Whether there is no work tree."""
        return self._git.is_bare

    @classmethod
    def init(cls, root: str | Path, bare: bool = False) -> Repository:
        """Make an empty repository; the folder may exist but must not be a repository yet."""
        root = Path(root).absolute()
        if (root / ROOT_RECORD).exists():
            raise StateError(f"{root / ROOT_RECORD} is there already; choose an empty folder")
        place = root if bare else root / ".git"
        try:
            if not is_untouched(place):
                if bare and root.exists() and any(root.iterdir()):
                    raise StateError(f"{root} is not empty")
                if not bare and place.exists():
                    raise StateError(f"{root} is a Git repository already")
                make(place, bare)
        except (pygit2.GitError, OSError) as error:
            raise StoreError(f"cannot create a repository at {root}: {error}") from error
        return cls(pygit2.Repository(str(place)))

    @classmethod
    def open(cls, path: str | Path = ".") -> Repository:
        """The population that holds a folder. Raises NotFoundError or StateError."""
        repository = cls(open_git(Path(path)))
        repository._check_kind()
        return repository

    def _check_kind(self) -> None:
        """Raise StateError for what is not a population, or not one that this mpop reads."""
        if self.is_bare and self.private.is_dir() and self.head is None:
            return  # waits for its first push
        try:
            version = self.read(ROOT_RECORD).get("format")
        except NotFoundError:
            version = None
        except DamagedObjectError:
            if self.find(ROOT_RECORD) is not None:
                return  # so that `mpop verify` can say what else is damaged
            raise
        if version is None:
            raise StateError(f"{self.root} is a plain Git repository, not an mpop population")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise StateError(f"the population has format {version}, this mpop reads {FORMAT_VERSION}; update mpop")
        if not self.private.is_dir():
            raise StateError(
                f"{self.root} is a plain `git clone` of a population, without its arrays; `mpop fetch` brings them"
            )

    def require_work_tree(self) -> None:
        """Raise StateError for a bare population."""
        if self.is_bare:
            raise StateError(f"{self.root} is a bare population, to push to and to clone; work in a clone of it")

    @property
    def _index_path(self) -> Path:
        return self.git_directory / "index"

    def _index(self) -> pygit2.Index:
        """The index, to be read only: as it is on disk now and, where a process died that was to change it, as it
        will be once that is completed."""
        remedy = unsupported_index(self.config) or "`git reset` makes it the last commit again"
        with readable_damage("the working state (.git/index)", remedy):
            interrupted = self.refs.interrupted()
            begins = interrupted is not None and interrupted.working_state == (None, self.head)  # a clone
            if not self._index_path.exists() and self.head and not begins:
                raise KeyError("index")
            index = self._git.index
            index.read(force=self._index_is_ahead)  # else if it has changed on disk
            left = self._left_of(interrupted, index)
            _put(index, left)
            self._index_is_ahead = bool(left)
            return index

    def _left_of(self, operation: Operation | None, index: pygit2.Index) -> dict[str, str | None]:
        """Path -> Git object of what an interrupted operation has still to change in an index; nothing that others
        have changed there since, or if HEAD has moved elsewhere."""
        if operation is None or operation.working_state is None or self.head != operation.working_state[1]:
            return {}
        changed = self._changed_files(*operation.working_state)
        now = {path: str(index[path].id) if path in index else None for path in changed}
        return {path: new for path, (old, new) in changed.items() if now[path] == old}

    def entries(self, at: str | None = None, prefix: str = "") -> dict[str, str]:
        """Path -> Git object of the records whose path begins with a prefix; `at` None is the working state."""
        if at is not None or self.is_bare:
            return super().entries(at, prefix)
        return {path: git_object for path, git_object in self._staged().items() if path.startswith(prefix)}

    def _staged(self) -> Mapping[str, str]:
        """Path -> Git object of all records of the working state, listed once for each state of the index."""
        state = FileState.of(self._index_path) if self._index_path.exists() else None
        index = self._vetted_index()
        if state is None or self._index_is_ahead or self._listed is None or self._listed[0] != state.text:
            records = {entry.path: str(entry.id) for entry in index if entry.path.endswith(".json")}
            if state is None or state.is_racy or self._index_is_ahead:
                return records
            self._listed = state.text, records
        return self._listed[1]

    def find(self, path: str, at: str | None = None) -> str | None:
        """Git object of one record, None if it is not there; `at` None is the working state."""
        if at is not None or self.is_bare:
            return super().find(path, at)
        index = self._vetted_index()
        return str(index[path].id) if path in index else None

    def _vetted_index(self) -> pygit2.Index:
        """The index, once what it holds beside the last commit has been looked at."""
        state = FileState.of(self._index_path).text if self._index_path.exists() else ""
        index = self._index()
        if self.vetting is not None and self._vetted != state:
            if (head := self.head) is not None:
                self.vetting.commit(head)
            self.vetting.staged(self.staged_records())
            self._vetted = state
        return index

    def staged_records(self) -> dict[str, dict[str, Any]]:
        """The records of the working state, by path, that are not as they were committed last."""
        index = self._index()
        return {path: self.load(str(index[path].id)) for kind, path in self.status() if kind != "D"}

    def survey(self) -> Survey:
        """Check the Git side as a whole; see `mpop_store.git.integrity`."""
        warn_of_hooks_elsewhere(self._git)
        found = survey(self._git, {} if self.is_bare else self.entries())
        try:
            _ = self.head
        except DamagedObjectError as error:
            found.broken.setdefault("HEAD", []).append(str(error))
        return found

    def status(self) -> list[tuple[str, str]]:
        """("A" | "M" | "D", path) of what the next commit would change."""
        if self.is_bare:
            return []
        index, head = self._index(), self.head
        if head is None:
            changes = [("A", entry.path) for entry in index]
        else:
            tree = str(self._objects.commit(head).tree_id)
            self._objects.check_folders(tree)
            deltas = index.diff_to_tree(self._objects.tree(tree)).deltas
            changes = [(KINDS.get(delta.status, "M"), delta.new_file.path) for delta in deltas]
        # in the order of what is there, then what goes
        return sorted((c for c in changes if c[1].endswith(".json")), key=lambda c: (c[0] == "D", c[1]))

    @property
    def is_clean(self) -> bool:
        """Whether the working state is what was committed last."""
        return not self.status()

    def _pending(self, purpose: str) -> Path:
        """Where an index is written before it takes the place of the one in use."""
        return self.private / f"index-{purpose}"

    def finish_interrupted(self) -> None:
        operation = self.refs.complete()
        if operation is not None:
            self._take_up(operation)
            self.operations.end(operation)
        if self._stale.exists():
            self._render(self._stale_paths())
            self._stale.unlink()

    def _take_up(self, operation: Operation) -> None:
        """Give the working state, and the files, what an interrupted operation was to bring there."""
        if operation.working_state is None or self.is_bare:
            return
        index = pygit2.Index(self._index_path)
        left = self._left_of(operation, index)
        if left:
            self._use(self._prepare(left, "after"))
        if self.head == operation.working_state[1]:
            self._render(self._with_new_readme(self._changed_files(*operation.working_state)))

    def _prepare(self, blobs: dict[str, str | None], purpose: str) -> Path:
        """Write the index in use, with changes, to a file of its own."""
        self._index()  # is sound, or this raises
        path = self._pending(purpose)
        try:
            for leftover in self.private.glob(f"{path.name}*"):  # and libgit2's lock on it, of a process that died
                leftover.unlink()
            if self._index_path.exists():
                shutil.copyfile(self._index_path, path)
            index = pygit2.Index(path)
            _put(index, self._with_readme(blobs, "README.md" in index))
            index.write()
            fsync_all([path])
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _with_readme(self, blobs: dict[str, str | None], known: bool) -> dict[str, str | None]:
        if known or "README.md" in blobs or (self.root / "README.md").exists():
            return blobs
        return {**blobs, "README.md": self._objects.create_blob(README.encode())}

    @property
    def _stale(self) -> Path:
        """Is there while the work tree may be behind the index; names the files in question."""
        return self.private / "stale-work-tree"

    def _stale_paths(self) -> list[str]:
        try:
            paths = parse_json(self._stale.read_bytes())
        except ValueError:  # a power cut; then the files are looked at by `git status`, and by nothing of ours
            return []
        return [path for path in paths if is_in_work_tree(self.root, path)] if isinstance(paths, list) else []

    def _use(self, pending: Path) -> None:
        """Put an index in the place of the one in use."""
        os.replace(pending, self._index_path)
        fsync(self.git_directory)

    def _swap(self, pending: Path, changed: Iterable[str]) -> None:
        """Put an index into use, and the files that it changes."""
        changed = list(changed)
        self._stale.write_bytes(canonical_json(changed))
        self._use(pending)
        self._render(changed)
        self._stale.unlink()

    def _take_into_use(self, pending: Path, changed: Iterable[str], operation: Operation) -> None:
        """Put the index of an operation whose references have moved into use, and its files: it has ended."""
        self._use(pending)
        self._render(self._with_new_readme(changed))
        self.operations.end(operation)

    def _with_new_readme(self, paths: Iterable[str]) -> list[str]:
        return [*paths] if (self.root / "README.md").exists() else [*paths, "README.md"]

    def _render(self, paths: Iterable[str]) -> None:
        """Make these files of the work tree what the index says."""
        index = self._index()
        blobs = {path: str(index[path].id) if path in index else None for path in paths}
        for path in [path for path, blob in blobs.items() if blob is None]:
            file = below(self.root, path)
            file.unlink(missing_ok=True)
            remove_empty(file.parent, self.root)
        kept = {path: blob for path, blob in blobs.items() if blob is not None}
        contents = read_files(self._objects, self.git_directory, [*kept.values()])
        folder = ""
        place = self.root
        for path, content in zip(kept, contents, strict=True):
            if folder != (folder := path.rpartition("/")[0]):
                place = below(self.root, path).parent
                place.mkdir(parents=True, exist_ok=True)
            file = inside(place, path.rpartition("/")[2])
            file.unlink(missing_ok=True)  # never write through a link
            file.write_bytes(content)

    def _render_all(self) -> None:
        """Make the whole work tree what the index says."""
        self._git.index.read(force=True)  # libgit2 holds an older one in memory, and would write that back
        self._git.checkout_index(strategy=CheckoutStrategy.FORCE)
        self._index()

    def stage(self, changes: Changes) -> None:
        """Change the working state, all or nothing: on any error, or Ctrl-C, it is what it was."""
        self.require_work_tree()
        with self.locked(), readable_errors(self.root):
            self.finish_interrupted()
            before = self._prepare({}, "before")
            try:
                after = self._prepare(self._write_blobs(changes), "after")
                self.make_durable()  # the process that commits this may be another one
                self._swap(after, self._with_new_readme(changes))
            except BaseException:
                self._pending("after").unlink(missing_ok=True)
                self._use(before)
                with contextlib.suppress(pygit2.GitError, OSError, DamagedObjectError):
                    self._render(changes)
                raise
            before.unlink()

    def commit(self, message: str) -> str:
        """Commit the working state; returns the commit's id. Raises StateError when nothing changed."""
        self.require_work_tree()
        with self.locked(), readable_errors(self.root):
            self.finish_interrupted()
            changes = self.status()
            if not changes:
                raise StateError("nothing to commit: the working state is what was committed last")
            index, head = self._index(), self.head
            blobs = {path: None if kind == "D" else str(index[path].id) for kind, path in changes}
            if "README.md" in index:
                blobs["README.md"] = str(index["README.md"].id)
            commit = self._write_commit(head, blobs, [] if head is None else [head], message)
            self.objects.recheck(named_anew(self, blobs, head))
            self.make_durable(blob for blob in blobs.values() if blob is not None)
            self._advance(commit, message, head)
            return commit

    def commit_changes(self, changes: Changes, message: str, since: str, also: Sequence[str] = ()) -> str:
        """Commit records on top of HEAD in one step, for jobs and merges.

        since: where the job began. also: parents of a merge. Raises OvertakenError for what others changed since.
        """
        self.require_work_tree()
        with self.locked(), readable_errors(self.root):
            self.finish_interrupted()
            self._refuse_overwriting(changes, since)
            head = self.head
            assert head is not None  # there is a commit that the job started from
            commit, blobs = self._made(changes, message, [head, *also])
            pending = self._prepare(blobs, "after")
            try:
                operation = self._advance(commit, message, head, (head, commit))
            except BaseException:
                pending.unlink(missing_ok=True)
                raise
            with contextlib.suppress(pygit2.GitError, OSError):  # the commit stands; the next change does the rest
                self._take_into_use(pending, changes, operation)
            return commit

    def commit_aside(self, changes: Changes, message: str, since: str) -> str:
        """Commit records on top of `since`, on a new branch that is not checked out; returns the branch's name."""
        self.require_work_tree()
        with self.locked(), readable_errors(self.root):
            self.finish_interrupted()
            commit, _ = self._made(changes, message, [since])
            branch, subject = f"set-aside-{commit[:10]}", message.splitlines()[0]
            self.refs.update({f"refs/heads/{branch}": (None, commit)}, f"commit: {subject}, set aside")
            return branch

    def _made(self, changes: Changes, message: str, parents: list[str]) -> tuple[str, dict[str, str | None]]:
        """A commit that no reference names yet, on top of the first parent, and its blobs by path."""
        blobs = self._write_blobs(changes)
        commit = self._write_commit(parents[0], blobs, parents, message)
        self.objects.recheck(named_anew(self, blobs, parents[0]))
        self.make_durable()
        return commit, blobs

    def _refuse_overwriting(self, changes: Changes, since: str) -> None:
        """A job must not undo what others committed or staged while it ran."""
        for at, how in ((HEAD, "committed"), (None, "staged")):
            moved = [path for path in changes if self.find(path, since) != self.find(path, at)]
            if moved:
                what = f"{len(moved)} records were changed and {how} while the job ran"
                raise OvertakenError(f"{what} (first: {moved[0]})")

    def _advance(
        self,
        commit: str,
        message: str,
        head: str | None,
        working_state: tuple[str | None, str | None] | None = None,
    ) -> Operation:
        """Move the branch, or a detached HEAD, to a commit, if it is still at `head`."""
        reason = f"commit: {message.splitlines()[0]}"
        self.objects.clean()
        warn_of_hooks_elsewhere(self._git)
        moved = self.refs.update({self.refs.branch or HEAD: (head, commit)}, reason, working_state)
        if self.vetting is not None:
            self.vetting.made(commit, self._objects.parents(commit))
        return moved

    def switch(self, target: str, reason: str, start: str | None = None) -> None:
        """Switch to another branch (a reference, `refs/heads/...`) or, detached, on a commit id.

        start: the commit at which the branch is made, if it is new. The working state becomes that commit's;
        raises StateError when it holds changes.
        """
        self.require_work_tree()
        with self.locked(), readable_errors(self.root):
            self.finish_interrupted()
            old = f"{SYMBOLIC}{self.refs.branch}" if self.refs.branch else self.head
            is_branch = target.startswith("refs/")
            commit = start or self.refs.get(target) if is_branch else target
            if commit is None:
                raise NotFoundError(f"no branch {target.removeprefix('refs/heads/')!r} in this population")
            head: Moves = {HEAD: (old, f"{SYMBOLIC}{target}" if is_branch else target)}
            made: Moves = {} if start is None else {target: (None, start)}
            self.move({**made, **head}, reason, commit)

    def move(self, moves: Moves, reason: str, head: str | None) -> None:
        """Move references, and the working state to the commit at which HEAD will then stand (None: none).

        Raises StateError when the working state holds changes that would be lost.
        """
        self.require_work_tree()
        with self.locked(), readable_errors(self.root):
            self.finish_interrupted()
            was = self.head
            if head is not None and self.vetting is not None:
                self.vetting.commit(head)  # before a file of it is written
            if head == was:
                self.refs.update(moves, reason)
                return
            if not self.is_clean:
                raise StateError("the working state holds changes; `mpop commit` or `mpop restore` them first")
            changed = {path: new for path, (_, new) in self._changed_files(was, head).items()}
            pending = self._prepare(changed, "after")
            try:
                operation = self.refs.update(moves, reason, (was, head))
            except BaseException:
                pending.unlink(missing_ok=True)
                raise
            self._take_into_use(pending, changed, operation)

    def _changed_files(self, old: str | None, new: str | None) -> dict[str, tuple[str | None, str | None]]:
        """Path -> Git objects in both commits of every file in which they differ."""
        before, after = (None if one is None else str(self._objects.commit(one).tree_id) for one in (old, new))
        return {path: (was, now) for path, was, now in self._objects.changed_files(before, after)}

    def discard(self, paths: Iterable[str] | None = None, source: str = HEAD) -> list[str]:
        """Make records of the working state (None: all that differ) what they are in a commit; returns them."""
        self.require_work_tree()
        with self.locked(), readable_errors(self.root):
            self.finish_interrupted()
            chosen = [path for _, path in self.status()] if paths is None else list(paths)
            found = {path: self.find(path, source) for path in chosen}
            self._swap(self._prepare(found, "after"), chosen)
            return chosen

    def render(self) -> None:
        """Write the whole work tree anew from the working state."""
        self.require_work_tree()
        with self.locked(), readable_errors(self.root):
            self.finish_interrupted()
            self._render_all()


def _put(index: pygit2.Index, blobs: Mapping[str, str | None]) -> None:
    """Put files (path -> blob) into an index in memory or, where None, take them out."""
    for path, blob in blobs.items():
        if blob is not None:
            index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=blob), FileMode.BLOB))
        elif path in index:
            index.remove(path)
