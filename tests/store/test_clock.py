"""The clock goes back or forward, by a minute or by years: nothing is lost by it, and nothing waits for ever.

A clock cannot be set by a test. What it would do is done the other way round: every time that was written down is
moved, those of files too, and the clock stays.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_history import commit, make, put_noise, reopen

from mpop_store.git.repository import Repository
from mpop_store.git.undoing import undo
from mpop_store.hashing import canonical_json, version_of
from mpop_store.machines import SILENCE_S
from mpop_store.objects import leases
from mpop_store.upkeep.collection import DAY_S, OPERATIONS_DAYS, TRASH_DAYS, collect

SETTINGS = pytest.mark.parametrize("by_s", [-400 * DAY_S, -DAY_S, -120.0, 120.0, DAY_S, 20 * DAY_S, 400 * DAY_S])
"""Seconds by which the clock is set; negative: back."""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make(tmp_path / "p")


def set_clock(repository: Repository, by_s: float) -> None:
    """What the past looks like once the clock has been set."""
    for path in sorted(repository.private.rglob("*"), reverse=True):
        status = path.stat()
        if path.parent.name == "trash":
            path.rename(path.with_name(f"{int(path.name) - int(by_s):012d}"))
        elif path.parent.name == "leases":
            record = json.loads(path.read_bytes())
            record["started"] -= by_s
            assert float(record["process"]) < 1e9, "depends on the clock"
            del record["version"]
            path.write_bytes(canonical_json(record | {"version": version_of(record)}))
        if path.is_file():
            os.utime(path, (status.st_atime - by_s, status.st_mtime - by_s))
    log = repository.private / "operations.jsonl"
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    for line in (one for one in lines if "time" in one):  # others say how an operation ended
        moved = datetime.datetime.fromisoformat(line["time"]) - datetime.timedelta(seconds=by_s)
        line["time"] = moved.isoformat(timespec="seconds")
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@contextmanager
def at_work(repository: Repository) -> Iterator[None]:
    """A job of another process, which holds a lease."""
    code = (
        "import sys, time; from pathlib import Path; from mpop_store.objects.leases import Leases\n"
        "with Leases(Path(sys.argv[1])).hold('refine'): print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(repository.private / "leases")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield


def undo_a_commit(repository: Repository) -> str:
    """An object that only `mpop undo` leads to."""
    name = put_noise(repository, 1)
    commit(repository, "sources/a.json", files=[name])
    undo(repository)
    return name


def collect_and_empty(repository: Repository) -> None:
    """The most that garbage collection ever takes."""
    collect(reopen(repository.root), empty_trash=True)
    collect(reopen(repository.root), empty_trash=True)


@SETTINGS
def test_what_is_committed_stays(repository: Repository, by_s: float) -> None:
    name = put_noise(repository, 1)
    commit(repository, "sources/a.json", files=[name])
    set_clock(repository, by_s)
    collect_and_empty(repository)
    assert reopen(repository.root).objects.get(name)


@SETTINGS
def test_what_a_job_on_this_machine_has_written_stays(repository: Repository, by_s: float) -> None:
    with at_work(repository):
        name = put_noise(repository, 1)
        set_clock(repository, by_s)
        collect_and_empty(repository)
        assert reopen(repository.root).objects.get(name)


def test_a_lease_that_was_thought_dead_comes_back(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.02)
    held = leases.Leases(repository.private / "leases")
    with held.hold("refine") as lease:
        (path,) = held.folder.iterdir()
        path.unlink()  # as another machine does that sees nothing but the time of its last beat
        deadline = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert held.live(time.time()) == [lease]
    assert list(held.folder.iterdir()) == []


@pytest.mark.parametrize("ahead_s", [DAY_S, 400 * DAY_S])
def test_what_was_done_while_the_clock_was_ahead_can_be_undone_and_then_goes(
    repository: Repository, ahead_s: float
) -> None:
    name = undo_a_commit(repository)
    set_clock(repository, -ahead_s)
    commit(repository, "sources/b.json")  # with the right time again
    collect_and_empty(repository)
    assert reopen(repository.root).objects.get(name)
    for later_s in (OPERATIONS_DAYS * DAY_S + DAY_S, 2 * SILENCE_S):
        set_clock(repository, later_s)
        collect_and_empty(repository)
    assert not reopen(repository.root).objects.has(name)


def test_what_was_done_while_the_clock_was_behind_can_be_undone_for_as_long(repository: Repository) -> None:
    commit(repository, "sources/b.json")
    log = repository.private / "operations.jsonl"
    before = log.read_text()
    name = undo_a_commit(repository)
    made = log.read_text().removeprefix(before)
    log.write_text(before + re.sub(r'"time": "\d{4}', '"time": "1970', made))
    for file in (repository.private / "objects").rglob("*"):
        os.utime(file, (0, 0))
    collect_and_empty(repository)
    assert reopen(repository.root).objects.get(name)


@pytest.mark.parametrize("ahead_s", [DAY_S, 400 * DAY_S])
def test_garbage_from_the_future_goes_in_time(repository: Repository, ahead_s: float) -> None:
    loose = put_noise(repository, 1)
    set_clock(repository, -ahead_s)
    collect(reopen(repository.root))
    assert reopen(repository.root).objects.has(loose)  # it may be somebody's who is at work
    set_clock(repository, 2 * SILENCE_S)
    assert collect(reopen(repository.root)).garbage_objects == 1


def test_the_trash_of_the_future_is_emptied_in_time(repository: Repository) -> None:
    put_noise(repository, 1)
    set_clock(repository, DAY_S)
    assert collect(reopen(repository.root)).garbage_objects == 1
    set_clock(repository, -400 * DAY_S)
    collect(reopen(repository.root))
    set_clock(repository, TRASH_DAYS * DAY_S + 2)
    assert collect(reopen(repository.root)).deleted_bytes > 0


def test_a_lease_of_the_future_from_another_machine_dies_in_time(repository: Repository) -> None:
    held = leases.Leases(repository.private / "leases")
    with held.hold("refine"):
        (path,) = held.folder.iterdir()
        record = json.loads(path.read_bytes())
    del record["version"]
    record |= {"machine": "elsewhere", "started": record["started"] + 400 * DAY_S}
    path.write_bytes(canonical_json(record | {"version": version_of(record)}))
    os.utime(path, (record["started"], record["started"]))
    now = time.time()
    assert len(held.live(now)) == 1
    assert held.live(now + SILENCE_S + 60) == []


def test_leftovers_of_the_future_are_removed_in_time(repository: Repository) -> None:
    folder = repository.objects.root / "aa"
    folder.mkdir()
    left = folder / "tmp-1"
    left.write_bytes(b"half")
    later = time.time() + 400 * DAY_S
    os.utime(left, (later, later))
    repository.objects.clean()
    assert left.exists()
    assert abs(left.stat().st_mtime - time.time()) < 60
