"""Files that must be there to be read, and that are written whole or not at all."""

from __future__ import annotations

import glob
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mpop.errors import InputError
from mpop_store.hashing import hash_bytes
from mpop_store.machines import SILENCE_S, this_machine


def require_file(path: Path) -> None:
    """Raises InputError when there is no file of this name."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well and is gone when not.

    What a process that was killed left of the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{_machine()}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # a full disk has no name of its own
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """The temporary files of dead processes, as far as can be known: a process of another machine is taken for
    dead when it has been silent for long."""
    for left in path.parent.glob(f"{glob.escape(f'.{path.name}')}.*.*.tmp"):
        machine, pid = left.name.split(".")[-3:-1]
        with suppress(OSError):  # another process is cleaning too
            if machine == _machine() and pid.isdecimal():
                dead = not _is_alive(int(pid))
            else:
                dead = time.time() - left.stat().st_mtime > SILENCE_S
            if dead:
                left.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _machine() -> str:
    return hash_bytes(this_machine().encode())[:8]


@contextmanager
def new_folder(directory: Path) -> Iterator[Path]:
    """A temporary folder that becomes `directory` when the block ends well and is gone when not.

    Raises InputError when there is something in `directory` already.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory}: exists and is not an empty folder; choose a new one")
    directory.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(directory.parent, os.W_OK | os.X_OK):
        raise InputError(f"{directory.parent}: may not be written to; choose another folder")
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        yield made
        os.replace(made, directory)
