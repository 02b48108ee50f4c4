"""Which store this is: a random id that no copy inherits.

The id is kept in a file, `identity`, with the inode of the folder in which that lies. A folder cannot be
hard-linked, so a copy of any kind (`cp -a`, `cp -al`, a restored backup) has another inode, and the id in it is
not its own: it gets a new one when somebody next writes there. A folder that is moved, or seen through links, bind
mounts or NFS, keeps its inode and with it its id. A snapshot of the file system, or a copy that has the same
inode by chance, has the same id and is taken for the same store, which is the safe side.

A linked copy (`cp -al`) shares every file with its twin. What is written in place, such as logs, must not stay
shared, or each would find in its log what the other did: together with the new id each of them gets a copy of it.
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mpop_store.durable import TEMPORARY, fsync, fsync_all
from mpop_store.errors import StoreError
from mpop_store.hashing import canonical_json, hash_bytes, parse_json

FILE = "identity"
LARGEST = 2**16
"""Bytes of the file that are read."""
NEVER_IN_PLACE = ("../objects", "objects", "packs", "trash", "quarantine")
"""Folders of Git's and ours, from `.git/mpop`, whose files never change: what is hard-linked there may stay so."""
LOG = "operations.jsonl"
"""Of a linked copy this is linked too, whichever of the two writes first."""
LOCKS = frozenset({"lock", "maintenance", "promises.lock"})
"""Empty; somebody may hold them at this moment. Twins that share them wait for each other, and that is all."""


@dataclass(frozen=True)
class _Kept:
    """What the file holds. inode: in decimal, for it may be more than JSON's numbers hold. copy_of: the id of the
    store that this is a copy of, None for the first."""

    secret: str
    inode: str
    copy_of: str | None

    @property
    def id(self) -> str:
        return hash_bytes(bytes.fromhex(self.secret))[:32]


class Identity:
    """The identity of the store in a folder, `.git/mpop`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def id(self) -> str | None:
        """32 hex digits; None for a store that has none of its own yet. Writes nothing."""
        try:
            kept = self._kept()
            return kept.id if kept is not None and kept.inode == self._inode() else None
        except OSError:
            return None

    def settle(self) -> str:
        """The id, which is made where there is none of its own; to be called under the population's lock.

        Raises StoreError when it cannot be written.
        """
        try:
            kept = self._kept()
            is_own = kept is not None and kept.inode == self._inode()
            if not is_own or _has_twin(self._folder / LOG):
                for file in list(_written_in_place(self._folder)):
                    self._unshare(file)
            if kept is not None and is_own:
                return kept.id
            mine = _Kept(os.urandom(32).hex(), self._inode(), None if kept is None else kept.id)
            self._write(mine)
        except OSError as error:
            raise StoreError(f"cannot write to {self._folder}: {error.strerror or error}") from error
        return mine.id

    def ticket(self, other: str) -> str:
        """A secret, 64 hex digits, that this store shares with the one of another id; `settle` comes first."""
        kept = self._kept()
        if kept is None:
            raise StoreError(f"{self._folder / FILE} is gone; run the command again")
        return hash_bytes(f"{kept.secret} {other}".encode())

    def _inode(self) -> str:
        return str(self._folder.stat().st_ino)

    def _kept(self) -> _Kept | None:
        """What the file says; None where there is none that is sound. Raises OSError when it cannot be read."""
        try:
            with (self._folder / FILE).open("rb") as file:
                record = parse_json(file.read(LARGEST))
            kept = _Kept(record["secret"], record["inode"], record["copy_of"])
            bytes.fromhex(kept.secret)
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None
        return kept

    def _unshare(self, file: Path) -> None:
        """Let a name lead to a file of its own, with the same content.

        It is made here, for in its own folder Git would take what a killed process leaves for a reference.
        """
        temporary = self._folder / f"{TEMPORARY}unshared"
        temporary.unlink(missing_ok=True)
        shutil.copy2(file, temporary)
        fsync_all([temporary])
        os.replace(temporary, file)

    def _write(self, kept: _Kept) -> None:
        temporary = self._folder / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            temporary.write_bytes(canonical_json(asdict(kept)))
            fsync_all([temporary])
            os.replace(temporary, self._folder / FILE)
            fsync(self._folder)
        finally:
            temporary.unlink(missing_ok=True)


def _written_in_place(folder: Path) -> Iterator[Path]:
    """Files of Git's and ours that may be appended to or written over, and that have another name as well."""
    fixed = {os.path.normpath(folder / name) for name in NEVER_IN_PLACE}
    for where, inner, files in os.walk(folder.parent):
        inner[:] = [name for name in inner if os.path.join(where, name) not in fixed]
        for name in files:
            if name not in LOCKS and _has_twin(Path(where, name)):
                yield Path(where, name)


def _has_twin(file: Path) -> bool:
    """Whether a file has another name as well."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1
