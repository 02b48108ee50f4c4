"""Fetch: commits into quarantine, then the objects that are wanted, all checks, and at last the references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

from mpop_store.errors import StateError
from mpop_store.git.history import History
from mpop_store.objects.promises import HeldPromises, Place
from mpop_store.progress import Progress, silent
from mpop_store.transfer.accepting import HEADS, REQUESTS, TAGS, CommitCheck, inspect, is_shared, leads_to
from mpop_store.transfer.git_packs import Quarantine, known_commits, quarantine, shallow_commits
from mpop_store.transfer.naming import Named, Select, everything, named_in
from mpop_store.transfer.remote import HistoryRequest, Moves, Proof, Remote
from mpop_store.transfer.sending import bring_named, is_whole
from mpop_store.transfer.walking import NewCommit, differences, new_commits

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

SelectAt = Callable[[History, str], Select]
"""What is wanted of the records of a commit: a history that holds it, the commit."""


@dataclass(frozen=True)
class Plan:
    """What to fetch.

    select: which data to bring of each branch as it is now; None brings none, so that it is read when asked for.
    older: also the data of every commit before. again: look at everything, not only at what is new.
    branches: their names; None is all. depth: how many commits back; None is all.
    """

    select: SelectAt | None
    older: bool = False
    again: bool = False
    branches: frozenset[str] | None = None
    depth: int | None = None


@dataclass(frozen=True)
class Fetched:
    """What a fetch did. moves: references here; bytes: of objects. diverged: merge requests and tags that differ
    on the two sides and were left alone, with what they are there; the commits are here now. lacking: objects and
    groups that new commits name, that are not here, and that the remote has not, or not whole."""

    moves: Moves = field(default_factory=dict)
    commits: int = 0
    bytes: int = 0
    diverged: Mapping[str, str] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()


def fetch(
    history: History,
    remote: Remote,
    name: str,
    plan: Plan,
    check: CommitCheck,
    progress: Progress = silent,
) -> Fetched:
    """Make the references of a remote called `name` what they are there, once everything they lead to is here.

    Raises StateError when something there must not come in; then nothing has changed but objects that are kept for
    the next try.
    """
    theirs = {ref: oid for ref, oid in remote.refs().items() if is_shared(ref) and _is_wanted(ref, plan)}
    if plan.branches is not None and (unknown := {HEADS + one for one in plan.branches} - set(theirs)):
        raise StateError(f"{remote.address} has no branch {min(unknown).removeprefix(HEADS)}")
    with history.objects.leases.hold("fetch"), quarantine(history) as waiting:
        _receive(history, remote, waiting, tuple(dict.fromkeys(theirs.values())), plan)
        commits = inspect(waiting, theirs.values(), again=plan.depth is not None)
        if not plan.older:
            waiting.history.collect_names(change for commit in commits for change in commit.changes)
        check(waiting.history, commits)
        targets = {local_name(ref, name): oid for ref, oid in theirs.items()}
        received = 0
        named = Named()
        if plan.select is not None:
            named = _wanted(waiting, targets, commits, plan, plan.select)
            received = bring_named(history.objects, remote, named, progress)
        lacking: tuple[str, ...] = ()
        if not plan.older:
            place = Place(remote.describe().store or "", name, remote.address)
            lacking = _note_what_is_left(history, remote, waiting, place, targets.values(), plan, named)
        with history.locked():
            before = [] if plan.depth is not None else list(history.refs.all().values())
            moves, diverged = _moves(history, waiting, targets, name, plan)
            waiting.release()
            if moves:
                history.refs.update(moves, f"fetch {name}")
        if history.vetting is not None:
            history.vetting.received(theirs.values(), before)
    return Fetched(moves, len(commits), received, diverged, lacking)


def local_name(ref: str, remote: str) -> str:
    """Where a reference of a remote is kept here."""
    return f"refs/remotes/{remote}/{ref.removeprefix(HEADS)}" if ref.startswith(HEADS) else ref


def _is_wanted(ref: str, plan: Plan) -> bool:
    return plan.branches is None or not ref.startswith(HEADS) or ref.removeprefix(HEADS) in plan.branches


def _receive(history: History, remote: Remote, waiting: Quarantine, tips: tuple[str, ...], plan: Plan) -> None:
    deepen = plan.depth is not None
    wants = tuple(oid for oid in tips if deepen or not waiting.commits.contains(oid))
    if not wants:
        return
    haves = () if deepen else known_commits(history)
    shallow = () if deepen else tuple(sorted(shallow_commits(history.git_directory)))
    waiting.receive(remote.history(HistoryRequest(wants, haves, shallow, plan.depth)))


def _wanted(
    waiting: Quarantine, targets: Mapping[str, str], commits: Sequence[NewCommit], plan: Plan, select_at: SelectAt
) -> Named:
    """What to bring: of each branch what differs from what it was here, or else from another branch."""
    found = Named()
    refs = waiting.history.refs
    done = EMPTY_TREE
    for ref, tip in sorted(targets.items(), key=lambda pair: (not pair[0].startswith("refs/remotes/"), pair)):
        old = None if plan.again else refs.get(ref)
        if ref.startswith(TAGS):
            continue
        if old == tip:
            done = waiting.commits.tree(tip) if done == EMPTY_TREE and ref.startswith("refs/remotes/") else done
            continue
        for state in waiting.commits.states(tip, old):
            tree = waiting.commits.tree(state)
            base = done if old is None or state != tip else waiting.commits.tree(old)
            changes = list(differences(waiting.variables, base, tree))
            found.join(named_in(waiting.history, changes, select_at(waiting.history, state)))
            done = tree if done == EMPTY_TREE else done
    if plan.older:
        history = new_commits(waiting.variables, targets.values(), ()) if plan.again else commits
        for commit in history:
            found.join(named_in(waiting.history, commit.changes, select_at(waiting.history, commit.id)))
    return found


def _note_what_is_left(
    history: History,
    remote: Remote,
    waiting: Quarantine,
    place: Place,
    tips: Iterable[str],
    plan: Plan,
    brought: Named,
) -> tuple[str, ...]:
    """Note, durable, what new commits name and a remote has, and that was not brought on purpose: only that is not
    lost when it is missing. What they name was collected as they were checked; the first time, of a clone by an
    older mpop too, all commits are looked at.

    Returns what the remote has not."""
    held = HeldPromises(history.private)
    is_first = not held.has_seen(place)
    if (plan.again or is_first) and history.refs.all():  # else all there are is new
        changes = (change for commit in new_commits(waiting.variables, tips, ()) for change in commit.changes)
        named = named_in(waiting.history, changes, everything(history.references_of))
    else:
        named = waiting.history.names()
    store = history.objects.offline()
    groups = [one for one in named.groups if one not in brought.groups and not is_whole(store, one)]
    files = [one for one in named.files if one not in brought.files and not store.has(one)]
    if not (groups or files or is_first):
        return ()
    whole = remote.have(groups, Proof.COMPLETE) if groups else []
    there = remote.have(files) if files else []
    with history.locked():
        held.add_seen(
            place,
            history.identity.settle(),
            compress(groups, whole),
            compress(files, there),
        )
    return tuple(one for one, known in zip([*groups, *files], [*whole, *there], strict=True) if not known)


def _moves(
    history: History, waiting: Quarantine, targets: Mapping[str, str], name: str, plan: Plan
) -> tuple[Moves, dict[str, str]]:
    """How references move. Branches follow the remote, also where they are gone; tags stay, requests grow."""
    moves: dict[str, tuple[str | None, str | None]] = {}
    diverged: dict[str, str] = {}
    for ref, new in targets.items():
        old = history.refs.get(ref)
        if old == new:
            continue
        if old is not None and ref.startswith((TAGS, REQUESTS)):
            if ref.startswith(REQUESTS) and leads_to(waiting.variables, old, new):
                continue  # ours is further
            if ref.startswith(TAGS) or not leads_to(waiting.variables, new, old):
                diverged[ref] = new
                continue
        moves[ref] = (old, new)
    if plan.branches is None:
        known = history.refs.all(f"refs/remotes/{name}/")
        known.pop(f"refs/remotes/{name}/HEAD", None)  # made by a plain `git clone`: the default branch there
        moves |= {ref: (old, None) for ref, old in known.items() if ref not in targets}
    return moves, diverged
