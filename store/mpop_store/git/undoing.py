"""Undoing an operation: its references go back to where they were. That is an operation too; undoing it redoes."""

from __future__ import annotations

from mpop_store.errors import NotFoundError, StateError
from mpop_store.git.operations import Moves, Operation
from mpop_store.git.refs import HEAD, SYMBOLIC
from mpop_store.git.repository import Repository


def undo(repository: Repository, number: int | None = None, keep: bool = False) -> Operation:
    """Take back one operation, the last one of ours if none is named; returns it.

    What others moved by other means than mpop counts as an operation too.

    What a fetch or a push noted about a remote (refs/remotes/) is the remote's and is skipped.

    keep: leave the working state as it is, so that what a commit held shows up as changes. Otherwise it becomes
    that of the commit where HEAD will stand. Raises NotFoundError for an operation that is not in the log,
    StateError when changes in the working state would be lost, when references have moved on since, or when no
    commit would be left.
    """
    with repository.locked():
        repository.finish_interrupted()
        repository.refs.record_moves_of_others()
        operation = _operation(repository, number)
        # in reverse, so that HEAD leaves a branch before the branch goes
        moves = {name: (new, old) for name, (old, new) in reversed(operation.moves.items()) if old != new}
        now = {name: repository.refs.value(name) for name in moves}
        for name, (expected, _) in moves.items():
            if now[name] != expected:
                raise StateError(
                    f"operation {operation.number} cannot be undone: {_short(name)} has moved since; "
                    "undo what moved it first (`mpop op log`)"
                )
        head = _head_after(repository, moves)
        if head is None:
            raise StateError(f"operation {operation.number} cannot be undone: HEAD would name no commit")
        if keep or repository.is_bare:
            repository.refs.update(moves, _reason(operation))
        else:
            repository.move(moves, _reason(operation), head)
        return operation


def _reason(operation: Operation) -> str:
    """What the log says of undoing an operation, also when that was undoing or doing again."""
    for done, undone in (("undo: ", "redo: "), ("redo: ", "undo: ")):
        if operation.reason.startswith(done):
            return undone + operation.reason.removeprefix(done)
    return f"undo: operation {operation.number} ({operation.reason})"


def _operation(repository: Repository, number: int | None) -> Operation:
    if number is None:
        for operation in reversed(repository.operations.all()):
            if _is_ours(operation):
                return operation
        raise NotFoundError("there is nothing to undo: the operation log is empty")
    for operation in repository.operations.all():
        if operation.number == number:
            return operation
    raise NotFoundError(f"there is no operation {number}; see `mpop op log`")


def _is_ours(operation: Operation) -> bool:
    """Whether anything moved that is not a note of what others have."""
    moved = [name for name, (old, new) in operation.moves.items() if old != new]
    return any(not name.startswith("refs/remotes/") for name in moved)


def _head_after(repository: Repository, moves: Moves) -> str | None:
    """The commit that HEAD will lead to."""
    value = moves[HEAD][1] if HEAD in moves else repository.refs.value(HEAD)
    if value is None or not value.startswith(SYMBOLIC):
        return value
    branch = value.removeprefix(SYMBOLIC)
    return moves[branch][1] if branch in moves else repository.refs.get(branch)


def _short(name: str) -> str:
    for prefix in ("refs/heads/", "refs/tags/", "refs/remotes/"):
        name = name.removeprefix(prefix)
    return name
