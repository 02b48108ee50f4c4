"""A population at the other end of a channel, as a remote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from mpop_store.errors import MpopError, StateError
from mpop_store.objects.promises import Holder
from mpop_store.transfer.remote import (
    Description,
    HistoryPack,
    HistoryRequest,
    ObjectFile,
    ObjectStream,
    Promise,
    Proof,
    Push,
    Remote,
)
from mpop_store.transfer.serving import PROTOCOL, ids, is_store_id
from mpop_store.transfer.wire import MAX_NAMES, Channel, ConnectionCutError, ProtocolError

READ_AT_ONCE = 256
"""Objects that the other side is asked to read and hash before it answers: it says nothing meanwhile."""


class ConnectedRemote(Remote):
    """Speaks to `serving.serve`. Nothing that comes from there is believed: sizes, names and ids are checked."""

    def __init__(self, channel: Channel, address: str) -> None:
        self.address = address
        self._channel = channel
        try:
            self._description = self._greet()
        except MpopError:
            channel.close()
            raise

    def _greet(self) -> Description:
        hello = self._channel.receive()
        theirs = hello.get("mpop")
        if theirs != PROTOCOL:
            raise StateError(
                f"{self.address} speaks version {str(theirs)[:20]} of the protocol, this mpop version {PROTOCOL}; "
                "use the same mpop on both sides"
            )
        self._channel.send({"mpop": PROTOCOL})
        branch = hello.get("branch")
        store = hello.get("store")
        return Description(
            branch if isinstance(branch, str) else None,
            hello.get("bare") is True,
            store if is_store_id(store) else None,
        )

    def describe(self) -> Description:
        return self._description

    def refs(self) -> dict[str, str]:
        self._channel.send({"do": "refs"})
        found = self._channel.receive().get("refs")
        if not isinstance(found, dict):
            raise ProtocolError(f"{self.address} does not say which references it has")
        ids(list(found.values()))
        return found

    def have(self, names: Sequence[str], proof: Proof = Proof.PRESENT) -> list[bool]:
        found: list[bool] = []
        most = _at_once(proof)
        for start in range(0, len(names), most):
            batch = names[start : start + most]
            self._channel.send({"do": "have", "proof": proof.value})
            self._channel.send_names(batch)
            found += self._channel.flags(len(batch))
        return found

    def identify(self) -> str:
        self._channel.send({"do": "identify"})
        store = self._channel.receive().get("store")
        if not is_store_id(store):
            raise ProtocolError(f"{self.address} does not say which store it is")
        return store

    def promise(self, holder: Holder, names: Sequence[str], proof: Proof) -> Promise:
        kept: list[bool] = []
        total = 0
        most = _at_once(proof)
        for start in range(0, max(len(names), 1), most):
            batch = names[start : start + most]
            self._channel.send({"do": "promise", "proof": proof.value, **vars(holder)})
            self._channel.send_names(batch)
            total = self._channel.receive().get("total")
            if type(total) is not int:
                raise ProtocolError(f"{self.address} does not say how much it has promised")
            kept += self._channel.flags(len(batch))
        return Promise(kept, total)

    def release(self, holder: Holder, names: Sequence[str]) -> None:
        for start in range(0, len(names), MAX_NAMES):
            batch = names[start : start + MAX_NAMES]
            self._channel.send({"do": "release", **vars(holder)})
            self._conclude(lambda batch=batch: self._channel.send_names(batch))

    def objects(self, names: Sequence[str]) -> ObjectStream:
        batches = [names[start : start + MAX_NAMES] for start in range(0, len(names), MAX_NAMES)]
        if not batches:
            return ObjectStream(iter(()), 0)
        return ObjectStream(self._arriving(batches), self._ask_for(batches[0]))

    def _ask_for(self, names: Sequence[str]) -> int:
        self._channel.send({"do": "objects"})
        self._channel.send_names(names)
        size = self._channel.receive().get("size")
        return size if isinstance(size, int) else 0

    def _arriving(self, batches: Sequence[Sequence[str]]) -> Iterator[ObjectFile]:
        """The objects asked for, and no others; the first batch has been asked for already."""
        for number, batch in enumerate(batches):
            if number:
                self._ask_for(batch)
            yield from self._expected(batch)

    def _expected(self, names: Sequence[str]) -> Iterator[ObjectFile]:
        wanted = set(names)
        for name, blob in self._channel.objects():
            if name not in wanted:
                raise ProtocolError(f"{self.address} sends object {name}, which nobody asked for")
            wanted.remove(name)
            yield name, blob
        if wanted:
            raise ProtocolError(f"{self.address} does not send object {min(wanted)}, which it should have")

    def put_objects(self, objects: Iterable[ObjectFile]) -> None:
        self._channel.send({"do": "put"})
        self._conclude(lambda: self._channel.send_objects(objects))

    def history(self, request: HistoryRequest) -> HistoryPack:
        lists = {"wants": list(request.wants), "haves": list(request.haves), "shallow": list(request.shallow)}
        self._channel.send({"do": "history", "depth": request.depth, **lists})
        shallow = ids(self._channel.receive().get("shallow"))
        return HistoryPack(self._channel.pieces(), tuple(shallow))

    def push(self, push: Push) -> None:
        moves = {name: list(move) for name, move in push.moves.items()}
        pack = push.pack
        self._channel.send({"do": "push", "moves": moves, "force": push.force, "pack": pack is not None})
        self._conclude(lambda: self._channel.send_pieces(pack) if pack is not None else None)

    def _conclude(self, send: Callable[[], None]) -> None:
        """Send, and hear that all is well; when the other side hung up, hear why."""
        try:
            send()
        except ConnectionCutError as cut:
            with suppress(ConnectionCutError):
                self._channel.receive()
            raise cut
        if self._channel.receive().get("done") is not True:
            raise ProtocolError(f"{self.address} does not say that it is done")

    def close(self) -> None:
        with suppress(MpopError):
            self._channel.send({"do": "bye"})
        self._channel.close()


def _at_once(proof: Proof) -> int:
    """How many objects are asked about in one request."""
    return READ_AT_ONCE if proof in (Proof.SOUND, Proof.WHOLE) else MAX_NAMES
