"""The far side of a connection: answers requests on a channel by asking a population on this machine.

Whatever goes wrong is reported to the other side and ends the connection, so that nothing is read from a stream
whose sender and receiver no longer agree where in it they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

from mpop_store.errors import InputError, MpopError, StateError
from mpop_store.objects.promises import Holder
from mpop_store.transfer.remote import HistoryRequest, Proof, Push, Remote
from mpop_store.transfer.wire import Channel, ConnectionCutError, ProtocolError

PROTOCOL = 1
MAX_WHO = 300
"""Characters in which somebody says who asks for a promise."""


def serve(remote: Remote, channel: Channel) -> None:
    """Answer until the other side has no more requests, or something goes wrong."""
    try:
        description = remote.describe()
        channel.send({"mpop": PROTOCOL, **vars(description)})
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
    channel.send_flags(remote.have(channel.names(), _proof(request, *Proof)))


def _proof(request: dict[str, Any], *allowed: Proof) -> Proof:
    wanted = request.get("proof")
    for proof in allowed:
        if proof.value == wanted:
            return proof
    raise ProtocolError("this is no way to have an object")


def _identify(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    channel.send({"store": remote.identify()})


def _promise(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    holder, proof = _holder(request), _proof(request, Proof.PRESENT, Proof.SOUND)
    answer = remote.promise(holder, channel.names(), proof)
    channel.send({"total": answer.total})
    channel.send_flags(answer.kept)


def _release(remote: Remote, channel: Channel, request: dict[str, Any]) -> None:
    holder = _holder(request)
    remote.release(holder, channel.names())
    channel.send({"done": True})


def _holder(request: dict[str, Any]) -> Holder:
    """Who asks. Raises ProtocolError for what a file could not be named by, or a terminal not be shown."""
    ticket, store, who = (request.get(key) for key in ("ticket", "store", "who"))
    if not _is_hex(ticket, 64) or not is_store_id(store):
        raise ProtocolError("a promise is made to a store, by its ticket")
    if not isinstance(who, str) or len(who) > MAX_WHO or not who.isprintable():
        raise ProtocolError("a promise is made to somebody with a name")
    return Holder(ticket, store, who)


def _is_hex(value: Any, digits: int) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) == digits and set(value) <= set("0123456789abcdef")


def is_store_id(value: Any) -> TypeGuard[str]:
    """Whether this can be the id of a store."""
    return _is_hex(value, 32)


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
        if not _is_hex(value, 40):
            raise ProtocolError(f"{str(value)[:80]!r} is not the id of a Git object")
    return values


ANSWERS: dict[str, Callable[[Remote, Channel, dict[str, Any]], None]] = {
    "refs": _refs,
    "have": _have,
    "identify": _identify,
    "promise": _promise,
    "release": _release,
    "objects": _objects,
    "put": _put,
    "history": _history,
    "push": _push,
}
