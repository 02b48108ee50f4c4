"""Which objects the other side lacks, and sending them: those it has do not travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mpop_store.errors import DamagedObjectError, MissingObjectError
from mpop_store.git.history import History
from mpop_store.objects.receiving import Receiver
from mpop_store.objects.store import ObjectStore
from mpop_store.progress import Progress, silent
from mpop_store.transfer.naming import Named, group_parts
from mpop_store.transfer.remote import ObjectFile, Proof, Remote


def lacking(history: History, remote: Remote, named: Named) -> list[str]:
    """Objects to send, parts of a group before the group, so that a group that is there is always complete.

    Raises MissingObjectError for what neither side has; derived groups may be missing here.
    """
    wanted = [*named.groups, *(group for group in named.derived if is_whole(history.objects, group))]
    complete = remote.have(wanted, Proof.COMPLETE) if wanted else []
    incomplete = [group for group, there in zip(wanted, complete, strict=True) if not there]
    parts = [part for group in incomplete for part in _parts(history.objects, group, remote)]
    candidates = list(dict.fromkeys([*parts, *named.files]))
    there = remote.have(candidates) if candidates else []
    missing = [name for name, known in zip(candidates, there, strict=True) if not known]
    history.objects.prefetch(missing)  # of a lazy clone: from where they are
    return missing


def is_whole(objects: ObjectStore, group: str) -> bool:
    """Whether a group is here, with all that it consists of."""
    if not objects.has(group):
        return False
    try:
        return all(objects.has(part) for part in group_parts(objects.offline(), group))
    except (MissingObjectError, DamagedObjectError):
        return False


def _parts(objects: ObjectStore, group: str, remote: Remote) -> list[str]:
    try:
        return group_parts(objects, group)
    except MissingObjectError as error:
        raise MissingObjectError(
            f"group {group} is neither here nor at {remote.address}; run `mpop fetch --all-data`, then push again"
        ) from error


def send(objects: ObjectStore, remote: Remote, names: Sequence[str], progress: Progress) -> int:
    """Send objects; returns their bytes."""
    total = sum(map(objects.size, names))
    sent = 0

    def files() -> Iterator[ObjectFile]:
        nonlocal sent
        for name in names:
            blob = objects.read_file(name)
            yield name, blob
            sent += len(blob)
            progress("sending", sent, total)

    if names:
        remote.put_objects(files())
    return sent


def bring(objects: ObjectStore, remote: Remote, names: Iterable[str], progress: Progress = silent) -> int:
    """Receive those objects that are not here; returns their bytes. Raises MissingObjectError.

    Each is checked, and kept as soon as it has arrived.
    """
    missing = [name for name in dict.fromkeys(names) if not (objects.freshen(name) or objects.has(name))]
    if not missing:
        return 0
    stream = remote.objects(missing)
    with Receiver(objects) as receiver:
        for name, blob in stream.objects:
            receiver.add(name, blob)
            progress("receiving", receiver.bytes, max(stream.size, receiver.bytes))
    return receiver.bytes


def bring_named(objects: ObjectStore, remote: Remote, named: Named, progress: Progress) -> int:
    """Receive what records name, manifests first, for they say which parts there are; derived groups if whole."""
    derived = list(named.derived)
    whole = remote.have(derived, Proof.COMPLETE) if derived else []
    groups = [*named.groups, *(group for group, there in zip(derived, whole, strict=True) if there)]
    received = bring(objects, remote, groups, progress)
    parts = [part for group in groups for part in group_parts(objects.offline(), group)]
    return received + bring(objects, remote, [*parts, *named.files], progress)
