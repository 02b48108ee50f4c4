"""Garbage collection: objects that nothing leads to any more go to the trash, and from there, later, away.

Others write meanwhile. What they need is safe because

* nothing is touched that is newer than the oldest live lease, less a margin, and an object that is put again
  counts as new;
* what is needed is found without the lock first, then once more under it, for the references that moved meanwhile;
* what was promised to others is needed, and nobody promises anything while the lock of maintenance is held;
* objects are moved, not deleted, and whoever asks for one in the trash gets it back;
* before a reference moves, under the same lock, its writer makes sure that all objects are here.

A pack in which much is garbage is copied without it before the lock is taken; under the lock it goes to the trash
as a whole. Killed at any moment, this leaves at worst some objects twice.
"""

from __future__ import annotations

import contextlib
import datetime
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mpop_store.errors import DamagedObjectError, StoreError
from mpop_store.git.history import History
from mpop_store.git.operations import Operation
from mpop_store.locking import Lock
from mpop_store.machines import silent_s
from mpop_store.objects.leases import Lease
from mpop_store.objects.pack_stream import PackStream
from mpop_store.objects.packs import read_table
from mpop_store.objects.promises import GivenPromises
from mpop_store.objects.store import ObjectStore
from mpop_store.objects.trash import Generation
from mpop_store.references import no_references
from mpop_store.upkeep.reachable import Reachable

DAY_S = 86400.0
OPERATIONS_DAYS = 30.0
"""So long what a reference has left can be returned to by `mpop undo`."""
TRASH_DAYS = 7.0
MARGIN_S = 3600.0
"""Writers without a lease, and clocks that disagree, are given so long."""
REWRITE_ABOVE = 0.1
"""Part of a pack that must be garbage for the rest to be copied."""


@dataclass(frozen=True)
class Collection:
    """What a garbage collection found and did. Bytes are those on disk."""

    live_objects: int
    """Objects that are needed."""
    garbage_objects: int
    """Objects moved to the trash, or with dry_run those that would be."""
    garbage_bytes: int
    recent_objects: int
    """Objects that nothing leads to but that are too new, or too few in their pack, to be touched."""
    trash_bytes: int
    """What waits in the trash afterwards, live parts of rewritten packs included."""
    deleted_bytes: int
    """What was deleted from the trash, or with dry_run would be."""
    leases: list[str]
    """Writers at work, whose objects are left alone."""


@dataclass
class _Garbage:
    """What is to be moved. packs: pack -> its garbage; loose and packs give bytes on disk by name."""

    loose: dict[str, int] = field(default_factory=dict)
    packs: dict[Path, dict[str, int]] = field(default_factory=dict)
    left: int = 0

    @property
    def objects(self) -> int:
        return len(self.loose) + sum(len(inside) for inside in self.packs.values())

    @property
    def bytes(self) -> int:
        return sum(self.loose.values()) + sum(sum(inside.values()) for inside in self.packs.values())


def collect(
    history: History,
    *,
    dry_run: bool = False,
    empty_trash: bool = False,
    operations_days: float = OPERATIONS_DAYS,
    trash_days: float = TRASH_DAYS,
    margin_s: float = MARGIN_S,
) -> Collection:
    """Move garbage to the trash, and delete what has been there long enough, or with empty_trash everything.

    Raises DamagedObjectError or MissingObjectError when damage keeps it from knowing what is needed.
    """
    if history.references_of is no_references:
        raise ValueError("what records name must be known, or else all is garbage")
    objects = history.objects
    with Lock(history.private / "maintenance").held(), objects.leases.hold("gc") as own:
        needed = Reachable(history)
        promises = GivenPromises(history.private)
        needed.names.update(promises.kept(own.started).hex())
        _mark(history, needed, own.started, operations_days)
        others = _others(objects, own)
        garbage = _find(objects, needed.names, _oldest(others, own.started) - margin_s, own.started)
        live = sum(name in needed.names for name in objects.names())
        if dry_run:
            old = _expired(objects, others, own.started, trash_days, empty_trash)
            waiting = sum(generation.size() for generation in objects.trash.generations())
            sizes = (waiting, sum(generation.size() for generation in old))
            return _report(live, garbage, *sizes, others)
        with _readable_errors(objects):
            _copy_live(objects, garbage)
        with history.locked():
            _mark(history, needed, own.started, operations_days)
            others = _others(objects, own)
            moved = _move(objects, garbage, needed.names, _oldest(others, own.started) - margin_s, own.started)
            with _readable_errors(objects):
                objects.trash.redate(own.started)
        deleted = 0
        for generation in _expired(objects, others, own.started, trash_days, empty_trash):
            deleted += generation.size()
            with _readable_errors(objects):
                generation.delete()
        objects.clean()
        objects.leases.clean(own.started)
        promises.clean(own.started)
        waiting = sum(generation.size() for generation in objects.trash.generations())
        return _report(live, moved, waiting, deleted, others)


