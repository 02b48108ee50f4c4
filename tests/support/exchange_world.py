"""Populations of plain records for the tests of transfer: each record names groups of arrays and files."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pygit2

from mpop_store.arrays.groups import read_group, write_group
from mpop_store.git.history import History
from mpop_store.git.repository import ROOT_RECORD, Repository
from mpop_store.hashing import version_of
from mpop_store.references import References
from mpop_store.transfer.connected import ConnectedRemote
from mpop_store.transfer.directory import DirectoryRemote
from mpop_store.transfer.fetching import Plan
from mpop_store.transfer.naming import Select, everything
from mpop_store.transfer.remote import Remote
from mpop_store.transfer.serving import serve
from mpop_store.transfer.walking import NewCommit
from mpop_store.transfer.wire import Channel

ITEMS = 3


def references_of(record: Mapping[str, Any]) -> References:
    """What a record of these tests names."""
    return References(*(tuple(record.get(key, ())) for key in ("groups", "files", "derived")))


def allow(history: History, commits: Sequence[NewCommit]) -> None:
    """Ask nothing of commits."""


def versioned(**fields: Any) -> dict[str, Any]:
    """A record with its version."""
    return fields | {"version": version_of(fields)}


def volume(seed: int) -> np.ndarray:
    """An array that is not kept inside a manifest."""
    return np.random.default_rng(seed).normal(size=(20, 20, 20)).astype(np.float32)


def item(repository: Repository, name: str, seed: int) -> dict[str, Any]:
    """A record that names a group of two arrays, a derived one, and a file."""
    group = write_group(repository.objects, {"one": volume(seed), "two": volume(seed + 1000)})
    derived = write_group(repository.objects, {"sum": volume(seed + 2000)})
    file = repository.objects.put(f"the file of {seed}".encode() * 100)
    return versioned(kind="item", name=name, groups=[group], files=[file], derived=[derived])


def opened(path: Path) -> Repository:
    """A population of these tests, also before its first commit."""
    repository = Repository(pygit2.Repository(str(path)))
    repository.references_of = references_of
    return repository


def empty(path: Path, bare: bool = False) -> Repository:
    """A population with nothing in it."""
    Repository.init(path, bare=bare)
    return opened(path)


def populated(path: Path) -> Repository:
    """A population of two commits."""
    repository = empty(path)
    records = {f"items/{n:02}.json": item(repository, f"series {n}", n) for n in range(ITEMS)}
    repository.stage({ROOT_RECORD: versioned(kind="population", format=1, name="test"), **records})
    repository.commit("Import")
    change(repository, 0, 100)
    return repository


def change(repository: Repository, number: int, seed: int, message: str = "Refine") -> str:
    """Commit another version of one record."""
    head = repository.head
    assert head is not None
    record = item(repository, f"series {number}", seed)
    return repository.commit_changes({f"items/{number:02}.json": record}, message, head)


def current(history: History, at: str) -> Select:
    """What a fetch brings in these tests, unless it brings nothing."""
    return everything(references_of)


CURRENT = Plan(current)


def assert_complete(repository: Repository, at: str = "HEAD") -> None:
    """Every object that the records of a commit name is here and sound."""
    store = repository.objects.offline()
    for record in repository.records("", at).values():
        named = references_of(record)
        for group in named.groups:
            read_group(store, group)
        for file in named.files:
            store.get(file)


@contextmanager
def directory(repository: Repository) -> Iterator[Remote]:
    """A population as a folder."""
    yield DirectoryRemote(repository, allow, str(repository.root))


@contextmanager
def connected(repository: Repository) -> Iterator[Remote]:
    """A population behind a pair of sockets, served by a thread, as ssh would."""
    near, far = socket.socketpair()
    far_reader, far_writer = far.makefile("rb"), far.makefile("wb")
    far.close()

    def work() -> None:
        channel = Channel(cast(BinaryIO, far_reader), cast(BinaryIO, far_writer), "the client")
        serve(DirectoryRemote(repository, allow, "here"), channel)
        channel.close()

    thread = threading.Thread(target=work)
    thread.start()
    channel = Channel(cast(BinaryIO, near.makefile("rb")), cast(BinaryIO, near.makefile("wb")), "the server")
    near.close()
    try:
        with ConnectedRemote(channel, "the server") as remote:
            yield remote
    finally:
        thread.join(timeout=10)
        assert not thread.is_alive()
