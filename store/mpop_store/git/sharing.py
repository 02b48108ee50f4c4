"""Git's `core.sharedRepository`: who may read and write the files of a population that several users write to."""

from __future__ import annotations

import os

import pygit2

from mpop_store.errors import StateError

SETTING = "core.sharedRepository"
NOT_SHARED = ("umask", "false", "no", "off", "0", "")
BY_GROUP = ("group", "true", "yes", "on", "1")
BY_ALL = ("all", "world", "everybody", "2")
GROUP, ALL = 0o660, 0o664


def share(config: pygit2.Config) -> None:
    """Have this process make files that may be used by those with whom the population is shared.

    It is the umask of the process that is changed, so that it holds for mpop, libgit2 and git alike, and for what
    the process writes elsewhere too. Who owns new files is decided by the folders: give them to a group, with
    `chmod g+s`. Raises StateError for a value that Git does not know either.
    """
    values = list(config.get_multivar(SETTING))
    value = "" if not values else "true" if values[-1] is None else values[-1].lower()
    if value in NOT_SHARED:
        return
    mask = os.umask(0o077)  # it can only be read by setting it
    try:
        shared = _mask(value, mask)
    except StateError:
        os.umask(mask)
        raise
    os.umask(shared)


def _mask(value: str, mask: int) -> int:
    """The umask for a value of the setting. mask: the user's own, which a number replaces."""
    if value in BY_GROUP or value in BY_ALL:
        return mask & ~_with_folders(GROUP if value in BY_GROUP else ALL)
    try:
        mode = int(value, 8)
    except ValueError:
        mode = 0
    if mode & 0o600 != 0o600 or mode > 0o777:
        raise StateError(
            f"{SETTING} is {value!r}, which Git does not know; `git config {SETTING} group` is meant?"
        )
    return 0o777 & ~_with_folders(mode)


def _with_folders(mode: int) -> int:
    """A mode of files with that of folders: who may read may enter."""
    return (mode & 0o666) | (mode & 0o444) >> 2
