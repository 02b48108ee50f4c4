"""Finding the Git directory of a folder, and refusing what mpop cannot work with before anything reads it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pygit2

from mpop_store.errors import DamagedObjectError, NotFoundError, StateError
from mpop_store.git.sharing import share

NOT_OURS = "is not owned by current user"
"""What libgit2 says, with the path in quotes, about a folder that Git's `safe.directory` would have to allow."""
FLAT = ("", "info", "objects/info", "objects/pack", "mpop", "mpop/checked", "mpop/leases", "mpop/packs")
"""Folders in a Git directory, small ones, whose files are opened by name, by libgit2 and git too."""


def open_git(start: Path) -> pygit2.Repository:
    """The repository that holds a folder. Raises NotFoundError, StateError or DamagedObjectError."""
    start = start.absolute()
    if not start.is_dir():
        raise NotFoundError(f"{start}: no such folder")
    found = pygit2.discover_repository(str(start))
    if found is None:
        raise NotFoundError(f"{start} is not inside a population; make one with `mpop init`")
    folder = Path(found)
    _require_files(folder)
    _refuse_linked(start, folder)
    try:
        git = pygit2.Repository(found)
    except (pygit2.GitError, ValueError) as error:
        if NOT_OURS in str(error):
            path = str(error).split("'")[1]
            raise StateError(
                f"{path} belongs to another user; if you trust whoever can write there: "
                f"`git config --global --add safe.directory {path}`"
            ) from error
        reason = _unsupported_format(folder) or error
        raise StateError(f"{found}: a kind of Git repository that mpop cannot use: {reason}") from error
    share(git.config)
    return git


def _require_files(git_directory: Path) -> None:
    """Raise DamagedObjectError for a named pipe, which never ends for who reads it, and its kin."""
    for name in FLAT:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            for entry in os.scandir(git_directory / name):
                refuse_special(entry)


def refuse_special(entry: os.DirEntry[str]) -> None:
    """Raise DamagedObjectError for what is no file and no folder, nor a link to one, or to nothing."""
    if not (entry.is_file() or entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry.path))):
        raise DamagedObjectError(
            f"{entry.path} is neither a file nor a folder (a named pipe, a socket or a device); "
            "remove it, and run `mpop verify`"
        )


def require_loose_files(git_directory: Path) -> None:
    """Raise DamagedObjectError for a named pipe and its kin among Git's objects, before git reads any of them."""
    for number in range(256):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            for entry in os.scandir(git_directory / "objects" / f"{number:02x}"):
                refuse_special(entry)


def _refuse_linked(start: Path, git_directory: Path) -> None:
    """Raise StateError in a work tree that `git worktree` has made: what mpop keeps there would go with it."""
    if (git_directory / "commondir").exists():
        common = (git_directory / (git_directory / "commondir").read_text().strip()).resolve()
        main = common.parent if common.name == ".git" else common
        raise StateError(
            f"{start} is a work tree that `git worktree` made of the population {main}, where mpop does not work; "
            f"`mpop clone {main} FOLDER` makes a second place to work in, or use `mpop switch` in {main}"
        )


def _unsupported_format(git_directory: Path) -> str | None:
    """Why mpop cannot use a repository, in words with a way out; None if its format is not the reason."""
    hashes = storage = None
    with contextlib.suppress(pygit2.GitError, OSError, ValueError):
        config = pygit2.Config(str(git_directory / "config"))
        hashes = next(iter(config.get_multivar("extensions.objectFormat")), None)
        storage = next(iter(config.get_multivar("extensions.refStorage")), None)
    if hashes not in (None, "sha1"):
        return f"its objects are named by {hashes}, and mpop reads sha1; `mpop init` makes what mpop can use"
    if storage not in (None, "files"):
        return (
            f"its references are kept as {storage}, and mpop reads files; "
            "`git refs migrate --ref-format=files` changes that"
        )
    return None


def unsupported_index(config: pygit2.Config) -> str | None:
    """How to have Git write an index that libgit2 can read; None if no setting is the reason that it cannot."""
    for setting, advice in (
        ("index.sparse", "git sparse-checkout reapply --no-sparse-index"),
        ("core.splitIndex", "git config core.splitIndex false && git update-index --no-split-index"),
    ):
        with contextlib.suppress(KeyError, pygit2.GitError, ValueError):
            if config.get_bool(setting):
                return f"`{advice}`, since mpop does not read what {setting} makes of it"
    return None
