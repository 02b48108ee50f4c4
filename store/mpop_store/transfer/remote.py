"""What a population says to another one: the one interface that every transport implements.

Everything above it (fetch, push, drop, reading lazily) is written once. Names of objects come in batches, for a
round trip costs as much for one name as for ten thousand; objects travel as the files that hold them, in streams,
and each is checked by whoever receives it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType

from mpop_store.objects.promises import Holder

ObjectFile = tuple[str, bytes]
"""An object's name, and the file that holds it, encoded as it is on disk."""

Moves = Mapping[str, tuple[str | None, str | None]]
"""Reference -> the id it holds before and after; None is for none."""


class Proof(Enum):
    """How sure `Remote.have` is to be."""

    PRESENT = "present"
    """The object is there."""
    COMPLETE = "complete"
    """The group is there, and every object that it consists of."""
    SOUND = "sound"
    """The object is there, and was read and hashed again just now."""
    WHOLE = "whole"
    """The group is there, and it and every object that it consists of was read and hashed again just now."""


@dataclass(frozen=True)
class Description:
    """What a population says of itself. branch: the reference that its HEAD names; store: its id, if it has
    one and says so."""

    branch: str | None = "refs/heads/main"
    bare: bool = True
    store: str | None = None


@dataclass(frozen=True)
class HistoryRequest:
    """Commits wanted, those that are here already, and where our own history is cut off (`shallow`).

    depth: how many commits of each line of history to send; None is all of them.
    """

    wants: tuple[str, ...]
    haves: tuple[str, ...] = ()
    shallow: tuple[str, ...] = ()
    depth: int | None = None


@dataclass(frozen=True)
class HistoryPack:
    """A Git pack in pieces. shallow: the commits in it whose parents are not."""

    pieces: Iterator[bytes]
    shallow: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectStream:
    """Objects as they come. size: bytes of them all, to show progress by."""

    objects: Iterator[ObjectFile]
    size: int


@dataclass(frozen=True)
class Push:
    """References to move, and the Git pack of what they lead to, None when the other side has it all.

    force: a branch may move to a commit that does not have the old one in its history.
    """

    moves: Moves
    pack: Iterator[bytes] | None = field(default=None, repr=False)
    force: bool = False


@dataclass(frozen=True)
class Promise:
    """What a remote answers to who asks for a promise. kept: which of the names it promises, in their order;
    total: how many it promises to this holder, with those of before."""

    kept: list[bool]
    total: int


class Remote(ABC):
    """Another population. Use it in a `with` statement; every method may raise StoreError when it is out of reach.

    After an error the connection is closed.
    """

    address: str
    """What to call it in messages."""

    @abstractmethod
    def describe(self) -> Description:
        """What is there."""

    @abstractmethod
    def refs(self) -> dict[str, str]:
        """Branches, tags and merge requests, and the ids that they hold."""

    @abstractmethod
    def have(self, names: Sequence[str], proof: Proof = Proof.PRESENT) -> list[bool]:
        """Which of these objects are there, in the order of the names."""

    @abstractmethod
    def identify(self) -> str:
        """The id of the store, which makes itself one if it has none. Raises StateError where it may not."""

    @abstractmethod
    def promise(self, holder: Holder, names: Sequence[str], proof: Proof) -> Promise:
        """Have objects kept for a holder, and renew what was promised to it before.

        proof: `PRESENT` or `SOUND`. Raises StateError when the other side may not promise anything.
        """

    @abstractmethod
    def release(self, holder: Holder, names: Sequence[str]) -> None:
        """Have these objects kept for a holder no longer."""

    @abstractmethod
    def objects(self, names: Sequence[str]) -> ObjectStream:
        """Objects, each once, in any order. Raises MissingObjectError for one that is not there."""

    @abstractmethod
    def put_objects(self, objects: Iterable[ObjectFile]) -> None:
        """Send objects. Each is kept as soon as it has arrived whole, also when a later one fails."""

    @abstractmethod
    def history(self, request: HistoryRequest) -> HistoryPack:
        """Commits, folders and records as one Git pack."""

    @abstractmethod
    def push(self, push: Push) -> None:
        """Move references by compare-and-swap, all or none, once everything that they lead to has been checked.

        Raises StateError, which names the rule and the object, when the other side refuses.
        """

    def close(self) -> None:  # noqa: B027 - a folder has no connection to end
        """End the connection."""

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
