"""References: names of commits, moved by compare-and-swap, several at once, each move in the operation log."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import pygit2
from pygit2.enums import Option

from mpop_store.errors import DamagedObjectError, InputError, StateError, StoreError
from mpop_store.git.git_objects import UNREADABLE
from mpop_store.git.operations import HEAD, Moves, Operation, OperationLog
from mpop_store.locking import Lock, break_abandoned
from mpop_store.paths import same_file
from mpop_store.regular_files import open_regular, require_file

SYMBOLIC = "ref: "
MOVED_BY_OTHERS = "moved by other means than mpop"
"""What the operation log says of moves that mpop did not make."""


def _sync_references(git: pygit2.Repository) -> None:
    """Have libgit2 sync the references that it writes: it decides once, when it first looks at them."""
    pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)
    try:
        with contextlib.suppress(*UNREADABLE):
            git.references.get(HEAD)
    finally:
        pygit2.option(Option.ENABLE_FSYNC_GITDIR, False)  # objects are synced together, before


class Refs:
    """The references of one Git directory, HEAD among them.

    What a process left half moved that died is shown as it will be once it is completed, which the next update
    does; reading writes nothing. finish: called under the lock before every update, to do that.
    """

    def __init__(
        self, git: pygit2.Repository, operations: OperationLog, lock: Lock, finish: Callable[[], None]
    ) -> None:
        self._git = git
        _sync_references(git)
        self._operations = operations
        self._lock = lock
        self._finish = finish

    def get(self, name: str) -> str | None:
        """The id that a reference holds (of HEAD: what it leads to); None when there is no such reference."""
        if name == HEAD:
            value = self.head_value
            return self._branch_tip(value.removeprefix(SYMBOLIC)) if value.startswith(SYMBOLIC) else value
        left = self._left()
        return left[name] if name in left else self._stored(name)

    def _branch_tip(self, branch: str) -> str | None:
        """What the current branch holds; None before the first commit."""
        tip = self.get(branch)
        if tip is None and not self._git.is_bare:
            log = Path(self._git.path) / "logs" / HEAD
            # a process that died in the first commit leaves one line, and no branch
            if log.is_file() and len(log.read_bytes().splitlines()) > 1:
                raise DamagedObjectError(f"{branch}, where HEAD is, is missing; `git reflog` knows where it was")
        return tip

    def all(self, prefix: str | tuple[str, ...] = "refs/") -> dict[str, str]:
        """Every reference below a prefix, or one of several, and what it holds.

        Raises DamagedObjectError if one is damaged.
        """
        left = self._left()
        names = {name for name in [*self._names(), *left] if name.startswith(prefix)}
        values = {name: left[name] if name in left else self._looked_up(name) for name in sorted(names)}
        return {name: oid for name, oid in values.items() if oid is not None}

    def _names(self) -> set[str]:
        """Names of all references, those too that libgit2 passes over since their files are damaged."""
        names = set(loose_names(Path(self._git.path)))
        try:
            names |= set(self._git.references)
        except UNREADABLE as error:
            raise DamagedObjectError(f"the list of references is damaged: {error}") from error
        for name in names:
            if not is_text(name):
                raise StateError(about_no_text(name))
        return names

    @property
    def branch(self) -> str | None:
        """The reference that HEAD names, such as refs/heads/main (it may not exist yet); None if detached."""
        value = self.head_value
        return value.removeprefix(SYMBOLIC) if value.startswith(SYMBOLIC) else None

    @property
    def head_value(self) -> str:
        """What HEAD holds: "ref: <reference>" or, detached, a commit id."""
        return self._left().get(HEAD) or self._stored_head()

    def value(self, name: str) -> str | None:
        """What a reference holds, as operations write it: of HEAD, which reference it names."""
        return self.head_value if name == HEAD else self.get(name)

    def _stored(self, name: str) -> str | None:
        """The id in the file of a reference, or in the packed ones."""
        if not _is_readable(name):
            return None
        require_file(Path(self._git.path) / name)
        return self._looked_up(name)

    def _looked_up(self, name: str) -> str | None:
        """What libgit2 says that a reference holds, whose file is known to be one."""
        try:
            found = self._git.references.get(name)
            if found is None or _leads_nowhere(self._git, found):
                return None
            direct = found.target  # of one that leads to another: that one's name
            return str(found.resolve().target if isinstance(direct, str) else direct)
        except UNREADABLE as error:
            raise _damage(Path(self._git.path) / name, name) from error

    def _stored_head(self) -> str:
        try:
            with open_regular(Path(self._git.path) / HEAD) as file:
                value = file.read().decode().strip()
        except (OSError, ValueError) as error:
            raise _damage(Path(self._git.path) / HEAD, HEAD) from error
        target = value.removeprefix(SYMBOLIC)
        if not (_is_readable(target) if value.startswith(SYMBOLIC) else _is_id(value)):
            raise DamagedObjectError("HEAD is damaged; write `ref: refs/heads/<branch>` into .git/HEAD")
        return value

    def _stored_value(self, name: str) -> str | None:
        return self._stored_head() if name == HEAD else self._stored(name)

    def update(
        self, moves: Moves, reason: str, working_state: tuple[str | None, str | None] | None = None
    ) -> Operation:
        """Move references from what they must be now to what they shall be, all or none.

        The key HEAD takes "ref: <reference>" or, detached, a commit id. working_state: the commits that the
        working state leaves and takes up with them; who gives it ends the operation in the log afterwards.
        Raises StateError when a reference is no longer what it must be, and then moves nothing.
        """
        for name, (_, new) in moves.items():
            _check_move(name, new)
        with self._lock.held():
            self._finish()
            self.record_moves_of_others([HEAD, *moves])
            for name, (old, _) in moves.items():
                if self._stored_value(name) != old:
                    raise StateError(f"another process moved {name} first; run the command again")
            self._refuse_twins([name for name, (old, new) in moves.items() if old is None and new is not None])
            self._break_abandoned_locks(moves)
            head = moves[HEAD][1] if HEAD in moves else self._stored_head()
            assert head is not None  # `_check_move` has seen to it
            operation = self._operations.begin(moves, reason, head, working_state)
            done: list[str] = []
            try:
                for name, (_, new) in moves.items():
                    done.append(name)
                    self._set(name, new, reason)
            except (pygit2.GitError, OSError, ValueError) as error:
                if self._roll_back(moves, done):
                    self._operations.end(operation, happened=False)
                raise StoreError(f"cannot move {done[-1]}: {error}") from error
            if working_state is None:
                self._operations.end(operation)
            return operation

    def _refuse_twins(self, made: Collection[str]) -> None:
        """Raise StateError for a new reference that is the file of another one where capitals and forms of accents
        do not count, as on disks of macOS and Windows: Git loses one of the two there."""
        files = {same_file(place): place for name in made for place in _places(name)}
        for name in [*(self._names() if made else ()), *made]:
            for place in _places(name):
                twin = files.get(same_file(place), place)
                if twin != place:
                    raise StateError(
                        f"{twin} and {place} are one file on disks where capitals and forms of accents do not "
                        "count, and Git loses one of them there; rename one of them first"
                    )

    def interrupted(self) -> Operation | None:
        """The operation that has begun to move references and has not ended, if there is one."""
        operation = self._operations.under_way()
        return operation if operation is not None and self._has_begun(operation) else None

    def complete(self) -> Operation | None:
        """Complete an operation that a process died in, or note that it never began; under the lock.

        Nothing moves that somebody has moved since. Returns an operation whose references have moved; the caller
        ends it in the log.
        """
        operation = self._operations.under_way()
        if operation is None:
            return None
        if not self._has_begun(operation):
            self._operations.end(operation, happened=False)
            return None
        left = self._left()
        self._break_abandoned_locks(left)
        for name, value in left.items():
            self._set(name, value, operation.reason)
        return operation

    def _has_begun(self, operation: Operation) -> bool:
        """Whether a reference is where an operation was to move it; one that moves none has begun at once."""
        real = {name: new for name, (old, new) in operation.moves.items() if old != new}
        return any(self._stored_value(name) == new for name, new in real.items())

    def _left(self) -> dict[str, str | None]:
        """What an operation that has begun, but not ended, has still to move, and where to."""
        operation = self.interrupted()
        if operation is None:
            return {}
        return {
            name: new
            for name, (old, new) in operation.moves.items()
            if old != new and self._stored_value(name) == old
        }

    def moved_by_others(self, names: Collection[str] | None = None) -> dict[str, tuple[str | None, str | None]]:
        """References (None: all in the operation log, and HEAD) that are not where mpop left them, and where they
        are: plain Git, or somebody's editor, moved them since.

        With names the cost is that of the newest operations, and HEAD's branch is looked at as well.
        """
        if names is not None:
            branch = self._stored_head().removeprefix(SYMBOLIC)
            names = {*names, branch} if _is_readable(branch) else set(names)
        moved: dict[str, tuple[str | None, str | None]] = {}
        for name, was in self._operations.left_at(names).items():
            with contextlib.suppress(DamagedObjectError):  # who reads it will say so
                if (now := self._stored_value(name)) != was:
                    moved[name] = (was, now)
        return moved

    def record_moves_of_others(self, names: Collection[str] | None = None) -> None:
        """Note in the operation log what others moved, as `moved_by_others` finds it; under the lock."""
        moved = self.moved_by_others(names)
        if moved:
            self._operations.record(moved, MOVED_BY_OTHERS, self._stored_head())

    def _break_abandoned_locks(self, names: Iterable[str]) -> None:
        """A process that was killed while it moved a reference leaves it locked."""
        for name in ("packed-refs", *names):
            break_abandoned(Path(self._git.path) / name)

    def _set(self, name: str, value: str | None, reason: str) -> None:
        if name == HEAD:
            assert value is not None
            target = value.removeprefix(SYMBOLIC)
            self._git.set_head(target if value.startswith(SYMBOLIC) else pygit2.Oid(hex=value))
        elif value is None:
            self._git.references.delete(name)
        elif (known := self._git.references.get(name)) is not None:
            known.set_target(value, reason)
        else:
            self._git.references.create(name, value)

    def _roll_back(self, moves: Moves, done: list[str]) -> bool:
        """Put references back; returns whether all are where they were."""
        for name in reversed(done):
            with contextlib.suppress(pygit2.GitError, OSError, ValueError, KeyError):
                self._set(name, moves[name][0], "undone")
        with contextlib.suppress(DamagedObjectError):
            return all(self._stored_value(name) == moves[name][0] for name in done)
        return False


def loose_names(git_directory: Path, folder: str = "refs") -> Iterator[str]:
    """Names of the references that have files of their own, sound or not, and text or not.

    Raises DamagedObjectError for a named pipe, which never ends for who reads it, and its kin.
    """
    for entry in os.scandir(git_directory / folder):
        name = f"{folder}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from loose_names(git_directory, name)
        elif not (entry.is_file() or entry.is_symlink()):
            raise DamagedObjectError(f"{entry.path} is no file; remove it, and run `mpop verify`")
        elif not is_text(name) or _is_readable(name):
            yield name


def _places(name: str) -> Iterator[str]:
    """The file of a reference, and the folders in which it lies, up to the one of its kind."""
    parts = name.split("/")
    for end in range(3, len(parts) + 1):
        yield "/".join(parts[:end])


def is_text(name: str) -> bool:
    """Whether the name of a reference can be written into a record, or be asked for."""
    if name.isascii():  # as nearly all are, of thousands
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def about_no_text(name: str) -> str:
    """What to do about a reference whose name is no text."""
    return f"a reference has a name that is no text in UTF-8, {name!r}; rename or delete it with plain Git"


def _damage(file: Path, what: str) -> StoreError:
    """Why a reference cannot be read."""
    try:
        file.lstat()
        forbidden = not os.access(file, os.R_OK)
    except OSError as error:
        forbidden = isinstance(error, PermissionError)
    if forbidden:
        return StoreError(f"{what} cannot be read: permission denied for {file}; ask its owner to let you read it")
    return DamagedObjectError(f"{what} is damaged or missing; `git reflog` knows where it was")


def _leads_nowhere(git: pygit2.Repository, found: pygit2.Reference) -> bool:
    """Whether it stands for a branch of a remote that is gone, as `origin/HEAD` may after a fetch."""
    if not found.name.startswith("refs/remotes/") or not isinstance(found.target, str):
        return False
    return git.references.get(found.target) is None


def _is_readable(name: str) -> bool:
    """Whether Git may have made a reference of this name."""
    return name.startswith("refs/") and pygit2.reference_is_valid_name(name)


def valid(name: str) -> bool:
    """Whether mpop makes a reference of this name, or lets one in: Git would take it, a terminal obeys nothing in
    it, and no command could take a part of it for an option."""
    return _is_readable(name) and name.isprintable() and "/-" not in name


def _is_id(text: str) -> bool:
    return len(text) == 40 and set(text) <= set("0123456789abcdef")


def _check_move(name: str, new: str | None) -> None:
    if name != HEAD and not (_is_readable(name) if new is None else valid(name)):
        raise InputError(f"{name!r} is not a name that a reference may have")
    target = None if new is None else new.removeprefix(SYMBOLIC)
    symbolic = new is not None and new.startswith(SYMBOLIC)
    if target is not None and not (valid(target) if symbolic else _is_id(target)):
        raise InputError(f"{new!r} is not something that {name} can point to")
    if (name == HEAD and new is None) or (name != HEAD and symbolic):
        raise InputError(f"{name} cannot be set to {new!r}")
