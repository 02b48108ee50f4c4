"""Reading many files from Git, through one `git cat-file`: libgit2 keeps so little of what it has unpacked that it
takes ten times as long for them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO

from mpop_store.errors import DamagedObjectError
from mpop_store.git.git_commands import environment, running
from mpop_store.git.git_objects import MAX_OBJECT, GitObjects

MANY = 200
"""For so many files a Git is started."""


def read_files(objects: GitObjects, git_directory: Path, oids: Sequence[str]) -> Generator[bytes]:
    """Content of files, in their order. Raises DamagedObjectError for what is unsound."""
    if len(oids) < MANY or shutil.which("git") is None:
        yield from map(objects.blob, oids)
        return
    with running(["cat-file", "--batch", "--buffer"], environment(git_directory)) as process:
        assert process.stdin and process.stdout
        asking = Thread(target=_ask, args=(process.stdin, oids))
        asking.start()
        try:
            for oid in oids:
                content = read_answer(process.stdout, oid)
                if hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest() != oid:
                    raise DamagedObjectError(f"Git object {oid} is damaged; run `mpop verify`")
                yield content
        finally:
            process.kill()
            asking.join()


def _ask(stream: IO[bytes], oids: Sequence[str]) -> None:
    with suppress(OSError):  # Git has ended, or we do not want more
        stream.write("".join(f"{oid}\n" for oid in oids).encode())
        stream.close()


def read_answer(stream: IO[bytes], oid: str) -> bytes:
    """What `git cat-file --batch` says about a file. Raises DamagedObjectError for what is none, or too large."""
    words = stream.readline().split()
    if len(words) != 3 or words[1] != b"blob" or int(words[2]) > MAX_OBJECT:
        raise DamagedObjectError(f"Git object {oid} is not a file, or not here")
    return stream.read(int(words[2]) + 1)[:-1]
