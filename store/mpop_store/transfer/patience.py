"""Reading from a stranger, but not for ever: who sends too slowly for too long is given up."""

from __future__ import annotations

import io
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pygit2

from mpop_store.errors import InputError

THINKING_S = 6 * 3600.0
"""Seconds that the other side may take to check a push; it says nothing meanwhile."""


@dataclass(frozen=True)
class Patience:
    """How slow the other side may be, as Git's `http.lowSpeedLimit` and `http.lowSpeedTime` have it.

    limit: bytes per second that must come at least, on average over `time_s` seconds of waiting. With 0 it is
    enough that something comes. The default lets 4 GiB, the largest Git pack, take 1.5 days and no longer.
    """

    limit: float = 32 * 2**10
    time_s: float = 600.0

    @classmethod
    def of(cls, config: pygit2.Config) -> Patience:
        """As `mpop.lowSpeedLimit` and `mpop.lowSpeedTime` in Git's configuration say. Raises InputError."""
        usual = cls()
        found = cls(
            _number(config, "mpop.lowSpeedLimit", usual.limit), _number(config, "mpop.lowSpeedTime", usual.time_s)
        )
        if found.time_s == 0:
            raise InputError("mpop.lowSpeedTime in Git's configuration must be 1 second or more, not 0")
        return found


def _number(config: pygit2.Config, key: str, default: float) -> float:
    values = list(config.get_multivar(key))
    if not values:
        return default
    text = str(values[-1])  # the last one counts
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InputError(f"{key} in Git's configuration must be a whole number, not {text!r}")
    return float(text)


class PatientReader(io.RawIOBase):
    """The bytes of a pipe. Raises TimeoutError when too few come; only the time counts that is spent waiting."""

    def __init__(self, pipe: io.FileIO, patience: Patience) -> None:
        self._pipe = pipe
        self._time_s = patience.time_s
        self._least = patience.limit * patience.time_s
        self.restart()

    def restart(self) -> None:
        """Count anew: what was waited for before has come."""
        self._waited = 0.0
        self._arrived = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]  # typeshed's name is private
        started = time.monotonic()
        ready = select.select([self._pipe], [], [], max(0.0, self._time_s - self._waited))[0]
        self._waited += time.monotonic() - started
        if not ready:
            raise TimeoutError
        count = self._pipe.readinto(buffer)
        self._arrived += count or 0
        if self._waited >= self._time_s and self._arrived < self._least:
            raise TimeoutError
        if self._arrived >= self._least:
            self.restart()
        return count

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Inside, wait longer."""
        usual, self._time_s = self._time_s, seconds
        self.restart()
        try:
            yield
        finally:
            self._time_s = usual
            self.restart()

    def close(self) -> None:
        self._pipe.close()
        super().close()


class Asking(io.BufferedWriter):
    """What goes to the other side. For each question it has its time to answer anew: many answers are short, and
    take long to find."""

    def __init__(self, pipe: io.FileIO, size: int, reader: PatientReader) -> None:
        super().__init__(pipe, size)
        self._reader = reader

    def flush(self) -> None:
        super().flush()
        self._reader.restart()
