"""The operation log: every move of every reference, in order, so that each can be undone.

A journal of lines of JSON. An operation is appended and synced before its references move; a second line says that
it ended, or that it never happened. So the last operation is under way, or its process died, exactly if no line
says how it ended; nothing is concluded from what references hold. A line cut short by a crash counts for nothing.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mpop_store.durable import fsync
from mpop_store.hashing import parse_json
from mpop_store.machines import user_name

Moves = Mapping[str, tuple[str | None, str | None]]
"""Reference -> its value before and after: a commit id, "ref: <name>" for a symbolic HEAD, None for nothing."""

HEAD = "HEAD"
PIECE = 2**14
"""Bytes that are read at a time from the end of the log."""
RECENT = 2**20
"""Bytes at the end of the log in which an everyday command looks for where a reference was left."""


@dataclass(frozen=True)
class Operation:
    """One change of references.

    number: its place in the log, from 1. head: what HEAD is once it is done; None in old logs, which do
    not say how operations ended. working_state: the commits that the working state leaves and takes up with it.
    """

    number: int
    time: str
    who: str
    reason: str
    moves: dict[str, tuple[str | None, str | None]]
    head: str | None = None
    working_state: tuple[str | None, str | None] | None = None


@dataclass(frozen=True)
class _End:
    """How an operation ended: it happened, or it did not."""

    number: int
    happened: bool


class OperationLog:
    """The log in one file. What changes it is to be called under the repository's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._open: Operation | None = None

    def begin(
        self,
        moves: Moves,
        reason: str,
        head: str,
        working_state: tuple[str | None, str | None] | None = None,
    ) -> Operation:
        """Write an operation through to the disk, before its references move."""
        return self._append(moves, reason, head, working_state)

    def end(self, operation: Operation, happened: bool = True) -> None:
        """Note how an operation ended. Synced where the references could not say it after a power cut."""
        several = len(operation.moves) > 1 or operation.working_state is not None
        self._write({"ended": operation.number, "happened": happened}, sync=several)

    def record(self, moves: Moves, reason: str, head: str) -> Operation:
        """Note moves that have happened already."""
        operation = self._append(moves, reason, head, None)
        self.end(operation)
        return operation

    def _append(
        self, moves: Moves, reason: str, head: str, working_state: tuple[str | None, str | None] | None
    ) -> Operation:
        last = self.last()
        operation = Operation(
            1 if last is None else last.number + 1,
            datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            who(),
            reason,
            dict(moves),
            head,
            working_state,
        )
        self._write({key: value for key, value in asdict(operation).items() if value is not None}, sync=True)
        return operation

    def _write(self, values: Mapping[str, Any], sync: bool) -> None:
        is_new = not self._path.exists()
        with self._path.open("ab") as file:
            if not _ends_in_newline(self._path):
                file.write(b"\n")  # a crash cut the last line short; it stays, and counts for nothing
            file.write(json.dumps(values).encode() + b"\n")
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if is_new:
            fsync(self._path.parent)

    def all(self) -> list[Operation]:
        """Every operation, oldest first, but for those that never happened."""
        return [operation for operation, _ in _happened(self._backwards())][::-1]

    def last(self) -> Operation | None:
        """The newest operation, whether or not it happened; reads only the end of the file."""
        return next((one for one in self._backwards() if isinstance(one, Operation)), None)

    def under_way(self) -> Operation | None:
        """The operation that has not ended: another process is at it, or died in it."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        seen = (found.st_size, found.st_mtime_ns)
        if seen != self._seen:
            newest = next(self._backwards(), None)
            self._open = newest if isinstance(newest, Operation) and newest.head is not None else None
            self._seen = seen
        return self._open

    def left_at(self, names: Collection[str] | None = None) -> dict[str, str | None]:
        """Where the operations left references (None: every one that they moved, and HEAD).

        With names only the recent part of the log is read; a name is not in the result where that does not say.
        """
        found: dict[str, str | None] = {}
        seen: set[str] = set()
        for operation, has_ended in _happened(self._backwards(None if names is None else RECENT)):
            values = {name: new for name, (_, new) in operation.moves.items()}
            if operation.head is not None:
                values[HEAD] = operation.head
            for name in values.keys() - seen:
                seen.add(name)
                if has_ended:
                    found[name] = values[name]
            if names is not None and seen.issuperset(names):
                break
        return {name: value for name, value in found.items() if names is None or name in names}

    def _backwards(self, most: int | None = None) -> Iterator[Operation | _End]:
        """What the log says, newest first, in at most so many bytes at its end (None: in all of it)."""
        try:
            with self._path.open("rb") as file:
                start = file.seek(0, os.SEEK_END)
                stop = 0 if most is None else max(0, start - most)
                line: list[bytes] = []  # pieces of the one that begins further ahead, last first
                while start > stop:
                    size = min(PIECE, start - stop)
                    start -= size
                    file.seek(start)
                    *before, last = file.read(size).split(b"\n")
                    line.append(last)
                    if before:
                        yield from filter(None, map(_parse, (b"".join(line[::-1]), *before[:0:-1])))
                        line = before[:1]
                if start == 0 and (one := _parse(b"".join(line[::-1]))) is not None:
                    yield one
        except FileNotFoundError:
            return


def _happened(backwards: Iterable[Operation | _End]) -> Iterator[tuple[Operation, bool]]:
    """Operations, newest first, without those that never happened, and whether the log says that they ended."""
    ended: dict[int, bool] = {}
    for one in backwards:
        if isinstance(one, _End):
            ended.setdefault(one.number, one.happened)
        elif ended.get(one.number, True):
            yield one, ended.pop(one.number, False)


def _parse(line: bytes) -> Operation | _End | None:
    try:
        values = parse_json(line)
        if "ended" in values:
            return _End(int(values["ended"]), values["happened"] is True)
        if datetime.datetime.fromisoformat(values["time"]).tzinfo is None:
            return None
        state = values.get("working_state")
        return Operation(
            int(values["number"]),
            str(values["time"]),
            str(values["who"]),
            str(values["reason"]),
            {name: _pair(move) for name, move in values["moves"].items()},
            _text(values.get("head")),
            None if state is None else _pair(state),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


def _pair(values: Any) -> tuple[str | None, str | None]:
    before, after = values
    return _text(before), _text(after)


def _text(value: Any) -> str | None:
    if not (value is None or isinstance(value, str)):
        raise TypeError(value)
    return value


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def who() -> str:
    """Who is at work here: user and machine."""
    return f"{user_name()}@{socket.gethostname()}"
