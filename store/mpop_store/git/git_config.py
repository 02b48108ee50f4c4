"""Git's configuration of one population."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2

from mpop_store.durable import fsync, fsync_all
from mpop_store.errors import StoreError
from mpop_store.locking import break_abandoned


@contextmanager
def changing_config(git_directory: Path) -> Iterator[pygit2.Config]:
    """The configuration that lies in a Git directory itself, to be changed under the population's lock.

    All changes appear at once, at the end, as Git makes them: in the lock of the file, which then takes its place.
    Raises StoreError when it cannot be written.
    """
    file = git_directory / "config"
    lock = file.with_name(f"{file.name}.lock")
    for one in (file, lock):  # libgit2 locks whatever it writes
        break_abandoned(one)
    try:
        with lock.open("xb") as target, file.open("rb") as source:
            shutil.copyfileobj(source, target)
        try:
            yield pygit2.Config(str(lock))
            fsync_all([lock])
            os.replace(lock, file)
            fsync(git_directory)
        finally:
            lock.unlink(missing_ok=True)
    except (pygit2.GitError, OSError) as error:
        raise StoreError(f"cannot write {file}: {error}") from error
