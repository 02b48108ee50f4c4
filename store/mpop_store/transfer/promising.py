"""Asking others to keep objects for us, asking whether they still do, and giving back what need not be kept."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mpop_store.errors import DamagedObjectError, StateError
from mpop_store.git.history import History
from mpop_store.git.operations import who
from mpop_store.locking import Lock
from mpop_store.objects.promises import DAY_S, GivenPromises, Held, HeldPromises, Holder, Place
from mpop_store.transfer.remote import Proof, Remote

RENEWED_DAYS = 1.0
"""A promise is renewed when it is older, if there is an occasion."""


@dataclass(frozen=True)
class Asked:
    """What a remote answered when it was asked for what it has for us. names: how many objects and groups it was
    asked for; gone: those that it has not, or not sound."""

    place: Place
    names: int
    gone: list[str]


@contextmanager
def one_at_a_time(history: History) -> Iterator[None]:
    """Only one command of this store asks for promises or gives them back: what one of them gives back, another
    may have been promised just before. Nobody else waits for this lock."""
    with Lock(history.private / "promises.lock").held():
        yield


def holder_of(history: History, store: str) -> Holder:
    """As whom this store asks the one of an id for a promise."""
    with history.locked():
        own = history.identity.settle()
    return Holder(history.identity.ticket(store), own, f"{who()}:{history.git_directory}")


def due(history: History, place: Place, known: str | None, now: float) -> list[Held]:
    """What a store has for us and should be asked for again: what is not at this place any more under the id that
    was noted, since the store was restored from a backup; and promises that are a day old or were given to a store
    that we are a copy of.

    known: the id of the store that was met there last. now: seconds since 1970.
    """
    found: list[Held] = []
    for held in list(HeldPromises(history.private).all()):
        there, is_other = held.place, held.place.key != place.key
        if is_other and there.store != known and (there.remote, there.address) != (place.remote, place.address):
            continue
        is_old = held.holder != history.identity.id or abs(now - held.renewed) > RENEWED_DAYS * DAY_S
        if is_other or (held.until is not None and is_old):
            found.append(held)
    return found


def _move(history: History, remote: Remote, place: Place, held: Held) -> tuple[Held, list[str]]:
    """Note under its new id what a remote has of what was seen there; also returns what it has not any more."""
    objects, groups = held.objects.hex(), held.groups.hex()
    there = remote.have(objects) if objects else []
    whole = remote.have(groups, Proof.COMPLETE) if groups else []
    gone = [name for name, known in zip([*objects, *groups], [*there, *whole], strict=True) if not known]
    with history.locked():
        moved = HeldPromises(history.private).move(held, place, history.identity.settle(), gone)
    return moved, gone


def renew(history: History, remote: Remote, place: Place, held: Held) -> list[str]:
    """Renew what a remote has promised, or note what it still has; returns what is not there any more.

    A remote that does not know of all of what it promised is asked for it again.
    """
    if held.until is None:
        return _move(history, remote, place, held)[1]
    with one_at_a_time(history):
        holder = holder_of(history, place.store)
        if remote.promise(holder, [], Proof.PRESENT).total >= len(held.objects):
            _note(history, place, holder, [])
            return []
        return _ask_again(history, remote, place, held, holder, held.objects.hex(), Proof.PRESENT)


def _ask_again(
    history: History, remote: Remote, place: Place, held: Held, holder: Holder, names: Sequence[str], proof: Proof
) -> list[str]:
    """Have objects promised again; those that are refused are noted as such, and returned."""
    answer = remote.promise(holder, names, proof)
    gone = [name for name, kept in zip(names, answer.kept, strict=True) if not kept]
    with history.locked():
        HeldPromises(history.private).take_out(held, names if held.place.key != place.key else gone)
    _note(history, place, holder, [name for name, kept in zip(names, answer.kept, strict=True) if kept])
    return gone


def _note(history: History, place: Place, holder: Holder, names: Sequence[str]) -> None:
    with history.locked():
        HeldPromises(history.private).add_promised(place, holder.store, names)


def ask(history: History, remote: Remote, place: Place, held: Held, sample: float, seed: int) -> Asked:
    """Have a remote read and hash what it has for us, or a sample of it, now; what it promised is renewed.

    sample: part of the names, from 0 to 1, chosen by the seed. What the remote has not is noted as lost.
    """
    chance = random.Random(seed)
    objects, groups = (
        [name for name in names.hex() if chance.random() < sample] for names in (held.objects, held.groups)
    )
    gone: list[str] = []
    if held.until is None:
        if held.place.key != place.key:
            held, gone = _move(history, remote, place, held)
        sound = remote.have(objects, Proof.SOUND) if objects else []
    else:
        with one_at_a_time(history):
            holder = holder_of(history, place.store)
            answer = remote.promise(holder, objects, Proof.SOUND)
            sound = answer.kept
            if answer.total < len(held.objects):
                gone = _ask_again(history, remote, place, held, holder, held.objects.hex(), Proof.PRESENT)
            _note(history, place, holder, [])
    whole = remote.have(groups, Proof.WHOLE) if groups else []
    asked = zip([*objects, *groups], [*sound, *whole], strict=True)
    gone = list(dict.fromkeys([*gone, *(name for name, there in asked if not there)]))
    if gone:
        with history.locked():
            for one in HeldPromises(history.private).all():
                if one.path in (held.path, held.path.with_name(place.key)):
                    HeldPromises(history.private).take_out(one, gone)
    return Asked(place, len(objects) + len(groups), gone)


def give_back(history: History, remote: Remote, held: Held) -> int:
    """Tell a remote that it need not keep objects for us any more; returns how many those are.

    Raises StateError while one of them is not here.
    """
    with one_at_a_time(history):
        store = history.objects.offline()
        names = held.objects.hex()
        missing = [name for name in names if not store.has(name)]
        if missing:
            raise StateError(
                f"{len(missing)} of {len(names)} objects that {held.place.remote} promised are not here (first: "
                f"{missing[0]}); `mpop fetch --all-data {held.place.remote}` brings them, then release it again"
            )
        with history.locked():
            HeldPromises(history.private).take_out(held, names)
        remote.release(holder_of(history, held.place.store), names)
        return len(names)


def take_back(history: History, promise: str) -> int:
    """End a promise that was given; returns how many objects it was about, 0 where its file is damaged."""
    given = GivenPromises(history.private)
    with Lock(history.private / "maintenance").held():
        try:
            count = len(given.read(promise).objects)
        except DamagedObjectError:
            count = 0
        given.take_back(promise)
    return count
