"""Reading from a stranger, but not for ever: who sends next to nothing for long is given up."""

from __future__ import annotations

import io
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUIET_S = 600.0
"""Seconds of waiting in which something must come."""
LEAST_BYTES = 600 * 2**10
"""Bytes that must come in `QUIET_S` of waiting: 1 KiB/s, which curl and Git call the low speed limit."""
THINKING_S = 6 * 3600.0
"""Seconds that the other side may take to check a push; it says nothing meanwhile."""


class PatientReader(io.RawIOBase):
    """The bytes of a pipe. Raises TimeoutError when too few come; only the time counts that is spent waiting."""

    def __init__(self, pipe: io.FileIO, quiet_s: float = QUIET_S, least: int = LEAST_BYTES) -> None:
        self._pipe = pipe
        self._quiet_s = quiet_s
        self._least = least
        self._waited = 0.0
        self._arrived = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]  # typeshed's name is private
        started = time.monotonic()
        ready = select.select([self._pipe], [], [], max(0.0, self._quiet_s - self._waited))[0]
        self._waited += time.monotonic() - started
        if not ready:
            raise TimeoutError
        count = self._pipe.readinto(buffer)
        self._arrived += count or 0
        if self._waited >= self._quiet_s and self._arrived < self._least:
            raise TimeoutError
        if self._arrived >= self._least:
            self._waited, self._arrived = 0.0, 0
        return count

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Inside, wait longer."""
        usual, self._quiet_s = self._quiet_s, seconds
        self._waited, self._arrived = 0.0, 0
        try:
            yield
        finally:
            self._quiet_s = usual
            self._waited, self._arrived = 0.0, 0

    def close(self) -> None:
        self._pipe.close()
        super().close()
