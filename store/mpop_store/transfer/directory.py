"""A population in a folder, as a remote: also what the far side of every other transport does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mpop_store.errors import DamagedObjectError, MissingObjectError, StateError, StoreError
from mpop_store.git.repository import Repository
from mpop_store.locking import Lock
from mpop_store.objects.promises import GivenPromises, Holder
from mpop_store.objects.receiving import Receiver
from mpop_store.transfer.accepting import CommitCheck, accept, is_shared
from mpop_store.transfer.git_packs import make_pack
from mpop_store.transfer.naming import group_parts
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


class DirectoryRemote(Remote):
    """The population of a history. check: what must hold for commits that are pushed to it."""

    def __init__(self, history: Repository, check: CommitCheck, address: str, read_only: bool = False) -> None:
        self.address = address
        self._history = history
        self._objects = history.objects.offline()
        self._check = check
        self._read_only = read_only

    def describe(self) -> Description:
        return Description(self._history.refs.branch, self._history.is_bare, self._history.identity.id)

    def identify(self) -> str:
        known = self._history.identity.id
        if known is None:
            self._require_writing()
            with _writing(self._history.private), self._history.locked():
                known = self._history.identity.settle()
        return known

    def refs(self) -> dict[str, str]:
        return {name: oid for name, oid in self._history.refs.all().items() if is_shared(name)}

    def have(self, names: Sequence[str], proof: Proof = Proof.PRESENT) -> list[bool]:
        ask = {
            Proof.PRESENT: self._present,
            Proof.COMPLETE: lambda name: self._every_part(name, self._present),
            Proof.SOUND: self._sound,
            Proof.WHOLE: lambda name: self._every_part(name, self._sound),
        }[proof]
        return [ask(name) for name in names]

    def _present(self, name: str) -> bool:
        """Also keeps the object: whoever asks is about to rely on it."""
        return self._objects.freshen(name) or self._objects.has(name)

    def _every_part(self, name: str, ask: Callable[[str], bool]) -> bool:
        try:
            return all(ask(part) for part in group_parts(self._objects, name))
        except (MissingObjectError, DamagedObjectError):
            return False

    def _sound(self, name: str) -> bool:
        with suppress(MissingObjectError, DamagedObjectError):
            self._objects.get(name)
            return True
        return False

    def promise(self, holder: Holder, names: Sequence[str], proof: Proof) -> Promise:
        """As `Remote.promise`. Nothing is locked while objects are read; then all are looked for once more, where
        neither garbage collection nor `drop` can come in between."""
        self._require_writing()
        if holder.store == self.identify():
            raise StateError(f"{self.address} is this population itself, and cannot keep anything for it")
        proven = [name for name, known in zip(names, self.have(names, proof), strict=True) if known]
        private = self._history.private
        with _writing(private), Lock(private / "maintenance").held():
            self._objects.packed.refresh()
            kept = {name for name in proven if self._present(name) and not self._is_link(name)}
            self._objects.sync()
            total = GivenPromises(private).add(holder, kept)
        return Promise([name in kept for name in names], total)

    def _is_link(self, name: str) -> bool:
        """Whether an object lies in a folder that is only a link to another, where somebody else may remove it."""
        return self._objects.path(name).parent.is_symlink()

    def release(self, holder: Holder, names: Sequence[str]) -> None:
        self._require_writing()
        private = self._history.private
        with _writing(private), Lock(private / "maintenance").held():
            GivenPromises(private).take_back(holder.promise, names)

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
        with self._objects.leases.hold("receive"), Receiver(self._objects) as receiver:
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


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Errors of the file system as one line."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror or error}") from error
