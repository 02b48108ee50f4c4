"""Packing and garbage collection while other processes read, write and commit."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
from small_history import make, put_group, put_noise, reopen

from mpop_store.arrays.groups import group_objects, read_group
from mpop_store.git.repository import Repository
from mpop_store.upkeep.collection import collect
from mpop_store.upkeep.packing import pack

COMMITS = 30
"""Made after something was collected for the first time."""
AHEAD = 10
"""Groups that are written before the first of them is committed."""
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make(tmp_path / "p")


@contextmanager
def meanwhile(work: Callable[[Path, Event], None], root: Path) -> Iterator[Event]:
    """Another process at work; that it ends well is asserted."""
    stop = SPAWN.Event()
    process = SPAWN.Process(target=work, args=(root, stop))
    process.start()
    try:
        yield stop
    finally:
        stop.set()
        process.join(60)
    assert process.exitcode == 0


def keep_packing(root: Path, stop: Event) -> None:
    """Add objects and pack them, again and again."""
    repository, number = reopen(root), 0
    while not stop.is_set():
        for _ in range(3):
            number += 1
            put_noise(repository, number)
        pack(repository)


def keep_collecting(root: Path, stop: Event) -> None:
    """Collect everything that nothing leads to at this moment, however new."""
    while not stop.is_set():
        collect(reopen(root), operations_days=-1.0, margin_s=-3600.0)


def test_what_is_being_packed_can_always_be_read(repository: Repository) -> None:
    contents = [np.random.default_rng(number).bytes(3000) for number in range(1000, 1030)]
    names = [repository.objects.put(data) for data in contents]
    reader = reopen(repository.root).objects
    reads = 0
    with meanwhile(keep_packing, repository.root):
        deadline = time.monotonic() + 60
        while len(list(reader.packed.names())) < 60:
            assert time.monotonic() < deadline
            for name, data in random.sample(list(zip(names, contents, strict=True)), 10):
                assert reader.has(name) and reader.get(name) == data
                reads += 1
            fresh = reopen(repository.root).objects
            assert fresh.get(names[0]) == contents[0]
    assert reads > 10
    assert not set(names) - set(reader.names())


def test_no_commit_ever_leads_to_what_was_collected(repository: Repository) -> None:
    """The collector respects neither age nor undo. Groups are written long before they are committed, so that many
    are in the trash by then; some of those are put again.
    """
    committed: dict[str, str] = {}
    waiting: list[tuple[int, str]] = []
    number = after_first = 0
    deadline = time.monotonic() + 60
    with meanwhile(keep_collecting, repository.root):
        while after_first < COMMITS:
            assert time.monotonic() < deadline
            after_first += bool(repository.objects.trash.generations())
            number += 1
            waiting.append((number, put_group(repository, number)))
            if len(waiting) <= AHEAD:
                continue
            seed, group = waiting.pop(0)
            if seed % 3 == 0:
                assert put_group(repository, seed) == group
            path, head = f"sources/{seed % 5}.json", repository.head
            assert head is not None
            repository.commit_changes({path: {"kind": "source", "groups": [group]}}, "Another", head)
            committed[path] = group
            time.sleep(0.01)
            assert set(group_objects(repository.objects, group)) <= set(repository.objects.names())
    again = reopen(repository.root)
    assert {path: record["groups"][0] for path, record in again.records("sources/").items()} == committed
    for group in committed.values():
        assert read_group(again.objects, group)[0].keys() == {"a", "b"}
