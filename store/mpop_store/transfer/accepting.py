"""Letting in what others push: everything is checked before a reference leads to it.

Commits wait in quarantine, objects have been hashed when they came. A push is refused with a sentence that names
the rule, what breaks it, and what to do; then nothing has changed but objects that nobody looks at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from mpop_store.errors import DamagedObjectError, InputError, MissingObjectError, StateError, StoreError
from mpop_store.git.git_commands import succeeds
from mpop_store.git.git_objects import MAX_OBJECT
from mpop_store.git.history import History
from mpop_store.git.refs import valid
from mpop_store.git.repository import Repository
from mpop_store.transfer.git_packs import Quarantine, quarantine
from mpop_store.transfer.naming import objects_named_by
from mpop_store.transfer.remote import HistoryPack, Moves, Push
from mpop_store.transfer.walking import NewCommit, new_commits

HEADS, TAGS, REQUESTS = "refs/heads/", "refs/tags/", "refs/mpop/requests/"
SHARED = (HEADS, TAGS, REQUESTS)
"""References that travel; all others belong to one population alone."""
MAX_REF = 200
"""Characters of the longest reference."""
PATH = re.compile(r"(?=.{1,300}\Z)[A-Za-z0-9._+-]+(?:/[A-Za-z0-9._+-]+){0,7}")
PLAIN_FILE = "100644"
ALLOWED = ("false", "no", "off", "0", "")
"""How Git writes that a setting does not hold."""

CommitCheck = Callable[[History, Sequence[NewCommit]], None]
"""Asked about commits, oldest first, in a history that holds them. Raises StateError for what must not come in."""


def accept(history: Repository, push: Push, check: CommitCheck) -> None:
    """Check a push and move the references. Raises StateError when it is refused or somebody else was first."""
    _check_moves(history, push.moves)
    with history.objects.leases.hold("receive"), quarantine(history) as waiting:
        if push.pack is not None:
            waiting.receive(HistoryPack(push.pack))
        commits = inspect(waiting, [new for _, new in push.moves.values() if new is not None])
        _refuse_losing(waiting, push)
        with _as_refusal("records-read"):
            check(waiting.history, commits)
            needed = objects_named_by(waiting.history, commits, history.references_of)
        with history.locked():
            with _as_refusal("objects-complete"):
                history.objects.recheck(needed)
            before = history.refs.all().values()
            waiting.release()
            history.refs.update(push.moves, "push")
        if history.vetting is not None:
            history.vetting.received((new for _, new in push.moves.values() if new is not None), before)


def _check_moves(history: Repository, moves: Moves) -> None:
    """Raise StateError for references that may not be moved from outside."""
    if not moves:
        raise InputError("a push must name what to move")
    for name, (old, new) in moves.items():
        if not is_shared(name):
            refuse("odd-reference", f"{name!r} is not a branch, tag or merge request", "push to another name")
        if old is None and new is None:
            refuse("odd-reference", f"{name} is neither there nor to be made", "fetch first")
        if name == history.refs.branch and not history.is_bare:
            advice = "push to another branch and merge it there, open a merge request, or share a bare population"
            refuse("checked-out", f"somebody works on {name.removeprefix(HEADS)} there", advice)


def is_shared(name: str) -> bool:
    """Whether a reference of this name may travel."""
    return len(name) <= MAX_REF and valid(name) and name.isascii() and name.startswith(SHARED)


def inspect(waiting: Quarantine, tips: Iterable[str], again: bool = False) -> list[NewCommit]:
    """The new commits that tips lead to; nothing in them is too large, odd, or not there. Raises StateError.

    again: those too that are known already.
    """
    for oid, kind, size in waiting.sizes():
        if size > MAX_OBJECT:
            refuse("too-large", f"{kind} {oid} has {size} bytes", "keep arrays in the store, not in records")
    try:
        known = set() if again else set(waiting.history.refs.all().values())
        commits = new_commits(waiting.variables, (waiting.commits.peeled(tip) for tip in tips), known)
    except (DamagedObjectError, StoreError) as error:
        refuse("history-complete", str(error), "push from a population that passes `mpop verify`")
    refuse_odd_files(commits)
    return commits


def refuse_odd_files(commits: Iterable[NewCommit]) -> None:
    """Raise StateError for a commit that brings anything but plain files with plain names."""
    for commit in commits:
        for change in commit.changes:
            if change.new is not None and (change.mode != PLAIN_FILE or not PATH.fullmatch(change.path)):
                where = f"{change.path!r} in commit {commit.id[:10]} is not a plain file with a plain name"
                refuse("plain-files", where, "take it out of the history")


def _refuse_losing(waiting: Quarantine, push: Push) -> None:
    """Raise StateError for moves that take something away: unless forced, and allowed by the owner here."""
    for name, (old, new) in push.moves.items():
        if old is None:
            continue
        short = name.removeprefix(HEADS)
        if new is None:
            advice = "`mpop push --delete` says that this is meant"
            _require_force(waiting, push, "receive.denyDeletes", f"{short} would be deleted", advice)
        elif name.startswith(TAGS):
            advice = "choose another name, or give --force"
            _require_force(waiting, push, "receive.denyNonFastForwards", f"{name} is there already", advice)
        elif not leads_to(waiting.variables, new, old):
            advice = "`mpop pull` first, or give --force if their commits are to be dropped"
            lost = f"{short} holds commits that would be lost"
            _require_force(waiting, push, "receive.denyNonFastForwards", lost, advice)


def _require_force(waiting: Quarantine, push: Push, setting: str, what: str, advice: str) -> None:
    """Git's own settings protect what is shared, but here they hold until the owner takes them back."""
    if not push.force:
        refuse("fast-forward", what, advice)
    values = list(waiting.history.config.get_multivar(setting))
    if not values or str(values[-1]).lower() not in ALLOWED:
        refuse("protected", what, f"its owner allows that with `git config {setting} false` in that population")


def leads_to(variables: dict[str, str], descendant: str, ancestor: str) -> bool:
    """Whether an ancestor is in the history of a descendant, or the same."""
    return succeeds(["merge-base", "--is-ancestor", ancestor, descendant], variables)


@contextmanager
def _as_refusal(rule: str) -> Iterator[None]:
    """What is damaged or missing is a reason to refuse."""
    try:
        yield
    except (DamagedObjectError, MissingObjectError) as error:
        refuse(rule, str(error), "push again, from a population that passes `mpop verify`")


def refuse(rule: str, what: str, advice: str) -> NoReturn:
    """Raise the error of a push that is not let in."""
    raise StateError(f"refused (rule {rule}): {what}; {advice}")
