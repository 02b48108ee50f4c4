"""Running the system's Git on one Git directory, where libgit2 is slower, or cannot do it.

Nothing that a user has set up to look at another repository, no hook and no replaced object gets in between.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mpop_store.errors import MpopError, StoreError
from mpop_store.git.opening import require_loose_files

PIECE = 2**18
BIG_FILE = "core.bigFileThreshold=1g"
"""Git streams files that are larger, and takes no memory for them; others it refuses by `ALLOC_LIMIT`, at once."""
ALLOC_LIMIT = "256m"
"""Bytes that Git may take at a time: enough for the list of three million objects. A few bytes of a pack can
unpack to any size."""


def environment(git_directory: Path, objects: Path | None = None, also: Path | None = None) -> dict[str, str]:
    """Variables for Git. objects: the folder that it writes to; also: another one that it reads from.

    Raises DamagedObjectError where Git would wait for a named pipe that lies in place of an object.
    """
    require_loose_files(git_directory)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    kept |= {
        "GIT_DIR": str(git_directory),
        "LC_ALL": "C",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOC_LIMIT": ALLOC_LIMIT,
    }
    if objects is not None:
        kept["GIT_OBJECT_DIRECTORY"] = str(objects)
    if also is not None:
        kept["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _quoted(also)
    return kept


def _quoted(path: Path) -> str:
    """A path as Git takes it in a list that is separated by colons."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


@contextmanager
def running(arguments: Sequence[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Git at work, with pipes to all three streams; ended in any case. Raises StoreError when there is no Git."""
    command = ["git", "-c", BIG_FILE, "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables
        )
    except FileNotFoundError as error:
        raise StoreError(
            "mpop needs Git to exchange commits, and there is no `git` on the PATH; install it"
        ) from error
    try:
        yield process
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            with suppress(OSError):  # what is still buffered cannot be written any more
                stream.close()
        process.wait()


def lines_of(arguments: Sequence[str], variables: dict[str, str], lines: Iterable[str] = ()) -> str:
    """What Git prints, given lines on its standard input. Raises StoreError."""
    with running(arguments, variables) as process:
        printed, said = process.communicate("".join(f"{line}\n" for line in lines).encode())
    if process.returncode:
        raise failed(arguments, said)
    return printed.decode("utf-8", "surrogateescape")


def succeeds(arguments: Sequence[str], variables: dict[str, str]) -> bool:
    """Whether Git answers yes: exit code 0 and not 1. Raises StoreError for any other."""
    with running(arguments, variables) as process:
        _, said = process.communicate()
    if process.returncode > 1:
        raise failed(arguments, said)
    return process.returncode == 0


def failed(arguments: Sequence[str], said: bytes, kind: type[MpopError] = StoreError) -> MpopError:
    """The error of a Git that did not succeed."""
    command = next(argument for argument in arguments if not argument.startswith("-"))
    reason = " ".join(said.decode("utf-8", "replace").split())[:500]
    return kind(f"git {command} failed: {reason or 'it gives no reason'}")
