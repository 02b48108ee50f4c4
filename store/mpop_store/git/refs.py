"""References: names of commits, moved by compare-and-swap, several at once, each move in the operation log."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import pygit2
from pygit2.enums import Option

from mpop_store.errors import DamagedObjectError, InputError, StateError, StoreError
from mpop_store.git.git_objects import UNREADABLE
from mpop_store.git.operations import Moves, Operation, OperationLog
from mpop_store.locking import Lock, break_abandoned

HEAD = "HEAD"
SYMBOLIC = "ref: "


def _sync_references(git: pygit2.Repository) -> None:
    """Have libgit2 sync the references that it writes: it decides once, when it first looks at them."""
    pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)
    try:
        with contextlib.suppress(*UNREADABLE):
            git.references.get(HEAD)
    finally:
        pygit2.option(Option.ENABLE_FSYNC_GITDIR, False)  # objects are synced together, before


class Refs:
    """The references of one Git directory, HEAD among them."""

    def __init__(self, git: pygit2.Repository, operations: OperationLog, lock: Lock) -> None:
        self._git = git
        _sync_references(git)
        self._operations = operations
        self._lock = lock

    def get(self, name: str) -> str | None:
        """The id that a reference holds (of HEAD: what it leads to); None when there is no such reference."""
        if name == HEAD:
            value = self._head_value()
            return self._branch_tip(value.removeprefix(SYMBOLIC)) if value.startswith(SYMBOLIC) else value
        if not valid(name):
            return None
        try:
            found = self._git.references.get(name)
            return None if found is None else str(found.resolve().target)
        except UNREADABLE as error:
            raise DamagedObjectError(f"{name} is damaged or missing; `git reflog` knows where it was") from error

    def _branch_tip(self, branch: str) -> str | None:
        """What the current branch holds; None before the first commit."""
        tip = self.get(branch)
        if tip is None and not self._git.is_bare:
            log = Path(self._git.path) / "logs" / HEAD
            # a process that died in the first commit leaves one line, and no branch
            if log.is_file() and len(log.read_bytes().splitlines()) > 1:
                raise DamagedObjectError(f"{branch}, where HEAD is, is missing; `git reflog` knows where it was")
        return tip

    def all(self, prefix: str = "refs/") -> dict[str, str]:
        """Every reference below a prefix, and what it holds."""
        found: dict[str, str] = {}
        try:
            names = list(self._git.references)
        except UNREADABLE as error:
            raise DamagedObjectError(f"the list of references is damaged: {error}") from error
        for name in names:
            if name.startswith(prefix) and (oid := self.get(name)) is not None:
                found[name] = oid
        return found

    @property
    def branch(self) -> str | None:
        """The reference that HEAD stands on, such as refs/heads/main (it may not exist yet); None if detached."""
        value = self._head_value()
        return value.removeprefix(SYMBOLIC) if value.startswith(SYMBOLIC) else None

    def _head_value(self) -> str:
        try:
            value = (Path(self._git.path) / HEAD).read_text().strip()
        except (OSError, ValueError) as error:
            raise DamagedObjectError("HEAD is damaged or missing; `git reflog` knows where it was") from error
        target = value.removeprefix(SYMBOLIC)
        if not (valid(target) if value.startswith(SYMBOLIC) else _is_id(value)):
            raise DamagedObjectError("HEAD is damaged; write `ref: refs/heads/<branch>` into .git/HEAD")
        return value

    def update(self, moves: Moves, reason: str) -> None:
        """Move references from what they must be now to what they shall be, all or none.

        The key HEAD takes "ref: <reference>" or, detached, a commit id. Raises StateError when one of them is no
        longer what it must be, and then moves nothing.
        """
        for name, (_, new) in moves.items():
            _check_move(name, new)
        with self._lock.held():
            for name, (old, _) in moves.items():
                if self._value(name) != old:
                    raise StateError(f"another process moved {name} first; run the command again")
            self._break_abandoned_locks(moves)
            self._operations.append(moves, reason)
            done: list[str] = []
            try:
                for name, (_, new) in moves.items():
                    done.append(name)
                    self._set(name, new, reason)
            except (pygit2.GitError, OSError, ValueError) as error:
                self._roll_back(moves, done)
                raise StoreError(f"cannot move {done[-1]}: {error}") from error

    def last_is_half_done(self) -> bool:
        """Whether a process died while it moved several references."""
        last = self._operations.last()
        return last is not None and bool(self._left(last))

    def finish_last(self) -> None:
        """Complete an operation that a process died in the middle of; under the lock."""
        last = self._operations.last()
        if last is not None and (left := self._left(last)):
            self._break_abandoned_locks(left)
            for name in left:
                self._set(name, last.moves[name][1], last.reason)

    def _left(self, last: Operation) -> list[str]:
        """The references that an operation, begun but not ended, has still to move."""
        real = {name: move for name, move in last.moves.items() if move[0] != move[1]}
        if len(real) < 2:
            return []
        now = {name: self._value(name) for name in real}
        left = [name for name, (old, _) in real.items() if now[name] == old]
        done = [name for name, (_, new) in real.items() if now[name] == new]
        return left if done and len(done) + len(left) == len(real) else []

    def _break_abandoned_locks(self, names: Iterable[str]) -> None:
        """A process that was killed while it moved a reference leaves it locked."""
        for name in ("packed-refs", *names):
            break_abandoned(Path(self._git.path) / name)

    def _value(self, name: str) -> str | None:
        return self._head_value() if name == HEAD else self.get(name)

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

    def _roll_back(self, moves: Moves, done: list[str]) -> None:
        for name in reversed(done):
            with contextlib.suppress(pygit2.GitError, OSError, ValueError, KeyError):
                self._set(name, moves[name][0], "undone")


def valid(name: str) -> bool:
    """Whether this may be the name of a reference."""
    return name.startswith("refs/") and name.isprintable() and pygit2.reference_is_valid_name(name)


def _is_id(text: str) -> bool:
    return len(text) == 40 and set(text) <= set("0123456789abcdef")


def _check_move(name: str, new: str | None) -> None:
    if name != HEAD and not valid(name):
        raise InputError(f"{name!r} is not a name that a reference may have")
    target = None if new is None else new.removeprefix(SYMBOLIC)
    symbolic = new is not None and new.startswith(SYMBOLIC)
    if target is not None and not (valid(target) if symbolic else _is_id(target)):
        raise InputError(f"{new!r} is not something that {name} can point to")
    if (name == HEAD and new is None) or (name != HEAD and symbolic):
        raise InputError(f"{name} cannot be set to {new!r}")
