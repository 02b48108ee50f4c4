"""A history as it would be with commits that have just come, for checks that read much of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pygit2

from mpop_store.errors import DamagedObjectError
from mpop_store.git.git_commands import running
from mpop_store.git.git_objects import GitObjects
from mpop_store.git.history import History
from mpop_store.git.many_files import read_answer
from mpop_store.transfer.naming import Named, everything, is_record, references_in
from mpop_store.transfer.walking import FileChange


class IncomingHistory(History):
    """The commits of a repository and those in a folder beside it. variables: with which Git sees both."""

    def __init__(self, real: History, folder: Path, variables: dict[str, str]) -> None:
        git = pygit2.Repository(str(real.git_directory))
        git.odb.add_disk_alternate(str(folder))
        super().__init__(git)
        self._objects = self._streamed = _StreamedObjects(git, variables)
        self.objects = real.objects
        self.references_of = real.references_of
        self._found = Named()
        self._unread: dict[str, str] = {}

    def collect_names(self, changes: Iterable[FileChange]) -> None:
        """From now on keep what the new records of changes name, as they are read, so that none is read twice."""
        new = ((one.new, one.path) for one in changes if one.new is not None and is_record(one.path))
        self._unread.update(new)

    def names(self) -> Named:
        """What those records name. Raises DamagedObjectError for one that is not a record."""
        for oid, path in list(self._unread.items()):
            self._keep_names(oid, path, super().load(oid))
        return self._found

    def load(self, oid: str, unique_keys: bool = False) -> dict[str, Any]:
        """As `History.load`."""
        record = super().load(oid, unique_keys)
        if (path := self._unread.get(oid)) is not None:
            with suppress(DamagedObjectError):  # it stays unread, and `names` will say so
                self._keep_names(oid, path, record)
        return record

    def _keep_names(self, oid: str, path: str, record: dict[str, Any]) -> None:
        self._found.add(references_in(record, path, everything(self.references_of)))
        del self._unread[oid]

    def close(self) -> None:
        """End what reads for us."""
        self._streamed.close()


class _StreamedObjects(GitObjects):
    """Reads records through one `git cat-file`: in a pack that has just come, and is packed tightly, libgit2 needs
    ten times as long, for it keeps little of what it has unpacked."""

    def __init__(self, git: pygit2.Repository, variables: dict[str, str]) -> None:
        super().__init__(git)
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self._open = ExitStack()

    def blob(self, oid: str) -> bytes:
        """Content of a file."""
        if self._process is None:
            self._process = self._open.enter_context(running(["cat-file", "--batch"], self._variables))
        reader, writer = self._process.stdout, self._process.stdin
        assert reader and writer
        try:
            writer.write(f"{oid}\n".encode())
            writer.flush()
            return read_answer(reader, oid)
        except OSError as error:  # Git has ended
            raise DamagedObjectError(f"Git object {oid} cannot be read; run `mpop verify`") from error

    def close(self) -> None:
        """End the process."""
        self._open.close()
        self._process = None
