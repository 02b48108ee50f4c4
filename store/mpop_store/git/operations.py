"""The operation log: every move of every reference, in order, so that each can be undone.

One line of JSON per operation, appended and synced before the references move. A line cut short by a crash is
the end of the log: its operation never began.
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mpop_store.durable import fsync
from mpop_store.hashing import parse_json

Moves = Mapping[str, tuple[str | None, str | None]]
"""Reference -> its value before and after: a commit id, "ref: <name>" for a symbolic HEAD, None for nothing."""


@dataclass(frozen=True)
class Operation:
    """One change of references. number: its place in the log, from 1."""

    number: int
    time: str
    who: str
    reason: str
    moves: dict[str, tuple[str | None, str | None]]


class OperationLog:
    """The log in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, moves: Moves, reason: str) -> Operation:
        """Write an operation through to the disk. To be called under the repository's lock."""
        last = self.last()
        operation = Operation(
            1 if last is None else last.number + 1,
            datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            _who(),
            reason,
            dict(moves),
        )
        line = json.dumps({key: value for key, value in asdict(operation).items()}).encode() + b"\n"
        is_new = not self._path.exists()
        with self._path.open("ab") as file:
            if not _ends_in_newline(self._path):
                file.write(b"\n")  # a crash cut the last line short; it stays, and counts for nothing
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            fsync(self._path.parent)
        return operation

    def all(self) -> list[Operation]:
        """Every operation, oldest first."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        found = (_parse(line) for line in lines)
        return [operation for operation in found if operation is not None]

    def last(self) -> Operation | None:
        """The newest operation; reads only the end of the file."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                reach = 1 << 16
                while True:
                    file.seek(max(0, size - reach))
                    tail = file.read().split(b"\n")
                    whole = tail if reach >= size else tail[1:]  # the first may be the end of a longer line
                    for line in reversed(whole):
                        if (operation := _parse(line)) is not None:
                            return operation
                    if reach >= size:
                        return None
                    reach *= 16
        except FileNotFoundError:
            return None


def _parse(line: bytes) -> Operation | None:
    try:
        values = parse_json(line)
        moves = {str(name): (move[0], move[1]) for name, move in values["moves"].items()}
        return Operation(int(values["number"]), values["time"], values["who"], values["reason"], moves)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a container's user id without a name
        return f"{os.getuid()}@{socket.gethostname()}"
