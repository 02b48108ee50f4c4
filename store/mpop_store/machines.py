"""What tells this machine, and the processes on it, from others that see the same disk."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path

SILENCE_S = 3600.0
"""What a process of another machine has not touched for so long belongs to a dead one."""


@cache
def this_machine() -> str:
    """What tells this machine, since it was booted, and its table of processes from all others."""
    parts = [socket.gethostname()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            path = Path(source)
            parts.append(os.readlink(path) if path.is_symlink() else path.read_text().strip())
    return " ".join(parts)
