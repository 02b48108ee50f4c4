"""Promises: what one store keeps for another, so that the other may do without.

Who gives a promise lists the objects in a file, and keeps them: garbage collection counts them as needed, and
`mpop drop` leaves them alone. It is renewed each time that its holder asks: the file's modification time is that
of the last time, by the clock of the file system. When it has not been for long, garbage collection takes note,
and only days after that the promise ends, so that a clock that is wrong, or was when it was given, ends none.

Who holds one lists them too: an object that is missing is elsewhere if it is in such a list, and else it is lost.
A second kind of list, `seen`, holds what a clone left at a remote on purpose: the remote said that it has it, and
promised nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mpop_store.errors import DamagedObjectError, StateError
from mpop_store.hashing import hash_bytes
from mpop_store.machines import silent_s
from mpop_store.objects.names import NameFile, NameSet

PROMISE_DAYS = 90.0
"""So long a promise holds after its holder asked for it last."""
GRACE_DAYS = 10.0
"""So long who gave it keeps it after a garbage collection has noticed that."""
MAX_HOLDERS = 1000
"""Others that one store gives promises to."""
DAY_S = 86400.0


@dataclass(frozen=True)
class Holder:
    """Who asks for a promise.

    ticket: 64 hex digits that the two stores share, without which nobody can take the promise back; store: its id;
    who: user, machine and folder, for people.
    """

    ticket: str
    store: str
    who: str

    @property
    def promise(self) -> str:
        """The id of what it was promised, 32 hex digits."""
        return hash_bytes(bytes.fromhex(self.ticket))[:32]


@dataclass(frozen=True)
class Promised:
    """A promise that was given. until, and noticed, when it was first seen to be over: seconds since 1970."""

    id: str
    store: str
    who: str
    objects: NameSet
    until: float
    noticed: float | None = None

    def has_ended(self, now: float) -> bool:
        """Whether nothing need be kept for it any more."""
        return now > self.until and self.noticed is not None and now > self.noticed + GRACE_DAYS * DAY_S


class GivenPromises:
    """What was promised to others. To be changed, and relied on, under the lock of maintenance."""

    def __init__(self, private: Path) -> None:
        self._folder = private / "promises" / "given"
        self._ending = private / "promises" / "ending"

    def ids(self) -> list[str]:
        """Of every promise, those too that cannot be read."""
        return _files(self._folder)

    def all(self) -> list[Promised]:
        """Every promise. Raises DamagedObjectError where it is not known what was promised."""
        return [self.read(name) for name in self.ids()]

    def read(self, name: str) -> Promised:
        """The promise with an id. Raises as `all` does."""
        path = self._folder / name
        try:
            file = NameFile.read(path)
        except DamagedObjectError as error:
            raise DamagedObjectError(
                f"{error}: what was promised to another store is not known; `mpop remote release {name[:10]}` "
                "takes that promise back, if its holder can do without"
            ) from error
        until = path.stat().st_mtime + PROMISE_DAYS * DAY_S
        noticed = None
        with contextlib.suppress(FileNotFoundError):
            noticed = (self._ending / name).stat().st_mtime
        return Promised(
            name, str(file.about.get("store")), str(file.about.get("who")), file.objects, until, noticed
        )

    def kept(self, now: float) -> NameSet:
        """All objects that must be kept for others. now: seconds since 1970 by the clock of the file system."""
        names = NameSet()
        for promise in self.all():
            if not promise.has_ended(now):
                names |= promise.objects
        return names

    def add(self, holder: Holder, names: Iterable[str]) -> int:
        """Promise objects, and renew what was promised before; returns how many that are. Raises StateError."""
        path = self._folder / holder.promise
        (self._ending / holder.promise).unlink(missing_ok=True)
        known = self.read(holder.promise).objects if path.exists() else NameSet()
        new = known | NameSet(names)
        if len(new) == len(known):
            if len(known):
                os.utime(path)
            return len(known)
        if not len(known) and len(_files(self._folder)) >= MAX_HOLDERS:
            raise StateError(f"promises were given to {MAX_HOLDERS} others already; `mpop remote promises` there")
        NameFile({"store": holder.store, "who": holder.who}, objects=new).write(path)
        return len(new)

    def take_back(self, promise: str, names: Iterable[str] | None = None) -> None:
        """Keep these objects no longer for a holder; None is all of them, also where nobody knows which."""
        path = self._folder / promise
        with contextlib.suppress(FileNotFoundError):
            if names is None:
                path.unlink()
                return
            file = NameFile.read(path)
            left = file.objects - NameSet(names)
            if not len(left):
                path.unlink()
            elif len(left) < len(file.objects):
                NameFile(file.about, objects=left).write(path)

    def clean(self, now: float) -> None:
        """Remove promises that have ended, and note which are over. Raises OSError."""
        for promise in self.all():
            note = self._ending / promise.id
            if promise.has_ended(now):
                self.take_back(promise.id)
                note.unlink(missing_ok=True)
            elif now <= promise.until:
                silent_s(self._folder / promise.id, now)  # dates it anew if it is from the future
                note.unlink(missing_ok=True)
            elif promise.noticed is None:
                note.parent.mkdir(exist_ok=True)
                note.touch()
            else:
                silent_s(note, now)


@dataclass(frozen=True)
class Place:
    """A store somewhere else. store: its id, "" where it says none; remote, address: how it is reached."""

    store: str
    remote: str
    address: str

    @property
    def key(self) -> str:
        """Name of the files of what it has."""
        return self.store or hash_bytes(self.address.encode())[:32]


@dataclass(frozen=True)
class Held:
    """What a store somewhere else has for us, kept in a file.

    holder: our id when it was noted. groups: with all that they consist of. renewed: seconds since 1970, when it
    was noted or asked for last. until: so long it is promised; None of what was only seen there.
    """

    path: Path
    place: Place
    holder: str
    groups: NameSet
    objects: NameSet
    renewed: float
    until: float | None

    def __contains__(self, name: str) -> bool:
        return name in self.objects or name in self.groups


class HeldPromises:
    """What others have for us; changed under the population's lock."""

    def __init__(self, private: Path) -> None:
        self._folder = private / "promises"

    def any(self) -> bool:
        """Whether anything is noted; nothing is read."""
        return any(_files(self._folder / kind) for kind in ("received", "seen"))

    def all(self) -> Iterator[Held]:
        """Everything that is kept, a damaged file apart: without it, what was in it is lost until it is found."""
        for kind in ("received", "seen"):
            for name in _files(self._folder / kind):
                with contextlib.suppress(DamagedObjectError):
                    yield self._read(self._folder / kind / name)

    def damaged(self) -> list[Path]:
        """Files that cannot be read."""
        found: list[Path] = []
        for kind in ("received", "seen"):
            for name in _files(self._folder / kind):
                try:
                    self._read(self._folder / kind / name)
                except DamagedObjectError:
                    found.append(self._folder / kind / name)
        return found

    def _read(self, path: Path) -> Held:
        file, renewed = NameFile.read(path), path.stat().st_mtime
        place = Place(*(str(file.about.get(key, "")) for key in ("store", "remote", "address")))
        until = renewed + PROMISE_DAYS * DAY_S if path.parent.name == "received" else None
        return Held(path, place, str(file.about.get("holder", "")), file.groups, file.objects, renewed, until)

    def has_seen(self, place: Place) -> bool:
        """Whether it was noted before what was left at a store."""
        return (self._folder / "seen" / place.key).exists()

    def promised(self, place: Place) -> NameSet:
        """What a store has promised so far."""
        with contextlib.suppress(FileNotFoundError, DamagedObjectError):
            return self._read(self._folder / "received" / place.key).objects
        return NameSet()

    def seen_groups(self, place: Place) -> NameSet:
        """The groups that were left at a store, which has them whole."""
        with contextlib.suppress(FileNotFoundError, DamagedObjectError):
            return self._read(self._folder / "seen" / place.key).groups
        return NameSet()

    def add_promised(self, place: Place, holder: str, names: Iterable[str]) -> None:
        """Note that objects were promised, durable. holder: our id."""
        self._add(self._folder / "received" / place.key, place, holder, (), names)

    def add_seen(self, place: Place, holder: str, groups: Iterable[str], names: Iterable[str]) -> None:
        """Note that groups and objects were left at a store, which has them."""
        self._add(self._folder / "seen" / place.key, place, holder, groups, names)

    def _add(self, path: Path, place: Place, holder: str, groups: Iterable[str], names: Iterable[str]) -> None:
        known = NameFile()
        with contextlib.suppress(FileNotFoundError, DamagedObjectError):
            known = NameFile.read(path)
        new = known.groups | NameSet(groups), known.objects | NameSet(names)
        NameFile(vars(place) | {"holder": holder}, *new).write(path)

    def move(self, held: Held, place: Place, holder: str, gone: Iterable[str]) -> Held:
        """Note what was seen at a store under another id, but for what is gone: it was restored from a backup, or
        is reached anew."""
        lost = NameSet(gone)
        self.add_seen(place, holder, (held.groups - lost).hex(), (held.objects - lost).hex())
        held.path.unlink()
        return self._read(held.path.with_name(place.key))

    def take_out(self, held: Held, names: Iterable[str]) -> None:
        """Note that some of what was held is not there after all."""
        gone = NameSet(names)
        left = NameFile(vars(held.place) | {"holder": held.holder}, held.groups - gone, held.objects - gone)
        if len(left.groups) or len(left.objects):
            left.write(held.path)
        else:
            held.path.unlink()


def _files(folder: Path) -> list[str]:
    """Names of the files of promises in a folder."""
    try:
        return sorted(name for name in os.listdir(folder) if len(name) == 32)
    except FileNotFoundError:
        return []
