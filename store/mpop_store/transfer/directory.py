"""A population in a folder, as a remote: also what the far side of every other transport does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from mpop_store.errors import DamagedObjectError, MissingObjectError, StateError
from mpop_store.git.repository import Repository
from mpop_store.transfer.accepting import Check, accept, is_shared
from mpop_store.transfer.git_packs import make_pack
from mpop_store.transfer.naming import group_parts
from mpop_store.transfer.remote import (
    Description,
    HistoryPack,
    HistoryRequest,
    ObjectFile,
    ObjectStream,
    Proof,
    Push,
    Remote,
)


class DirectoryRemote(Remote):
    """The population of a history. check: what must hold for commits that are pushed to it."""

    def __init__(self, history: Repository, check: Check, address: str, read_only: bool = False) -> None:
        self.address = address
        self._history = history
        self._objects = history.objects.offline()
        self._check = check
        self._read_only = read_only

    def describe(self) -> Description:
        return Description(self._history.refs.branch, self._history.is_bare)

    def refs(self) -> dict[str, str]:
        return {name: oid for name, oid in self._history.refs.all().items() if is_shared(name)}

    def have(self, names: Sequence[str], proof: Proof = Proof.PRESENT) -> list[bool]:
        ask = {Proof.PRESENT: self._present, Proof.COMPLETE: self._complete, Proof.SOUND: self._sound}[proof]
        return [ask(name) for name in names]

    def _present(self, name: str) -> bool:
        """Also keeps the object: whoever asks is about to rely on it."""
        return self._objects.freshen(name) or self._objects.has(name)

    def _complete(self, name: str) -> bool:
        try:
            return all(self._present(part) for part in group_parts(self._objects, name))
        except (MissingObjectError, DamagedObjectError):
            return False

    def _sound(self, name: str) -> bool:
        with suppress(MissingObjectError, DamagedObjectError):
            self._objects.get(name)
            return True
        return False

    def objects(self, names: Sequence[str]) -> ObjectStream:
        try:
            return ObjectStream(self._files(names), sum(map(self._objects.size, names)))
        except MissingObjectError as error:
            raise MissingObjectError(f"{error}; `mpop fetch --all-data` there, if it is itself a clone") from error

    def _files(self, names: Sequence[str]) -> Iterator[ObjectFile]:
        for name in names:
            yield name, self._objects.read_file(name)

    def put_objects(self, objects: Iterable[ObjectFile]) -> None:
        self._require_writing()
        with self._objects.leases.hold("receive"), self._objects.receive() as receiver:
            for name, blob in objects:
                receiver.add(name, blob)

    def history(self, request: HistoryRequest) -> HistoryPack:
        return make_pack(self._history, request)

    def push(self, push: Push) -> None:
        self._require_writing()
        accept(self._history, push, self._check)

    def _require_writing(self) -> None:
        if self._read_only:
            raise StateError(f"{self.address} may be read but not changed from here")
