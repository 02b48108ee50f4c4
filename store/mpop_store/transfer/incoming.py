"""A history as it would be with commits that have just come, for checks that read much of it."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pygit2

from mpop_store.errors import DamagedObjectError
from mpop_store.git.git_objects import MAX_OBJECT, GitObjects
from mpop_store.git.history import History
from mpop_store.transfer.git_commands import running


class IncomingHistory(History):
    """The commits of a repository and those in a folder beside it. variables: with which Git sees both."""

    def __init__(self, real: History, folder: Path, variables: dict[str, str]) -> None:
        git = pygit2.Repository(str(real.git_directory))
        git.odb.add_disk_alternate(str(folder))
        super().__init__(git)
        self._objects = self._streamed = _StreamedObjects(git, variables)
        self.objects = real.objects
        self.references_of = real.references_of

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
            words = reader.readline().split()
            if len(words) != 3 or words[1] != b"blob" or int(words[2]) > MAX_OBJECT:
                raise DamagedObjectError(f"Git object {oid} is not a file, or not here")
            return reader.read(int(words[2]) + 1)[:-1]
        except OSError as error:  # Git has ended
            raise DamagedObjectError(f"Git object {oid} cannot be read; run `mpop verify`") from error

    def close(self) -> None:
        """End the process."""
        self._open.close()
        self._process = None