def _report(live: int, garbage: _Garbage, waiting: int, deleted: int, others: list[Lease]) -> Collection:
    names = [str(lease) for lease in others]
    return Collection(live, garbage.objects, garbage.bytes, garbage.left, waiting, deleted, names)


def _others(objects: ObjectStore, own: Lease) -> list[Lease]:
    return [lease for lease in objects.leases.live(own.started) if lease.id != own.id]


def _oldest(leases: Iterable[Lease], now: float) -> float:
    return min([now, *(lease.started for lease in leases)])


def _mark(history: History, needed: Reachable, now: float, operations_days: float) -> None:
    """Note what references, working state and recent operations need. now: seconds since 1970."""
    tips = [history.resolve(name) for name in history.refs.all()]
    head = history.head
    needed.add_tips([*tips, *([] if head is None else [head])])
    needed.add_records(history.entries().values())
    for commit in _undoable(history.operations.all(), now, now - operations_days * DAY_S):
        with contextlib.suppress(DamagedObjectError):  # Git itself may have dropped it
            needed.add_history([commit])


def _undoable(operations: list[Operation], now: float, since: float) -> set[str]:
    """Commits that references were at or went to."""
    times = _times(operations, now)
    recent = [operation for operation, time in zip(operations, times, strict=True) if time >= since]
    values = {value for operation in recent for move in operation.moves.values() for value in move}
    return {value for value in values if value is not None and not value.startswith("ref:")}


def _times(operations: list[Operation], now: float) -> list[float]:
    """When operations took place, in seconds since 1970, with what their order says of a clock that was wrong.

    None took place before those that the log has before it. One from the future is taken to be as new as it can
    be: as the next one that is not, or as now.
    """
    latest, times = 0.0, []
    for operation in operations:
        time = datetime.datetime.fromisoformat(operation.time).timestamp()
        latest = max(latest, time) if time <= now else latest
        times.append(latest if time <= now else None)
    next_known, found = now, []
    for time in reversed(times):
        next_known = next_known if time is None else time
        found.append(next_known)
    return found[::-1]


def _find(objects: ObjectStore, needed: set[str], cutoff: float, now: float) -> _Garbage:
    """What nothing leads to. cutoff: what was used later is left alone; both in seconds since 1970."""
    garbage = _Garbage()
    for name in objects.loose.names():
        if name not in needed:
            with contextlib.suppress(FileNotFoundError):  # has just been packed
                path = objects.path(name)
                if now - silent_s(path, now) < cutoff:
                    garbage.loose[name] = path.stat().st_size
                else:
                    garbage.left += 1
    for pack in objects.packed.packs():
        with contextlib.suppress(FileNotFoundError, DamagedObjectError):  # the latter is for `mpop verify`
            inside = {name: length for name, _, length in read_table(pack).rows() if name not in needed}
            found = pack.stat()
            is_old = now - silent_s(pack, now) < cutoff
            if inside and is_old and sum(inside.values()) > REWRITE_ABOVE * found.st_size:
                garbage.packs[pack] = inside
            else:
                garbage.left += len(inside)
    return garbage


def _copy_live(objects: ObjectStore, garbage: _Garbage) -> None:
    """Write what is not garbage to new packs; a pack in which something is damaged is left to `mpop verify`."""
    with PackStream(objects.packed.folder) as stream:
        for pack, inside in list(garbage.packs.items()):
            try:
                stream.copy(pack, lambda name, inside=inside: name not in inside)
            except (DamagedObjectError, FileNotFoundError):
                garbage.left += len(garbage.packs.pop(pack))


def _move(objects: ObjectStore, garbage: _Garbage, needed: set[str], cutoff: float, now: float) -> _Garbage:
    """Move what still is garbage to the trash; under the lock. Returns what was moved."""
    moved = _Garbage(left=garbage.left)
    generation = objects.trash.at(math.ceil(now))
    with _readable_errors(objects):
        for name, size in garbage.loose.items():
            with contextlib.suppress(FileNotFoundError):
                if name in needed or objects.path(name).stat().st_mtime >= cutoff:
                    moved.left += 1
                else:
                    generation.move_object(objects.path(name), name)
                    moved.loose[name] = size
        for pack, inside in garbage.packs.items():
            with contextlib.suppress(FileNotFoundError):
                if not needed.isdisjoint(inside) or pack.stat().st_mtime >= cutoff:
                    moved.left += len(inside)
                else:
                    generation.move_pack(pack)
                    moved.packs[pack] = inside
    objects.packed.refresh()
    return moved


def _expired(
    objects: ObjectStore, others: list[Lease], now: float, trash_days: float, empty_trash: bool
) -> list[Generation]:
    """What may be deleted from the trash: no writer that is at work can have known it when it was still in use."""
    oldest = _oldest(others, math.inf)
    limit = math.inf if empty_trash else now - trash_days * DAY_S
    return [one for one in objects.trash.generations() if one.time <= limit and one.time < oldest]


@contextlib.contextmanager
def _readable_errors(objects: ObjectStore) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write to {objects.root.parent}: {error.strerror or error}") from error
