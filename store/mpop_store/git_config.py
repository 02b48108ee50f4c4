"""Git's configuration of one population."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2

from mpop_store.errors import StoreError
from mpop_store.locking import break_abandoned


@contextmanager
def changing_config(git_directory: Path) -> Iterator[pygit2.Config]:
    """The configuration that lies in a Git directory itself, to be changed under the population's lock.

    Raises StoreError when it cannot be written.
    """
    file = git_directory / "config"
    break_abandoned(file)
    try:
        yield pygit2.Config(str(file))
    except (pygit2.GitError, OSError) as error:
        raise StoreError(f"cannot write {file}: {error}") from error
