"""Leases: who is writing, since when. Garbage collection touches nothing that is newer than the oldest of them.

A lease is a file in one folder: canonical JSON with the fields id, purpose, host, machine, pid, process_started,
started (seconds since 1970 by the clock of the file system) and version, the BLAKE3 of the others. Its writer
touches it once a minute. Whether its process lives is known on the same machine; elsewhere it counts as dead once
it has not touched the file for long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpop_store.errors import DamagedObjectError, InputError, StoreError
from mpop_store.hashing import canonical_json, parse_json, version_of
from mpop_store.machines import SILENCE_S, this_machine
from mpop_store.objects.loose import open_regular

HEARTBEAT_S = 60.0
LARGEST = 2**16
"""Bytes of a lease's file that are read."""
SAME_START_S = 60.0
"""By how much the start of one process may seem to move, when the clock is set."""


@dataclass(frozen=True)
class Lease:
    """A writer at work. started: seconds since 1970; 0 if its file cannot be read, so that nothing is newer."""

    id: str
    purpose: str
    host: str
    pid: int
    started: float

    def __str__(self) -> str:
        return (
            f"{self.purpose} (process {self.pid} on {self.host})" if self.pid else f"an unreadable lease {self.id}"
        )


class Leases:
    """The leases in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def hold(self, purpose: str) -> Iterator[Lease]:
        """Hold a lease inside. purpose: a word for people, such as `refine`. Raises StoreError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path, lease = self._write(purpose)
        except OSError as error:
            raise StoreError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        done = threading.Event()
        threading.Thread(target=_beat, args=(path, done), daemon=True, name="lease").start()
        try:
            yield lease
        finally:
            done.set()
            with contextlib.suppress(OSError):
                path.unlink()

    def _write(self, purpose: str) -> tuple[Path, Lease]:
        """Begin with an empty file, for its time is that of the file system's clock."""
        identity = uuid.uuid4().hex
        path = self.folder / f"{identity}.json"
        temporary = path.with_suffix(".tmp")
        try:
            temporary.touch()
            started = temporary.stat().st_mtime
            lease = Lease(identity, purpose, socket.gethostname(), os.getpid(), started)
            record: dict[str, Any] = vars(lease) | {
                "machine": this_machine(),
                "process_started": _start_of(lease.pid),
            }
            temporary.write_bytes(canonical_json(record | {"version": version_of(record)}))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return path, lease

    def clean(self, now: float) -> None:
        """Remove what was left half written."""
        for path in self.folder.glob("*.tmp"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > SILENCE_S:
                    path.unlink()

    def live(self, now: float) -> list[Lease]:
        """Leases of processes that live, as far as can be known; those of dead ones are removed.

        now: seconds since 1970 by the clock of the file system.
        """
        found: list[Lease] = []
        for path in sorted(self.folder.glob("*.json")):
            touched = 0.0
            try:
                touched = path.lstat().st_mtime
                with open_regular(path) as file:
                    content = file.read(LARGEST)
            except FileNotFoundError:
                continue
            except DamagedObjectError:
                content = b""
            lease, dead = _read(path.stem, content)
            if dead is None:
                dead = now - touched > SILENCE_S
            if not dead:
                found.append(lease)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
        return found


def _read(identity: str, content: bytes) -> tuple[Lease, bool | None]:
    """A lease, and whether its process is dead; None where that cannot be known from here."""
    try:
        record = parse_json(content)
        if record["version"] != version_of(record) or record["id"] != identity:
            raise ValueError("changed")
        pid, started = int(record["pid"]), float(record["started"])
        lease = Lease(identity, str(record["purpose"]), str(record["host"]), pid, started)
        process_started = float(record["process_started"])
    except (ValueError, TypeError, KeyError, InputError):
        return Lease(identity, "unknown", "unknown", 0, 0.0), None
    if record["machine"] != this_machine():
        return lease, None
    now_there = _start_of(pid)
    return lease, now_there is None or abs(now_there - process_started) > SAME_START_S


def _beat(path: Path, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT_S):
        with contextlib.suppress(OSError):
            os.utime(path)


def _start_of(pid: int) -> float | None:
    """When a process of this machine began, None if there is none: numbers of processes are used again."""
    import psutil  # not what every command needs

    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
