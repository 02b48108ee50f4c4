"""A place to try what nobody keeps: a repository that reads everything of another one, and writes beside it."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2

from mpop_store.errors import MissingObjectError, StoreError
from mpop_store.git.refs import HEAD
from mpop_store.git.repository import BRANCH, Repository
from mpop_store.objects.store import ObjectStore

PREFIX = "scratch-"


class ScratchStore(ObjectStore):
    """Objects written below a folder of their own, and read from there or from another store.

    hidden: names that the other store shall not be asked for.
    """

    def __init__(self, root: Path, origin: ObjectStore, hidden: Collection[str] = ()) -> None:
        super().__init__(root)
        self._origin = origin
        self._hidden = hidden

    def has(self, name: str) -> bool:
        """Whether an object is in either store."""
        return super().has(name) or (name not in self._hidden and self._origin.has(name))

    def freshen(self, name: str) -> bool:
        """What either store has need not be written."""
        return super().freshen(name) or (name not in self._hidden and self._origin.has(name))

    def prefetch(self, names: Iterable[str]) -> None:
        """Let the other store fetch what neither has."""
        self._origin.prefetch(name for name in names if name not in self._hidden)

    def _load(self, name: str, read: Callable[[bytes, str], bytes]) -> bytes:
        try:
            return super()._load(name, read)
        except MissingObjectError:
            if name in self._hidden:
                raise
            return self._origin._load(name, read)


@contextmanager
def scratch(repository: Repository, commit: str, hidden: Collection[str] = ()) -> Iterator[Repository]:
    """A repository at a commit of another one; gone afterwards, and the other one is as it was.

    hidden: objects of the other one that it shall not see. Raises StoreError when there is no room for it.
    """
    _sweep(repository.private)
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=repository.private))
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield _make(folder / "population", repository, commit, hidden)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"cannot work in {repository.private}: {error.strerror or error}") from error


def _make(root: Path, repository: Repository, commit: str, hidden: Collection[str]) -> Repository:
    directory = Repository.init(root).git_directory
    (directory / "objects" / "info").mkdir(exist_ok=True)
    (directory / "objects" / "info" / "alternates").write_text(f"{repository.git_directory / 'objects'}\n")
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(repository.git_directory / "shallow", directory / "shallow")
    made = Repository(pygit2.Repository(str(directory)))
    made.config["commit.gpgSign"] = False  # nobody asks for a passphrase to sign what is thrown away
    made.objects = ScratchStore(made.objects.root, repository.objects, hidden)
    made.references_of = repository.references_of
    made.switch(BRANCH, f"scratch: {commit}", start=commit)
    assert made.refs.get(HEAD) == commit
    return made


def _sweep(private: Path) -> None:
    """Remove what killed processes left; a process at work holds its lock."""
    for folder in private.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
