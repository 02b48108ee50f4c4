"""Where requests live: each is a chain of small Git commits under refs/mpop/requests/<id>.

The tree of such a commit holds `request.json` and nothing else. Its parents are the commits of the chain before
it (two where people who worked apart are brought together) and, when it offers a commit, that commit: so whoever
has the reference has everything that the request ever offered, and no server is needed to keep it. A chain begins
with a commit that has no parents; the first parent of every other is of the chain, so that what a step changes is
always a request and never a population.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mpop.errors import InputError, MpopError, NotFoundError, StateError
from mpop.requests import records
from mpop.requests.records import Event, RequestRecord, SpeciesOffer
from mpop_store.git.history import History

PREFIX = "refs/mpop/requests/"
FILE = "request.json"
SHORTEST = 4
"""Digits of an id that are enough if no other id begins with them."""


@dataclass(frozen=True)
class Request:
    """A request as the chain's newest commit, `tip`, has it."""

    record: RequestRecord
    tip: str

    @property
    def id(self) -> str:
        """Its id, 16 hex digits."""
        return self.record.id

    @property
    def offered(self) -> str:
        """The commit that it offers now."""
        return self.record.offered


@dataclass(frozen=True)
class Unreadable:
    """A reference that should lead to a request, and does not."""

    ref: str
    problem: str


class Requests:
    """The merge requests of one population."""

    def __init__(self, history: History) -> None:
        self._history = history

    def all(self) -> list[Request]:
        """Every request that can be read, in the order in which they were opened."""
        return self.read()[0]

    def read(self) -> tuple[list[Request], list[Unreadable]]:
        """Every request, in the order in which they were opened, and what lies under the requests' references and
        is none; that is to be reported, and otherwise left alone."""
        found: list[Request] = []
        unreadable: list[Unreadable] = []
        refs = self._history.refs.all(PREFIX)
        self._history.vet_together(refs.values())
        for ref, tip in sorted(refs.items()):
            try:
                found.append(self._read(ref.removeprefix(PREFIX), tip))
            except MpopError as error:
                unreadable.append(Unreadable(ref, str(error)))
        return sorted(found, key=lambda one: (one.record.opening.order, one.id)), unreadable

    def find(self, wanted: str) -> Request:
        """The request with an id, or with an id that begins so. Raises NotFoundError or InputError."""
        refs = self._history.refs.all(PREFIX)
        ids = [ref.removeprefix(PREFIX) for ref in refs]
        matching = [one for one in ids if one == wanted] or [
            one for one in ids if len(wanted) >= SHORTEST and one.startswith(wanted)
        ]
        if len(matching) > 1:
            raise InputError(f"several requests begin with {wanted}: {', '.join(sorted(matching))}")
        if not matching:
            raise NotFoundError(
                f"no request {wanted!r} in this population; `mpop request list` shows those there are"
            )
        return self._read(matching[0], refs[PREFIX + matching[0]])

    def open(
        self, title: str, onto: str, species: SpeciesOffer | None, offered: str, message: str = ""
    ) -> Request:
        """Offer a commit for a branch."""
        who, time = self._history.author()
        opening = records.event("open", 1, time, who, message, offered)
        record = records.opened(title, onto, species, opening)
        ref = PREFIX + record.id
        with self._history.locked():
            if self._history.refs.get(ref) is not None:
                raise StateError(f"request {record.id} offers just this already")
            message = f"Open request {record.id}: {record.title}"
            root = self._history.write_commit(None, {FILE: record.model_dump(mode="json")}, [], message)
            return self._write(record, [root, offered], None, message)

    def add(
        self, wanted: str, kind: Literal["update", "merge", "close"], message: str = "", commit: str | None = None
    ) -> Request:
        """Add an event to an open request. Raises StateError when it is not open any more."""
        with self._history.locked():
            request = self.find(wanted)
            record = request.record
            if record.state != "open":
                raise StateError(f"request {record.id} is {record.state} already; open a new one")
            who, time = self._history.author()
            event = records.event(kind, record.next_number, time, who, message, commit)
            parents = [request.tip] + ([event.commit] if kind == "update" and event.commit else [])
            words = {"update": "Update", "merge": "Merge", "close": "Close"}[kind]
            return self._write(
                records.with_event(record, event), parents, request.tip, f"{words} request {record.id}"
            )

    def unite(self, wanted: str, other: str) -> Request:
        """Bring in another chain of the same request, made apart. other: its newest commit, which is here."""
        with self._history.locked():
            theirs = self._read(wanted, other)
            if self._history.refs.get(PREFIX + wanted) is None:
                return self._point(theirs, None)
            ours = self.find(wanted)
            if self._history.leads_to(ours.tip, other):
                return ours
            if self._history.leads_to(other, ours.tip):
                return self._point(theirs, ours.tip)
            record = records.united(ours.record, theirs.record)
            return self._write(record, [ours.tip, other], ours.tip, f"Unite what was done apart in {record.id}")

    def _point(self, request: Request, old: str | None) -> Request:
        ref = PREFIX + request.id
        self._history.refs.update({ref: (old, request.tip)}, f"receive request {request.id}")
        return request

    def _write(self, record: RequestRecord, parents: Sequence[str], old: str | None, message: str) -> Request:
        history = self._history
        content = {FILE: record.model_dump(mode="json")}
        tip = history.write_commit(None, content, parents, message)
        history.make_durable()
        history.refs.update({PREFIX + record.id: (old, tip)}, f"request: {message}")
        return Request(record, tip)

    def _read(self, name: str, tip: str) -> Request:
        """The request under a reference, with its whole chain: events may be added, never taken back."""
        record = self._record(tip)
        if record is None or record.id != name:
            raise StateError(f"{PREFIX}{name} does not lead to a request of that id")
        if record.offered not in self._offered_along(tip, set(record.events)):
            raise StateError(f"request {name} offers commit {record.offered[:10]}, which it does not bring along")
        return Request(record, tip)

    def _record(self, commit: str) -> RequestRecord | None:
        blob = self._history.find(FILE, commit)
        return None if blob is None else records.parse(self._history.load(blob), f"{FILE} in {commit[:10]}")

    def _offered_along(self, tip: str, events: set[Event]) -> set[str]:
        """The commits that the chain brings along as parents. Raises StateError where events were taken back."""
        brought: set[str] = set()
        waiting, seen = [tip], {tip}
        with self._history.as_it_is():  # who has read the record of the tip has had all behind it checked
            while waiting:
                for parent in map(str, self._history.commit_object(waiting.pop()).parent_ids):
                    if parent in seen:
                        continue
                    seen.add(parent)
                    before = self._record(parent)
                    if before is None:
                        brought.add(parent)
                        continue
                    if not events.issuperset(before.events):
                        raise StateError(f"request {before.id} had events before that are gone; do not trust it")
                    waiting.append(parent)
        return brought
