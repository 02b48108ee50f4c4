"""Leases: who is at work is known, and who is dead, on this machine and on others."""

from __future__ import annotations

import datetime
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mpop_store import StoreError, version_of
from mpop_store.hashing import canonical_json
from mpop_store.machines import SILENCE_S
from mpop_store.objects import leases
from mpop_store.objects.leases import Leases


@pytest.fixture
def held(tmp_path: Path) -> Leases:
    return Leases(tmp_path / "leases")


def rewrite(path: Path, **fields: Any) -> None:
    """What another process might have written."""
    touched = path.stat().st_mtime
    record = json.loads(path.read_bytes()) | fields
    del record["version"]
    path.write_bytes(canonical_json(record | {"version": version_of(record)}))
    os.utime(path, (touched, touched))


def test_a_lease_is_held_inside_and_gone_after(held: Leases) -> None:
    assert held.live(time.time()) == []
    with held.hold("refine") as mine, held.hold("merge") as other:
        assert {lease.id for lease in held.live(time.time())} == {mine.id, other.id}
        began = datetime.datetime.fromtimestamp(mine.started)
        assert str(mine) == f"refine, by {mine.user} on {mine.host}, since {began:%H:%M}, pid {os.getpid()}"
        assert mine.user
        assert abs(mine.started - time.time()) < 5
    assert list(held.folder.iterdir()) == []


def test_a_lease_ends_with_an_error_too(held: Leases) -> None:
    with pytest.raises(KeyboardInterrupt), held.hold("refine"):
        raise KeyboardInterrupt
    assert held.live(time.time()) == []


def test_a_dead_process_of_this_machine_is_known_at_once(held: Leases) -> None:
    code = (
        "import os, sys; from mpop_store.objects.leases import Leases; from pathlib import Path\n"
        "with Leases(Path(sys.argv[1])).hold('refine'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(held.folder)], check=False)
    assert len(list(held.folder.iterdir())) == 1
    assert held.live(time.time()) == []
    assert list(held.folder.iterdir()) == []


def test_a_number_that_another_process_has_now_is_not_the_writer(held: Leases) -> None:
    with held.hold("refine") as lease:
        (path,) = held.folder.iterdir()
        rewrite(path, process=str(int(json.loads(path.read_bytes())["process"]) - 1000))
        assert held.live(time.time()) == []
    assert lease.pid == os.getpid()


@pytest.mark.parametrize(("silent_s", "alive"), [(0.0, True), (SILENCE_S - 60, True), (SILENCE_S + 60, False)])
def test_on_another_machine_only_silence_tells(held: Leases, silent_s: float, alive: bool) -> None:
    with held.hold("refine"):
        (path,) = held.folder.iterdir()
        rewrite(path, machine="elsewhere", pid=1)
        assert bool(held.live(time.time() + silent_s)) is alive
        assert path.exists() is alive


def test_a_lease_is_touched_while_it_is_held(held: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.02)
    with held.hold("refine"):
        (path,) = held.folder.iterdir()
        os.utime(path, (1, 1))
        deadline = time.time() + 20
        while path.stat().st_mtime < 1e9:
            assert time.time() < deadline
            time.sleep(0.01)


def test_any_damage_makes_a_lease_hold_up_everything_until_it_falls_silent(held: Leases) -> None:
    with held.hold("refine"):
        (path,) = held.folder.iterdir()
        good = path.read_bytes()
        damaged = [good[:n] + bytes([good[n] ^ 1]) + good[n + 1 :] for n in range(0, len(good), 3)]
        damaged += [good[:n] for n in range(0, len(good), 5)] + [b"[]", b"{" * 100_000, b"null", b"\xff\xfe"]
        for bad in damaged:
            path.write_bytes(bad)
            (lease,) = held.live(time.time())
            assert lease.started == 0.0 and "unreadable lease" in str(lease)
        assert held.live(time.time() + SILENCE_S + 60) == []


def test_rubbish_of_a_killed_writer_is_removed_in_time(held: Leases) -> None:
    held.folder.mkdir()
    (held.folder / "x.tmp").write_bytes(b"half")
    held.clean(time.time())
    assert (held.folder / "x.tmp").exists()
    held.clean(time.time() + SILENCE_S + 60)
    assert list(held.folder.iterdir()) == []


def test_a_full_disk_is_one_clear_error(held: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(StoreError, match="No space left"), held.hold("refine"):
        pass
    assert list(held.folder.iterdir()) == []
