"""What is not here, because another store has it: which objects those are, whether they are still there, and
fetching others that were lost here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mpop.errors import MpopError
from mpop.exchange.rules import RULES
from mpop.exchange.selection import ALL, Data
from mpop_store.git.repository import Repository
from mpop_store.objects.names import NameSet
from mpop_store.objects.promises import Held, HeldPromises, Place
from mpop_store.transfer.promising import ask, renew
from mpop_store.transfer.remote import Proof, Remote
from mpop_store.transfer.remotes import Remotes, place_of
from mpop_store.transfer.sending import bring, is_whole


class Elsewhere:
    """What others have for a population.

    known: of remotes that are configured; forgotten: of those that were removed.
    """

    def __init__(self, repository: Repository) -> None:
        remotes = Remotes(repository)
        self._promises = HeldPromises(repository.private)
        self._objects = repository.objects.offline()
        self.known: list[Held] = []
        self.forgotten: list[Held] = []
        # remotes where something was left, of which nothing is noted
        self._lazy = {one.name for one in remotes.all().values() if one.data and Data.parse(one.data).kind != ALL}
        for held in self._promises.all():
            way = remotes.way_to(held.place)
            (self.forgotten if way is None else self.known).append(held)
            self._lazy -= set() if way is None else {way.name}

    def groups(self, names: Iterable[str]) -> list[str]:
        """Those of some groups that another store has with all that they consist of."""
        wanted = NameSet(names)
        return [name for held in self.known for name in (wanted & held.groups).hex()]

    def among(self, names: Iterable[str]) -> set[str]:
        """Those of some objects that another store has, as far as was noted by their own names."""
        wanted = NameSet(names)
        return {name for held in self.known for name in (wanted & (held.objects | held.groups)).hex()}

    def only_at(self, held: Held) -> tuple[list[str], list[str]]:
        """The objects and the groups that a store has that is no remote any more, and that are neither here nor,
        as far as was noted, at a remote."""
        objects, groups = (names.hex() for names in (held.objects, held.groups))
        there = self.among([*objects, *groups])
        store = self._objects
        return (
            [name for name in objects if not (name in there or store.has(name))],
            [name for name in groups if not (name in there or is_whole(store, name))],
        )

    def about_missing(self, name: str) -> str:
        """What is known of an object that is missing and that no remote has: how to come by it again, or ""."""
        for held in self.forgotten:
            if name in held:
                where = held.place.address
                return f": {where} has it, which is no remote any more; `mpop remote add NAME {where}`, then fetch"
        return ""

    def notes(self, now: float) -> list[str]:
        """What should be known of it beside. now: seconds since 1970."""
        lines = [
            f"{path} is damaged; `mpop fetch` notes again what is elsewhere" for path in self._promises.damaged()
        ]
        lines += [
            f"what was left at {name} was never noted by the mpop that cloned it; `mpop fetch {name}` notes it"
            for name in sorted(self._lazy)
        ]
        for held in self.known:
            if held.until is not None and held.until < now:
                lines.append(
                    f"the promise of {held.place.remote} to keep objects for us has run out; "
                    "`mpop verify --remote` renews it"
                )
        return lines


@dataclass(frozen=True)
class RemoteReport:
    """What others said when they were asked for what they have for us.

    asked: how many objects and groups; gone: the remote and the name of those that were not there, or not sound;
    unreachable: remotes, or places that are no remote any more, and why they could not be asked.
    """

    asked: int
    gone: list[tuple[str, str]]
    unreachable: list[str]

    @property
    def ok(self) -> bool:
        """Whether all that is elsewhere is there, as far as was asked."""
        return not (self.gone or self.unreachable)


def verify_elsewhere(repository: Repository, sample: float, seed: int) -> RemoteReport:
    """Have every store that has something for us read and hash it now, or a sample, and renew its promise."""
    remotes = Remotes(repository)
    _find_what_was_forgotten(repository)
    elsewhere = Elsewhere(repository)
    asked: int = 0
    gone: list[tuple[str, str]] = []
    unreachable = [
        f"{held.place.address}, which has {len(held.objects) + len(held.groups)} objects and groups for us, is no "
        f"remote any more; `mpop remote add NAME {held.place.address}`"
        for held in elsewhere.forgotten
        if any(elsewhere.only_at(held))
    ]
    ways = [(held, remotes.way_to(held.place)) for held in elsewhere.known]
    for held, settings in ways:
        assert settings is not None  # or it would be forgotten
        try:
            with remotes.connect(settings, RULES if held.until is not None else None) as remote:
                if held.until is not None:
                    remote.identify()
                place = place_of(settings, remote)
                answer = ask(repository, remote, place, held, sample, seed)
            remotes.meet(settings, place)
        except MpopError as error:
            unreachable.append(f"{settings.name}: {error}")
            continue
        asked += answer.names
        gone += [(settings.name, name) for name in answer.gone]
    return RemoteReport(asked, gone, unreachable)


def _find_what_was_forgotten(repository: Repository) -> None:
    """Note what a store has for us that is no remote any more, if a remote that was fetched from has all of it: of
    that it was noted which groups it has, while what was dropped was promised object by object.

    Part of it would not do: with the manifest of a group noted, and a part not, verify would miss nothing.
    """
    remotes, elsewhere = Remotes(repository), Elsewhere(repository)
    lacking = [pair for held in elsewhere.forgotten if any(pair := elsewhere.only_at(held))]
    ways = [way for held in elsewhere.known if (way := remotes.way_to(held.place)) is not None]
    for settings in dict.fromkeys(ways) if lacking else ():
        with suppress(MpopError), remotes.connect(settings) as remote:  # who cannot be reached is reported later
            for objects, groups in lacking:
                there = remote.have(objects) if objects else []
                whole = remote.have(groups, Proof.COMPLETE) if groups else []
                if all(there) and all(whole):
                    place = place_of(settings, remote)
                    with repository.locked():
                        own = repository.identity.settle()
                        HeldPromises(repository.private).add_seen(place, own, groups, objects)


def renew_all(repository: Repository, remote: Remote, place: Place, promises: Sequence[Held]) -> None:
    """Renew what a remote has promised, and say so where something is not there any more."""
    gone = [name for held in promises for name in renew(repository, remote, place, held)]
    if gone:
        text = "mpop: warning: %s objects that were left at %s are not there any more (first: %s); `mpop verify`"
        logging.getLogger("mpop").warning(text, len(gone), place.remote, gone[0])


def fetch_lost(repository: Repository, names: Iterable[str]) -> list[str]:
    """Fetch objects from any remote that has them, sound; returns why what was not fetched could not be."""
    remotes, reasons = Remotes(repository), []
    objects, wanted = repository.objects.offline(), list(names)
    for settings in remotes.all().values():
        missing = [name for name in wanted if not objects.has(name)]
        if not missing:
            break
        try:
            with remotes.connect(settings) as remote:
                there = remote.have(missing, Proof.SOUND)
                bring(objects, remote, [name for name, known in zip(missing, there, strict=True) if known])
                if not all(there):
                    reasons.append(
                        f"{settings.name} has not got {there.count(False)} of {len(missing)}, or damaged"
                    )
        except MpopError as error:
            reasons.append(f"{settings.name}: {error}")
    if not remotes.all():
        reasons.append("there is no remote to fetch from; `mpop remote add NAME ADDRESS`")
    return reasons
