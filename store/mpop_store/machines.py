"""What tells this machine, and the processes on it, from others that see the same disk."""

from __future__ import annotations

import contextlib
import getpass
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


def user_name() -> str:
    """Who runs this process, by number where the user has no name, as in containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def process_token(pid: int) -> str | None:
    """What tells a process of this machine from all that had or will have its number; None if it is gone.

    It does not depend on the clock, which may be set while the process runs.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2]
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _token_without_proc(pid)
    return after_name.split()[19]  # when it began, in ticks since the machine was booted


def _token_without_proc(pid: int) -> str | None:
    import psutil  # not what every command needs

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def silent_s(path: Path, now: float) -> float:
    """How long nobody has touched a file, in seconds. now: by the clock of the file system. Raises OSError.

    A file from the future was touched when the clock was wrong. It is dated anew, so that its time will come.
    """
    silence = now - path.lstat().st_mtime
    if silence < -SILENCE_S:
        with contextlib.suppress(PermissionError):  # another user's, who will do so
            os.utime(path, (now, now), follow_symlinks=False)
        return 0.0
    return silence
