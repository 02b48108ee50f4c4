"""The far side of a connection: answers requests on a channel by asking a population on this machine.

Whatever goes wrong is told to the other side and ends the connection, so that nothing is read from a stream whose
sender and receiver no longer agree where in it they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpop_store.errors import InputError, MpopError, StateError
from mpop_store.transfer.remote import HistoryRequest, Proof, Push, Remote
from mpop_store.transfer.wire import Channel, ConnectionCutError, ProtocolError

PROTOCOL = 1


def serve(remote: Remote, channel: Channel) -> None:
    """Answer until the other side has no more requests, or something goes wrong."""
    try:
        description = remote.describe()
        channel.send({"mpop": PROTOCOL, "bare": description.bare, "branch": description.branch})
        if channel.receive().get("mpop") != PROTOCOL:
            raise StateError(
                f"this mpop speaks version {PROTOCOL} of the protocol; use the same mpop on both sides"
            )
        while _answer(remote, channel):
            channel.flush()
    except ConnectionCutError:
        return
    except MpopError as error:
        _report(error, channel)
    except OSError as error:
        _report(InputError(f"{error.filename or 'the disk'}: {error.strerror or error}"), channel)


def _report(error: MpopError, channel: Channel) -> None:
    try:
        channel.send_error(error)
    except MpopError:
        return  # nobody listens any more


def _answer(remote: Remote, channel: Channel) -> bool:
    """Answer one request; False when it is the last."""
    request = channel.receive()
    verb = request.get("do")
    if verb == "bye":
        return False
    answer = ANSWERS.get(str(verb))
    if answer is None:
        raise StateError(f"the mpop over there does not know the request {str(verb)[:40]!r}; update it")
    answer(remote, channel, request)
    return True


def _refs(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    channel.send({"refs": remote.refs()})


def _have(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    try:
        proof = Proof(request.get("proof"))
    except ValueError as error:
        raise ProtocolError("this is no way to have an object") from error
    channel.send_flags(remote.have(channel.names(), proof))


def _objects(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    stream = remote.objects(channel.names())
    channel.send({"size": stream.size})
    channel.send_objects(stream.objects)


def _put(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    remote.put_objects(channel.objects())
    channel.send({"done": True})


def _history(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    depth = request.get("depth")
    if depth is not None and not (isinstance(depth, int) and 0 < depth < 2**31):
        raise ProtocolError("the depth of a history is a number from 1")
    wants, haves, shallow = (tuple(ids(request.get(key))) for key in ("wants", "haves", "shallow"))
    pack = remote.history(HistoryRequest(wants, haves, shallow, depth))
    channel.send({"shallow": list(pack.shallow)})
    channel.send_pieces(pack.pieces)


def _push(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    moves = request.get("moves")
    if not isinstance(moves, dict):
        raise ProtocolError("a push says which references move")
    checked: dict[str, tuple[str | None, str | None]] = {}
    for name, move in moves.items():
        if not isinstance(move, list) or len(move) != 2:
            raise ProtocolError("a reference moves from one id to another")
        old, new = (None if oid is None else ids([oid])[0] for oid in move)
        checked[name] = (old, new)
    pieces = channel.pieces() if request.get("pack") else None
    remote.push(Push(checked, pieces, bool(request.get("force"))))
    channel.send({"done": True})


def ids(values: Any) -> list[str]:
    """Ids of Git objects in a message. Raises ProtocolError for anything else."""
    if not isinstance(values, list):
        raise ProtocolError("ids come in a list")
    for value in values:
        if not isinstance(value, str) or len(value) != 40 or not set(value) <= set("0123456789abcdef"):
            raise ProtocolError(f"{str(value)[:80]!r} is not the id of a Git object")
    return values


ANSWERS: dict[str, Callable[[Remote, Channel, dict[str, Any]], None]] = {
    "refs": _refs,
    "have": _have,
    "objects": _objects,
    "put": _put,
    "history": _history,
    "push": _push,
}
