"""What a merge request says: who offers which commit for which branch, and everything that happened since.

A request is a set of events. Its state and the commit that it offers follow from them, so two people who add
events apart are brought together by uniting the sets: nothing is lost, and the order in which they meet does not
matter. Every event has a number, one more than the largest that its author knew of, and they are read in that
order whatever the clocks of two labs say.

A request comes from strangers: everything in it has a bound, and nothing in it can speak to a terminal.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mpop.errors import InputError, StateError
from mpop_store import canonical_json, hash_bytes, version_of

MAX_EVENTS = 1000
MAX_LINE = 300
MAX_TEXT = 20_000

State = Literal["open", "merged", "closed"]


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("one line of printable characters")
    return text


def _readable(text: str) -> str:
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("printable characters")
    return text


def _moment(text: str) -> str:
    if datetime.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time with its zone")
    return text


Line = Annotated[str, Field(max_length=MAX_LINE), AfterValidator(_one_line)]
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_readable)]
Moment = Annotated[str, Field(max_length=40), AfterValidator(_moment)]
CommitId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
RecordId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Event(_Part):
    """Something that happened to a request."""

    kind: Literal["open", "update", "merge", "close"]
    number: int = Field(ge=1, le=2**31)
    time: Moment
    by: Line
    message: Text = ""
    commit: CommitId | None = None
    """open, update: the commit offered from now on; merge: the commit that joined it to the branch."""

    @model_validator(mode="after")
    def _has_its_commit(self) -> Event:
        if (self.commit is None) != (self.kind == "close"):
            raise ValueError(f"{self.kind} event and commit")
        return self

    @property
    def order(self) -> tuple[int, datetime.datetime, bytes]:
        """What events are sorted by; the same for everybody."""
        return (
            self.number,
            datetime.datetime.fromisoformat(self.time),
            canonical_json(self.model_dump(mode="json")),
        )


class SpeciesOffer(_Part):
    """The one species that a request offers."""

    id: RecordId
    name: Line


class RequestRecord(_Part):
    """`request.json`. `state` and `offered` follow from the events, and are written for readers of Git alone."""

    kind: Literal["request"] = "request"
    format: Literal[1] = 1
    id: RecordId
    title: Line
    onto: Line
    """Name of the branch that it is offered for."""
    species: SpeciesOffer | None = None
    """None: all that the offered commit has and the branch has not."""
    state: State
    offered: CommitId
    events: Annotated[list[Event], Field(min_length=1, max_length=MAX_EVENTS)]
    """In order; the first opened the request."""
    version: str = ""

    @model_validator(mode="after")
    def _follows_from_its_events(self) -> RequestRecord:
        if [one.kind for one in self.events].count("open") != 1 or self.events[0].kind != "open":
            raise ValueError("the first event, and no other, opens a request")
        if self.events != _ordered(self.events):
            raise ValueError("events in order, each once")
        if self.id != identity(self.title, self.onto, self.species, self.events[0]):
            raise ValueError("an id that follows from how the request was opened")
        if (self.state, self.offered) != (_state(self.events), _offered(self.events)):
            raise ValueError("a state and an offered commit that follow from the events")
        return self

    @property
    def opening(self) -> Event:
        """The event that made the request."""
        return self.events[0]

    @property
    def author(self) -> str:
        """Who opened it."""
        return self.opening.by

    @property
    def next_number(self) -> int:
        """Number of the next event."""
        return self.events[-1].number + 1


def identity(title: str, onto: str, species: SpeciesOffer | None, opening: Event) -> str:
    """Id of a request: 16 hex digits that follow from what was offered, by whom, when and with which words."""
    content = {
        "title": title,
        "onto": onto,
        "species": None if species is None else species.model_dump(mode="json"),
        "opening": opening.model_dump(mode="json"),
    }
    return hash_bytes(canonical_json(content))[:16]


def _ordered(events: list[Event]) -> list[Event]:
    return sorted(set(events), key=lambda one: one.order)


def _state(events: list[Event]) -> State:
    """What was merged stays merged, whoever closed the request at the same time."""
    kinds = {event.kind for event in events}
    return "merged" if "merge" in kinds else "closed" if "close" in kinds else "open"


def _offered(events: list[Event]) -> str:
    commits = [event.commit for event in events if event.kind in ("open", "update")]
    return commits[-1] or ""


def _with_events(
    identity: str, title: str, onto: str, species: SpeciesOffer | None, events: list[Event]
) -> RequestRecord:
    """The whole request with these events; its state, offer and version are filled in."""
    if len(events) > MAX_EVENTS:
        raise StateError(f"request {identity} has more than {MAX_EVENTS} events; close it and open a new one")
    record = RequestRecord(
        id=identity,
        title=title,
        onto=onto,
        species=species,
        state=_state(events),
        offered=_offered(events),
        events=events,
    )
    return record.model_copy(update={"version": version_of(record.model_dump(mode="json"))})


def opened(title: str, onto: str, species: SpeciesOffer | None, opening: Event) -> RequestRecord:
    """A new request. Raises InputError for words that it cannot hold."""
    try:
        return _with_events(identity(title, onto, species, opening), title, onto, species, [opening])
    except ValidationError as error:
        raise InputError(f"cannot open such a request: {_problem(error)}") from error


def event(
    kind: Literal["open", "update", "merge", "close"],
    number: int,
    time: datetime.datetime,
    by: str,
    message: str = "",
    commit: str | None = None,
) -> Event:
    """A new event. Raises InputError for words that it cannot hold."""
    try:
        moment = time.isoformat(timespec="seconds")
        return Event(kind=kind, number=number, time=moment, by=by, message=message, commit=commit)
    except ValidationError as error:
        raise InputError(f"a request cannot hold this: {_problem(error)}") from error


def with_event(record: RequestRecord, new: Event) -> RequestRecord:
    """The request with one event more."""
    return _with_events(record.id, record.title, record.onto, record.species, _ordered([*record.events, new]))


def united(first: RequestRecord, second: RequestRecord) -> RequestRecord:
    """One request with the events of both sides; commutative, associative, and one with itself is itself."""
    if first.id != second.id:
        raise InputError(f"{first.id} and {second.id} are different requests")
    events = _ordered([*first.events, *second.events])
    return _with_events(first.id, first.title, first.onto, first.species, events)


def parse(values: Mapping[str, Any], where: str) -> RequestRecord:
    """A request as it was written, checked in every part. Raises StateError; where: for the message."""
    try:
        record = RequestRecord.model_validate(values)
    except ValidationError as error:
        raise StateError(
            f"{where} is not a request that this mpop reads ({_problem(error)}); update mpop?"
        ) from error
    if record.version != version_of(record.model_dump(mode="json")):
        raise StateError(f"{where}: its version is not the hash of its content; somebody changed it by hand")
    return record


def _problem(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:MAX_LINE]
    where = "".join(
        letter if letter.isprintable() else "?" for letter in where
    )  # a field's name is a stranger's too
    reason = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {reason}" if where else f"needs {reason}"
