"""Reading Git objects, each checked before libgit2 sees it.

libgit2 1.9 never returns from a loose object whose file was cut short, as a power cut or a full disk leaves it, so
nothing here trusts a file that has not been read and hashed by ourselves first.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import pygit2

from mpop_store.errors import DamagedObjectError

UNREADABLE = (pygit2.GitError, KeyError, ValueError, OSError)
"""What pygit2 raises for an object that is damaged or not there."""


def loose_object_is_intact(file: Path, oid: str) -> bool:
    """Whether a file holds the object of that id and nothing else."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(file.read_bytes())
    except (zlib.error, OSError):
        return False
    return stream.eof and not stream.unused_data and hashlib.sha1(content).hexdigest() == oid


class GitObjects:
    """The commits, trees and blobs of a repository, by id. Whatever is unsound raises DamagedObjectError."""

    def __init__(self, git: pygit2.Repository) -> None:
        self._git = git
        self._sound: set[str] = set()

    def loose_path(self, oid: str) -> Path:
        """Where an object lies if it is not in a pack."""
        return Path(self._git.path) / "objects" / oid[:2] / oid[2:]

    def _read(self, oid: str) -> pygit2.Object:
        try:
            path = self.loose_path(oid)
            if oid not in self._sound and path.exists() and not loose_object_is_intact(path, oid):
                raise ValueError(f"{path} is damaged")
            found = self._git[oid]
        except UNREADABLE as error:
            raise DamagedObjectError(f"Git object {oid} is damaged or missing; run `mpop verify`") from error
        self._sound.add(oid)
        return found

    def commit(self, oid: str) -> pygit2.Commit:
        """A commit."""
        found = self._read(oid)
        if not isinstance(found, pygit2.Commit):
            raise DamagedObjectError(f"Git object {oid} is not a commit")
        return found

    def tree(self, oid: str) -> pygit2.Tree:
        """A tree."""
        found = self._read(oid)
        if not isinstance(found, pygit2.Tree):
            raise DamagedObjectError(f"Git object {oid} is not a tree")
        return found

    def blob(self, oid: str) -> bytes:
        """Content of a file."""
        found = self._read(oid)
        if not isinstance(found, pygit2.Blob):
            raise DamagedObjectError(f"Git object {oid} is not a file")
        return found.data

    def files(self, tree: str, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Path and id of every file below a tree."""
        for entry in self.tree(tree):
            if entry.type_str == "tree":
                yield from self.files(str(entry.id), f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}", str(entry.id)

    def find(self, tree: str, path: str) -> str | None:
        """Id of one file below a tree, None if it is not there."""
        *folders, name = path.split("/")
        for folder in folders:
            here = self.tree(tree)
            if folder not in here:
                return None
            tree = str(here[folder].id)
        here = self.tree(tree)
        return str(here[name].id) if name in here else None

    def differences(self, old: str | None, new: str | None, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Path and "A", "M" or "D" of every file in which two trees differ; None is the empty tree."""
        before, after = self._children(old), self._children(new)
        for name in sorted(set(before) | set(after)):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            old_folder, new_folder = (
                str(one.id) if one is not None and one.type_str == "tree" else None for one in (was, now)
            )
            if old_folder or new_folder:
                yield from self.differences(old_folder, new_folder, f"{prefix}{name}/")
            else:
                yield f"{prefix}{name}", "A" if was is None else "D" if now is None else "M"

    def _children(self, tree: str | None) -> dict[str, pygit2.Object]:
        return {} if tree is None else {str(entry.name): entry for entry in self.tree(tree)}

    def check_history(self, start: str) -> None:
        """Read every commit that a commit leads to, so that libgit2 can be let loose on them."""
        waiting, seen = [start], set()
        while waiting:
            oid = waiting.pop()
            if oid not in seen:
                seen.add(oid)
                waiting += [str(parent) for parent in self.commit(oid).parent_ids]
