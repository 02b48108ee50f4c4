"""Frames: what goes in comes out, and nothing that comes from outside does harm."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop_store import MissingObjectError, MpopError, StateError
from mpop_store.transfer import wire
from mpop_store.transfer.wire import Channel, ConnectionCutError, ProtocolError

NAMES = st.lists(st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
FRAMES = st.lists(
    st.tuples(st.sampled_from([b"j", b"J", b"D", b"O", b"E", b"?"]), st.binary(max_size=60)).map(
        lambda frame: struct.pack("<cI", frame[0], len(frame[1])) + frame[1]
    ),
    max_size=8,
).map(b"".join)
READERS: list[Callable[[Channel], Any]] = [
    lambda channel: channel.receive(),
    lambda channel: list(channel.pieces()),
    lambda channel: channel.names(),
    lambda channel: channel.flags(12),
    lambda channel: list(channel.objects()),
]


def reading(data: bytes) -> Channel:
    return Channel(io.BytesIO(data), io.BytesIO(), "the other side")


def sent(send: Callable[[Channel], None]) -> Channel:
    """A channel that reads what was sent."""
    pipe = io.BytesIO()
    send(Channel(io.BytesIO(), pipe, "nobody"))
    return reading(pipe.getvalue())


@given(st.dictionaries(st.text(max_size=8).filter(lambda key: key != "error"), JSON, max_size=4))
def test_messages_arrive(message: dict[str, Any]) -> None:
    assert sent(lambda channel: channel.send(message)).receive() == message


def test_messages_may_be_longer_than_a_frame() -> None:
    message = {"refs": {f"refs/heads/{n:06}": "a" * 40 for n in range(30_000)}}
    assert sent(lambda channel: channel.send(message)).receive() == message


@given(NAMES)
def test_names_arrive(names: list[str]) -> None:
    assert sent(lambda channel: channel.send_names(names)).names() == names


@given(st.lists(st.booleans(), max_size=70))
def test_flags_arrive(flags: list[bool]) -> None:
    assert sent(lambda channel: channel.send_flags(flags)).flags(len(flags)) == flags


@pytest.mark.parametrize("size", [0, 1, 2**20 - 41, 2**20 - 40, 2**20 - 39, 2**20, 5 * 2**20 + 3])
def test_objects_of_any_size_arrive(size: int) -> None:
    objects = [("ab" * 32, b"first"), ("cd" * 32, bytes(range(256)) * (size // 256) + b"x" * (size % 256))]
    channel = sent(lambda channel: channel.send_objects(objects))
    assert list(channel.objects()) == objects


def test_pieces_of_any_size_arrive() -> None:
    pieces = [b"", b"a" * 10, b"b" * (3 * 2**20)]
    assert b"".join(sent(lambda channel: channel.send_pieces(pieces)).pieces()) == b"".join(pieces)


@pytest.mark.parametrize("read", READERS)
@given(data=st.one_of(st.binary(max_size=200), FRAMES, FRAMES.map(lambda frames: frames[:-1])))
def test_nothing_but_errors_comes_of_nonsense(read: Callable[[Channel], Any], data: bytes) -> None:
    try:
        read(reading(data))
    except MpopError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("read", READERS)
def test_a_cut_connection_is_named(read: Callable[[Channel], Any]) -> None:
    with pytest.raises(
        ConnectionCutError, match=r"the connection to the other side was cut; run the command again"
    ):
        read(reading(b""))


def test_an_announced_size_takes_no_memory() -> None:
    huge = wire.OBJECT.pack(b"n" * 32, 2**30)
    frame = wire.FRAME.pack(b"O", len(huge)) + huge
    tracemalloc.start()
    with pytest.raises(ConnectionCutError):
        list(reading(frame).objects())
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (wire.FRAME.pack(b"D", 2**20 + 1), "does not speak mpop's language"),
        (b"Welcome to the cluster!\n" * 10, "does not speak mpop's language"),
        (wire.FRAME.pack(b"O", 40) + wire.OBJECT.pack(b"n" * 32, 2**40), "more than any may have"),
        (wire.FRAME.pack(b"O", 45) + wire.OBJECT.pack(b"n" * 32, 2) + b"12345", "longer than announced"),
        (wire.FRAME.pack(b"O", 40) + wire.OBJECT.pack(b"n" * 32, 9) + wire.FRAME.pack(b"E", 0), "something else"),
        (wire.FRAME.pack(b"J", 2) + b"{}", "a message among objects"),
    ],
)
def test_objects_that_are_not_as_announced_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        list(reading(data).objects())


def test_names_and_messages_have_an_end() -> None:
    many = sent(lambda channel: channel.send_pieces([b"n" * 32 * (wire.MAX_NAMES + 1)]))
    with pytest.raises(ProtocolError, match="more than was agreed"):
        many.names()
    endless = (wire.FRAME.pack(b"j", wire.MAX_PAYLOAD) + b" " * wire.MAX_PAYLOAD) * 65
    with pytest.raises(ProtocolError, match="never ends"):
        reading(endless).receive()
    with pytest.raises(ProtocolError, match="never ends"):
        reading((wire.FRAME.pack(b"j", 0)) * 2).receive()
    deep = b'{"a":' + b"[" * 100_000
    with pytest.raises(ProtocolError, match="something else"):
        reading(wire.FRAME.pack(b"J", len(deep)) + deep).receive()


def test_errors_travel_and_cannot_command_a_terminal() -> None:
    channel = sent(lambda channel: channel.send_error(MissingObjectError("object \x1b[2Jabc is\nnot here")))
    with pytest.raises(MissingObjectError) as caught:
        channel.receive()
    assert str(caught.value) == "object  [2Jabc is not here"
    with pytest.raises(StateError, match="odd"):
        sent(lambda channel: channel.send({"error": {"kind": "SystemExit", "message": "odd"}})).receive()
    with pytest.raises(ProtocolError):
        sent(lambda channel: channel.send({"error": 5})).receive()


def test_an_error_in_the_middle_of_a_stream_is_raised() -> None:
    def send(channel: Channel) -> None:
        channel._write(b"O", wire.OBJECT.pack(b"n" * 32, 2**21), b"x")
        channel.send_error(StateError("the disk broke"))

    with pytest.raises(StateError, match="the disk broke"):
        list(sent(send).objects())
