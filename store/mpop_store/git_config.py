"""Git's configuration of one population."""

from __future__ import annotations

from pathlib import Path

import pygit2

from mpop_store.locking import break_abandoned


def own_config(git_directory: Path) -> pygit2.Config:
    """The configuration that lies in a Git directory itself, to be changed under the population's lock."""
    file = git_directory / "config"
    break_abandoned(file)
    return pygit2.Config(str(file))
