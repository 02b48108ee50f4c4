"""Push: objects first, then commits, then the references, each step of use to the next try if it ends there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mpop_store.errors import StateError
from mpop_store.git.git_commands import environment
from mpop_store.git.history import History
from mpop_store.progress import Progress, silent
from mpop_store.transfer.accepting import HEADS, REQUESTS, leads_to
from mpop_store.transfer.git_packs import make_pack, shallow_commits
from mpop_store.transfer.naming import everything, named_in
from mpop_store.transfer.remote import HistoryRequest, Moves, Push, Remote
from mpop_store.transfer.sending import lacking, send
from mpop_store.transfer.walking import Commits, new_commits


@dataclass(frozen=True)
class Pushed:
    """What a push did. moves: references there, by name; bytes: of objects, not of commits."""

    moves: Moves = field(default_factory=dict)
    commits: int = 0
    objects: int = 0
    bytes: int = 0


def push(
    history: History,
    remote: Remote,
    wanted: Mapping[str, str | None],
    force: bool = False,
    expected: Mapping[str, str | None] | None = None,
    progress: Progress = silent,
    theirs: Mapping[str, str] | None = None,
) -> Pushed:
    """Make references of a remote what they are wanted to be (None: gone), and bring there what they need.

    expected: what the references there must be now; if not given, what the remote says. theirs: what it said just
    now, if it was asked. Raises StateError when the
    remote refuses, or when commits there would be lost and `force` is not given.
    """
    theirs = remote.refs() if theirs is None else theirs
    moves = {name: (theirs.get(name), new) for name, new in wanted.items() if theirs.get(name) != new}
    _refuse_the_unexpected(moves, expected or {}, remote.address)
    if not moves:
        return Pushed()
    commits = Commits(history)
    known = [oid for oid in theirs.values() if commits.contains(oid)]
    if not force:
        _refuse_rewriting(history, moves, set(known), remote.address)
    tips = [new for _, new in moves.values() if new is not None]
    with history.objects.leases.hold("push"):
        new = new_commits(environment(history.git_directory), tips, known)
        shallow = shallow_commits(history.git_directory)
        if not shallow.isdisjoint(commit.id for commit in new):
            raise StateError(
                f"this clone holds only the newest commits, and {remote.address} lacks those before; "
                "`mpop fetch --depth 1000000` brings them all, then push again"
            )
        changes = [change for commit in new for change in commit.changes]
        names = lacking(history, remote, named_in(history, changes, everything(history.references_of)))
        size = send(history.objects, remote, names, progress)
        request = HistoryRequest(tuple(tips), tuple(known), tuple(sorted(shallow)))
        pack = make_pack(history, request).pieces if tips else None
        remote.push(Push(moves, pack, force))
    return Pushed(moves, len(new), len(names), size)


def _refuse_the_unexpected(moves: Moves, expected: Mapping[str, str | None], address: str) -> None:
    for name, old in expected.items():
        if name in moves and moves[name][0] != old:
            raise StateError(
                f"{name.removeprefix(HEADS)} at {address} is not what was last fetched from there; "
                "`mpop fetch`, look at it, and push again"
            )


def _refuse_rewriting(history: History, moves: Moves, known: set[str], address: str) -> None:
    """Say here what the remote would refuse, before anything is sent."""
    variables = environment(history.git_directory)
    for name, (old, new) in moves.items():
        if old is None or new is None or not name.startswith((HEADS, REQUESTS)):
            continue
        if old not in known or not leads_to(variables, new, old):
            short = name.removeprefix(HEADS)
            raise StateError(
                f"{short} at {address} holds commits that are not in yours; `mpop pull` first, then push again"
            )
