"""Reading objects that are not here from the remotes that have them, many in one request."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from threading import Lock

from mpop_store.errors import MissingObjectError, MpopError, NotFoundError, StoreError
from mpop_store.git.repository import Repository
from mpop_store.objects.promises import HeldPromises
from mpop_store.transfer.remote import Remote
from mpop_store.transfer.remotes import Remotes, RemoteSettings
from mpop_store.transfer.sending import bring


class LazyObjects:
    """Asks remotes for missing objects. A connection is made when it is first needed, and kept."""

    def __init__(self, repository: Repository, settings: Sequence[RemoteSettings]) -> None:
        self._objects = repository.objects
        self._remotes = Remotes(repository)
        self._settings = settings
        self._open: dict[str, Remote] = {}
        self._one_at_a_time = Lock()

    def fetch(self, names: Sequence[str]) -> None:
        """Bring objects. Raises MissingObjectError when a remote that may have one cannot be reached."""
        with self._one_at_a_time:  # arrays are read by several threads, and a connection serves one
            self._fetch([name for name in names if not self._objects.has(name)])

    def _fetch(self, missing: list[str]) -> None:
        unreachable: MpopError | None = None
        for settings in self._settings if missing else ():
            try:
                missing = self._fetch_from(settings, missing)
            except (NotFoundError, StoreError) as error:
                self._forget(settings.name)
                unreachable = error
            if not missing:
                return
        if unreachable is not None:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise MissingObjectError(f"object {missing[0]}{more} is not here, and: {unreachable}") from unreachable

    def _fetch_from(self, settings: RemoteSettings, names: Sequence[str]) -> list[str]:
        """Bring what a remote has; returns what it has not."""
        remote = self._open.get(settings.name)
        if remote is None:
            remote = self._open[settings.name] = self._remotes.connect(settings)
            atexit.register(self._forget, settings.name)
        there = remote.have(names)
        bring(self._objects, remote, [name for name, known in zip(names, there, strict=True) if known])
        return [name for name, known in zip(names, there, strict=True) if not known]

    def _forget(self, name: str) -> None:
        remote = self._open.pop(name, None)
        if remote is not None:
            try:
                remote.close()
            except MpopError:
                return


def read_lazily(repository: Repository) -> None:
    """Let objects that are not here be read from remotes: from those that were fetched from; from all if something
    was left at one, for that may have been removed and added again."""
    anywhere = HeldPromises(repository.private).any()
    settings = [one for one in Remotes(repository).all().values() if anywhere or one.data is not None]
    if settings:
        repository.objects.fetch_missing = LazyObjects(repository, settings).fetch
