"""Drop: local copies go once another store has read and hashed the same objects just now, and keeps them for us.

In this order, so that no moment and no other command can lose anything:

1. the other is proven to be another store (`independence`), whose branches lead to our commit;
2. it promises the objects: it has noted for whom it keeps them, and its own garbage collection and drop heed that;
3. under our locks, what we have promised to others ourselves is looked up: it stays, and with it everything;
4. what was promised is noted here, durable; from now on what is missing is known to be elsewhere;
5. the local copies go.

No lock but that of drop itself is held while the other is asked. Of two stores that drop against each other at
once, each finds in step 3 what it has promised in step 2 of the other; killed between 2 and 5, the other keeps
more than it need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from mpop_store.errors import DamagedObjectError, MissingObjectError, MpopError, StateError
from mpop_store.git.git_commands import environment
from mpop_store.git.history import History
from mpop_store.objects.names import NameSet
from mpop_store.objects.promises import GivenPromises, HeldPromises, Place
from mpop_store.objects.store import ObjectStore
from mpop_store.transfer.accepting import leads_to
from mpop_store.transfer.independence import refuse_same_store
from mpop_store.transfer.naming import Named, group_parts
from mpop_store.transfer.promising import holder_of, one_at_a_time
from mpop_store.transfer.remote import Proof, Remote
from mpop_store.transfer.walking import Commits
from mpop_store.upkeep.discarding import discard


@dataclass(frozen=True)
class Dropped:
    """What a drop freed. objects: dropped here; proven_at: the remote that holds them."""

    objects: int
    bytes: int
    proven_at: str


def drop(
    history: History,
    remote: Remote,
    name: str,
    named: Named,
    keep: Named,
    at: str,
    note: Callable[[], None],
    dry_run: bool = False,
) -> Dropped:
    """Drop the local copies of objects that records name, but for those that `keep` names too.

    name: what the remote is called here. note: called when all is promised, before anything goes. Raises
    StateError, and drops nothing, unless the remote is another store that leads to the commit `at`, and promises
    to keep every one of them, sound; what can be computed again stays here where it does not. dry_run: prove it,
    drop nothing.
    """
    try:
        with one_at_a_time(history):
            return _drop(history, remote, name, named, keep, at, note, dry_run)
    except StateError as error:
        raise StateError(f"nothing was dropped: {error}") from error


def _drop(
    history: History,
    remote: Remote,
    name: str,
    named: Named,
    keep: Named,
    at: str,
    note: Callable[[], None],
    dry_run: bool,
) -> Dropped:
    store = history.objects.offline()
    with history.objects.leases.hold("drop") as lease:
        with history.locked():
            own = history.identity.settle()
        refuse_same_store(store, own, remote)
        _require_commit(history, remote, at)
        place = Place(remote.identify(), name, remote.address)
        held = HeldPromises(history.private)
        before, noted = held.promised(place), False
        kept = set(_objects_here(store, [*keep.groups, *keep.derived], keep.files))
        kept |= _groups_in_parts(store, named.groups, before, held.seen_groups(place))
        needed = [one for one in _objects_here(store, named.groups, named.files) if one not in kept]
        derived = [one for one in _objects_here(store, named.derived, ()) if one not in kept]
        _refuse_promised(history, [*needed, *derived], lease.started)
        if dry_run:
            known = remote.have([*needed, *derived], Proof.SOUND)
            names = _proven(needed, derived, known, remote)
            return Dropped(len(names), sum(map(store.size, names)), remote.address)
        holder = holder_of(history, place.store)
        try:
            answer = remote.promise(holder, [*needed, *derived], Proof.SOUND)
            names = _proven(needed, derived, answer.kept, remote)

            def first() -> None:
                nonlocal noted
                _refuse_promised(history, names, lease.started)
                held.add_promised(place, holder.store, names)
                noted = True
                note()

            return Dropped(len(names), discard(history, names, first), remote.address)
        except BaseException:
            if not noted:  # the remote need not keep what we have not dropped, nor dropped before
                with suppress(MpopError):
                    remote.release(holder, [one for one in [*needed, *derived] if one not in before])
            raise


def _proven(needed: list[str], derived: list[str], known: list[bool], remote: Remote) -> frozenset[str]:
    """What may go. Raises StateError unless that is all that is needed."""
    unproven = [name for name, there in zip(needed, known, strict=False) if not there]
    if unproven:
        raise StateError(
            f"{len(unproven)} of {len(needed)} objects are not at {remote.address}, or are damaged there "
            f"(first: {unproven[0]}); `mpop push`, or run `mpop verify` there"
        )
    also = [name for name, there in zip(derived, known[len(needed) :], strict=True) if there]
    return frozenset([*needed, *also])


def _refuse_promised(history: History, names: Iterable[str], now: float) -> None:
    """What others rely on stays here. now: seconds since 1970."""
    wanted = NameSet(names)
    for promise in GivenPromises(history.private).all():
        shared = promise.objects & wanted
        if len(shared) and not promise.has_ended(now):
            raise StateError(
                f"{len(shared)} of the objects are promised to {promise.who}, which has dropped them; "
                f"`mpop remote promises` says more, `mpop remote release {promise.id[:10]}` takes it back"
            )


def _require_commit(history: History, remote: Remote, at: str) -> None:
    """The remote must need the objects itself: it is to be a copy of this population, not a place to store."""
    commits, variables = Commits(history), environment(history.git_directory)
    for oid in remote.refs().values():
        if commits.contains(oid) and leads_to(variables, commits.peeled(oid), at):
            return
    raise StateError(f"{remote.address} has no branch that leads to commit {at[:10]}; `mpop push` first")


def _groups_in_parts(objects: ObjectStore, groups: Iterable[str], promised: NameSet, seen: NameSet) -> set[str]:
    """Groups of which a part is neither here nor noted at the remote. Their manifest stays: without it nobody
    would know that the part is missing. promised: objects; seen: groups."""
    found: set[str] = set()
    for group in groups:
        with suppress(MissingObjectError, DamagedObjectError):
            parts = group_parts(objects, group)
            if group not in seen and not all(part in promised or objects.has(part) for part in parts):
                found.add(group)
    return found


def _objects_here(objects: ObjectStore, groups: Iterable[str], files: Iterable[str]) -> list[str]:
    """The objects of groups, and files, that are here; a group that cannot be read stays as it is."""
    names = dict.fromkeys(files)
    for group in groups:
        with suppress(MissingObjectError, DamagedObjectError):
            names.update(dict.fromkeys(group_parts(objects, group)))
    return [name for name in names if objects.has(name)]
