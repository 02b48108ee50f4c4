"""Drop: local copies go only when the same objects were read and hashed somewhere else just now."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from mpop_store.errors import DamagedObjectError, MissingObjectError, StateError
from mpop_store.git.history import History
from mpop_store.objects.discarding import discard
from mpop_store.objects.store import ObjectStore
from mpop_store.transfer.accepting import leads_to
from mpop_store.transfer.git_commands import environment
from mpop_store.transfer.naming import Named, group_parts
from mpop_store.transfer.remote import Proof, Remote
from mpop_store.transfer.walking import Commits


@dataclass(frozen=True)
class Dropped:
    """What a drop freed. objects: dropped here; proven_at: the remote that holds them."""

    objects: int
    bytes: int
    proven_at: str


def drop(history: History, remote: Remote, named: Named, keep: Named, at: str, dry_run: bool = False) -> Dropped:
    """Drop the local copies of objects that records name, but for those that `keep` names too.

    Raises StateError, and drops nothing, unless the remote leads to the commit `at` and has every one of them,
    sound; what can be computed again stays here where it does not. dry_run: prove it, drop nothing.
    """
    _require_commit(history, remote, at)
    store = history.objects.offline()
    kept = set(_objects_here(store, [*keep.groups, *keep.derived], keep.files))
    needed = [name for name in _objects_here(store, named.groups, named.files) if name not in kept]
    derived = [name for name in _objects_here(store, named.derived, ()) if name not in kept]
    proven = remote.have(needed, Proof.SOUND) if needed else []
    unproven = [name for name, known in zip(needed, proven, strict=True) if not known]
    if unproven:
        raise StateError(
            f"nothing was dropped: {len(unproven)} of {len(needed)} objects are not at {remote.address}, or are "
            f"damaged there (first: {unproven[0]}); `mpop push`, or run `mpop verify` there"
        )
    also = remote.have(derived, Proof.SOUND) if derived else []
    names = frozenset([*needed, *(name for name, known in zip(derived, also, strict=True) if known)])
    freed = sum(map(store.size, names)) if dry_run else discard(history, names)
    return Dropped(len(names), freed, remote.address)


def _require_commit(history: History, remote: Remote, at: str) -> None:
    """The remote must need the objects itself, or else its garbage collection may take them tomorrow."""
    commits, variables = Commits(history), environment(history.git_directory)
    for oid in remote.refs().values():
        if commits.contains(oid) and leads_to(variables, commits.peeled(oid), at):
            return
    raise StateError(
        f"nothing was dropped: {remote.address} has no branch that leads to commit {at[:10]}; `mpop push` first"
    )


def _objects_here(objects: ObjectStore, groups: Iterable[str], files: Iterable[str]) -> list[str]:
    """The objects of groups, and files, that are here; a group that cannot be read stays as it is."""
    names = dict.fromkeys(files)
    for group in groups:
        with suppress(MissingObjectError, DamagedObjectError):
            names.update(dict.fromkeys(group_parts(objects, group)))
    return [name for name in names if objects.has(name)]
