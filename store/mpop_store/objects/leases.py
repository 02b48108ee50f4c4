"""Leases: who is writing, since when. Garbage collection touches nothing that is newer than the oldest of them.

A lease is a file in one folder: canonical JSON with the fields id, purpose, user, host, machine, pid, process
(what tells it from others of the same pid), started (seconds since 1970 by the clock of the file system),
branch and writes (names of what will be changed there in the end), and version, the BLAKE3 of the others. Its
writer touches it once a minute, and writes it again if it was taken for dead. Whether its process lives is
known on the same machine; elsewhere it counts as dead once it has not touched the file for long.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mpop_store.errors import DamagedObjectError, InputError, StoreError
from mpop_store.hashing import canonical_json, parse_json, version_of
from mpop_store.machines import SILENCE_S, process_token, silent_s, this_machine, user_name
from mpop_store.regular_files import open_regular

HEARTBEAT_S = 60.0
LARGEST = 2**16
"""Bytes of a lease's file that are read."""


@dataclass(frozen=True)
class Lease:
    """A writer at work. started: seconds since 1970; 0 if its file cannot be read, so that nothing is newer.

    writes: names of what it will change on a branch in the end; () of those that are in nobody's way.
    """

    id: str
    purpose: str
    host: str
    pid: int
    started: float
    user: str = ""
    branch: str = ""
    writes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.pid:
            return f"an unreadable lease {self.id}"
        began = datetime.datetime.fromtimestamp(self.started)
        form = "%H:%M" if began.date() == datetime.date.today() else "%Y-%m-%d %H:%M"
        by = f"by {self.user} " if self.user else ""
        return f"{self.purpose}, {by}on {self.host}, since {began:{form}}, pid {self.pid}"

    def in_the_way_of(self, other: Lease) -> bool:
        """Whether the other one has to wait: this one began before it, and both change the same."""
        return (
            self.branch == other.branch
            and not set(self.writes).isdisjoint(other.writes)
            and (self.started, self.id) < (other.started, other.id)
        )


class Leases:
    """The leases in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def hold(self, purpose: str, branch: str = "", writes: Iterable[str] = ()) -> Iterator[Lease]:
        """Hold a lease inside. purpose: a word for people, such as `refine`. Raises StoreError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lease = self._begin(purpose, branch, tuple(sorted(writes)))
            self._write(lease)
        except OSError as error:
            raise StoreError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        done = threading.Event()
        beat = threading.Thread(target=self._beat, args=(lease, done), daemon=True, name="lease")
        beat.start()
        try:
            yield lease
        finally:
            done.set()
            beat.join()  # or else it may write the file again
            with contextlib.suppress(OSError):
                self._path(lease).unlink()

    def _path(self, lease: Lease) -> Path:
        return self.folder / f"{lease.id}.json"

    def _begin(self, purpose: str, branch: str, writes: tuple[str, ...]) -> Lease:
        """A lease that starts at the time of an empty file, which is that of the file system's clock."""
        identity = uuid.uuid4().hex
        temporary = self.folder / f"{identity}.tmp"
        try:
            temporary.touch()
            started = temporary.stat().st_mtime
            return Lease(
                identity, purpose, socket.gethostname(), os.getpid(), started, user_name(), branch, writes
            )
        finally:
            temporary.unlink(missing_ok=True)

    def _write(self, lease: Lease) -> None:
        path = self._path(lease)
        temporary = path.with_suffix(".tmp")
        record = vars(lease) | {"machine": this_machine(), "process": process_token(lease.pid)}
        record["writes"] = list(lease.writes)
        try:
            temporary.write_bytes(canonical_json(record | {"version": version_of(record)}))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _beat(self, lease: Lease, done: threading.Event) -> None:
        while not done.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                try:
                    os.utime(self._path(lease))
                except FileNotFoundError:  # somebody took it for dead, as when the clock was set
                    self._write(lease)

    def clean(self, now: float) -> None:
        """Remove what was left half written."""
        for path in self.folder.glob("*.tmp"):
            with contextlib.suppress(OSError):
                if silent_s(path, now) > SILENCE_S:
                    path.unlink()

    def live(self, now: float) -> list[Lease]:
        """Leases of processes that live, as far as can be known; those of dead ones are removed.

        now: seconds since 1970 by the clock of the file system.
        """
        found: list[Lease] = []
        for path in sorted(self.folder.glob("*.json")):
            silence = 0.0
            try:
                silence = silent_s(path, now)
                with open_regular(path) as file:
                    content = file.read(LARGEST)
            except FileNotFoundError:
                continue
            except DamagedObjectError:
                content = b""
            lease, dead = _read(path.stem, content)
            if dead is None:
                dead = silence > SILENCE_S
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
        lease = Lease(
            identity,
            str(record["purpose"]),
            str(record["host"]),
            pid,
            started,
            str(record.get("user", "")),
            str(record.get("branch", "")),
            tuple(str(name) for name in record.get("writes", ())),
        )
        process = str(record["process"])
    except (ValueError, TypeError, KeyError, InputError):
        return Lease(identity, "unknown", "unknown", 0, 0.0), None
    if record["machine"] != this_machine():
        return lease, None
    return lease, process_token(pid) != process
