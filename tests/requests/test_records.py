"""What a request may say, and that events of two sides always come together in one way."""

from __future__ import annotations

import datetime
import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop.errors import InputError, StateError
from mpop.requests import records
from mpop.requests.records import Event, RequestRecord, SpeciesOffer
from mpop_store import canonical_json, hash_bytes, version_of

COMMITS = [digit * 40 for digit in "0123456789abcdef"]
NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
AUTHOR = "B. Biologist <b@example.org>"


def an_event(kind: Literal["open", "update", "merge", "close"], number: int, commit: int | None = 0) -> Event:
    return records.event(kind, number, NOON, AUTHOR, "", None if kind == "close" else COMMITS[commit or 0])


def a_request(*more: Event) -> RequestRecord:
    opening = records.event("open", 1, NOON, AUTHOR, "found in the new grids", COMMITS[0])
    request = records.opened("Offer ribosome", "main", SpeciesOffer(id="a" * 16, name="ribosome"), opening)
    for one in more:
        request = records.united(request, records.with_event(request, one))
    return request


def values(request: RequestRecord) -> dict[str, Any]:
    return json.loads(canonical_json(request.model_dump(mode="json")))


def resealed(content: dict[str, Any]) -> dict[str, Any]:
    """With the version that a clever stranger would write."""
    return content | {"version": version_of(content)}


def test_a_request_survives_being_written() -> None:
    request = a_request(an_event("update", 2, 1))
    assert records.parse(values(request), "here") == request
    assert request.version == version_of(values(request))


def test_id_follows_from_content() -> None:
    assert a_request().id == a_request(an_event("update", 2)).id
    opening = a_request().opening
    others = {
        records.opened("Offer another", "main", None, opening).id,
        records.opened("Offer ribosome", "next", None, opening).id,
        records.opened("Offer ribosome", "main", None, opening).id,
    }
    assert len(others | {a_request().id}) == 4


@pytest.mark.parametrize(
    ("more", "state", "offered"),
    [
        ([], "open", 0),
        ([("update", 2, 3), ("update", 3, 4)], "open", 4),
        ([("close", 2, None)], "closed", 0),
        ([("update", 2, 5), ("merge", 3, 6)], "merged", 5),
        ([("close", 2, None), ("merge", 2, 6)], "merged", 0),
    ],
)
def test_state_and_offer_follow_from_events(more: list, state: str, offered: int) -> None:
    request = a_request(*(an_event(*one) for one in more))
    assert (request.state, request.offered) == (state, COMMITS[offered])


def test_a_late_clock_does_not_undo_what_its_owner_had_seen() -> None:
    request = a_request(an_event("update", 2, 1))
    early = NOON - datetime.timedelta(days=900)
    later = records.with_event(
        request, records.event("update", request.next_number, early, AUTHOR, "", COMMITS[2])
    )
    assert later.offered == COMMITS[2]


EVENTS = st.builds(
    lambda kind, number, commit, day, by: records.event(
        kind,
        number,
        NOON + datetime.timedelta(days=day),
        by,
        "",
        None if kind == "close" else commit,
    ),
    st.sampled_from(["update", "merge", "close"]),
    st.integers(2, 5),
    st.sampled_from(COMMITS),
    st.integers(0, 3),
    st.sampled_from([AUTHOR, "A. Biologist <a@example.org>"]),
)
REQUESTS = st.lists(EVENTS, max_size=6).map(lambda events: a_request(*events))


@given(REQUESTS, REQUESTS, REQUESTS)
def test_union_does_not_depend_on_who_meets_whom(
    one: RequestRecord, other: RequestRecord, third: RequestRecord
) -> None:
    both = records.united(one, other)
    assert both == records.united(other, one)
    assert records.united(both, third) == records.united(one, records.united(other, third))
    assert records.united(both, one) == both
    assert set(both.events) == set(one.events) | set(other.events)


def test_requests_of_different_ids_do_not_mix() -> None:
    other = records.opened("Offer another", "main", None, a_request().opening)
    with pytest.raises(InputError, match="different requests"):
        records.united(a_request(), other)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("id", "../../../etc/passwd", "id: String should match"),
        ("id", "a" * 16, "an id that follows"),
        ("offered", "--upload-pack=sh", "offered: String should match"),
        ("offered", COMMITS[7], "state and an offered commit"),
        ("state", "merged", "state and an offered commit"),
        ("state", "approved", "state: Input should be"),
        ("title", "two\nlines", "title: one line"),
        ("title", "\x1b]0;owned\x07", "title: one line"),
        ("title", "\u202eetihw", "title: one line"),
        ("title", "x" * 301, "title: String should have at most"),
        ("onto", "", "onto: one line"),
        ("format", 2, "format: Input should be 1"),
        ("reviewer", "me", "reviewer: Extra inputs"),
        ("\x1b[2Jfield", "me", r"\(\?\[2Jfield: Extra inputs"),
        ("events", [], "events: List should have at least 1"),
        ("species", {"id": "../x", "name": "x"}, "species.id: String should match"),
    ],
)
def test_hostile_content_is_refused(field: str, value: object, complaint: str) -> None:
    with pytest.raises(StateError, match=complaint):
        records.parse(resealed(values(a_request()) | {field: value}), "request.json")


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("message", "\x1b[2J", "printable"),
        ("message", "x" * 20_001, "at most"),
        ("by", "a\nb", "one line"),
        ("time", "2026-11-21T12:00:00", "with its zone"),
        ("time", "yesterday", "Invalid isoformat"),
        ("number", 0, "greater than or equal"),
        ("number", 2**40, "less than or equal"),
        ("commit", None, "event and commit"),
        ("kind", "approve", "Input should be"),
    ],
)
def test_hostile_events_are_refused(field: str, value: object, complaint: str) -> None:
    content = values(a_request())
    content["events"][0][field] = value
    with pytest.raises(StateError, match=complaint):
        records.parse(resealed(content), "request.json")


def test_order_and_openings_are_fixed() -> None:
    content = values(a_request(an_event("update", 2, 1), an_event("update", 3, 2)))
    content["events"].reverse()
    with pytest.raises(StateError, match="the first event"):
        records.parse(resealed(content), "request.json")
    content = values(a_request(an_event("update", 2, 1), an_event("update", 3, 2)))
    content["events"][1:] = content["events"][:0:-1]
    with pytest.raises(StateError, match="in order"):
        records.parse(resealed(content), "request.json")


def test_a_changed_word_is_found() -> None:
    content = values(a_request())
    content["events"][0]["message"] = "approved by everybody"
    with pytest.raises(StateError, match="an id that follows"):
        records.parse(resealed(content), "request.json")
    with pytest.raises(StateError, match="not the hash of its content"):
        records.parse(values(a_request()) | {"version": hash_bytes(b"")}, "request.json")


def test_there_is_an_end_to_events() -> None:
    request = a_request()
    full = [request.opening, *(an_event("update", number) for number in range(2, records.MAX_EVENTS + 1))]
    content = values(request) | {"events": [one.model_dump(mode="json") for one in full]}
    assert len(records.parse(resealed(content), "here").events) == records.MAX_EVENTS
    with pytest.raises(StateError, match="more than 1000 events"):
        records.with_event(records.parse(resealed(content), "here"), an_event("close", records.MAX_EVENTS + 1))


def test_words_that_a_request_cannot_hold_are_an_input_error() -> None:
    with pytest.raises(InputError, match="by: one line"):
        records.event("close", 2, NOON, "a\nb")
    with pytest.raises(InputError, match="onto: one line"):
        records.opened("title", "\x00", None, a_request().opening)
