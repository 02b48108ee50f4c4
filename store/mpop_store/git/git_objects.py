"""Reading Git objects, each checked before libgit2 sees it.

libgit2 1.9 never returns from a loose object whose file was cut short, as a power cut or a full disk leaves it, so
nothing here trusts a file that has not been read and hashed by ourselves first.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ObjectType

from mpop_store.durable import fsync_all
from mpop_store.errors import DamagedObjectError, InputError
from mpop_store.git.signing import Signer
from mpop_store.regular_files import open_regular

UNREADABLE = (pygit2.GitError, KeyError, ValueError, OSError)
"""What pygit2 raises for an object that is damaged or not there."""


SLACK = 2**16
"""Bytes of an object's header, and of what packing adds to what cannot be packed."""
MAX_OBJECT = 32 * 2**20
"""Bytes of the largest record, folder or commit that is read; a few bytes of a file can unpack to any size."""


def loose_object_is_intact(file: str | Path, oid: str) -> bool | None:
    """Whether a file holds the object of that id and nothing else; None if it is gone, into a pack."""
    stream = zlib.decompressobj()
    try:
        with open_regular(file) as content:
            packed = content.read(min(os.fstat(content.fileno()).st_size, MAX_OBJECT) + SLACK)
        content = stream.decompress(packed, MAX_OBJECT + SLACK)
    except FileNotFoundError:
        return None
    except (zlib.error, OSError, DamagedObjectError):
        return False
    return stream.eof and not stream.unused_data and hashlib.sha1(content).hexdigest() == oid


class GitObjects:
    """The commits, trees and blobs of a repository, by id. Whatever is unsound raises DamagedObjectError."""

    def __init__(self, git: pygit2.Repository) -> None:
        self._git = git
        self._folder = f"{git.path}objects"
        self._sound: set[str] = set()
        self._unsynced: set[str] = set()
        self._walked: set[str] = set()

    def loose_path(self, oid: str) -> Path:
        """Where an object lies if it is not in a pack."""
        return Path(self._loose_file(oid))

    def _loose_file(self, oid: str) -> str:
        """As `loose_path`, as text: making a Path takes longer than looking whether the file is there."""
        return f"{self._folder}/{oid[:2]}/{oid[2:]}"

    def check(self, oid: str) -> None:
        """Raise DamagedObjectError if an object lies here in a file of its own and is damaged, or is too large."""
        if oid in self._sound:
            return
        intact = loose_object_is_intact(self._loose_file(oid), oid)
        if intact is None:  # one that is intact in a file of its own is no larger than it may be
            self._refuse_large(oid)
        elif not intact:
            raise DamagedObjectError(f"Git object {oid} is damaged or missing; run `mpop verify`")
        self._sound.add(oid)

    def _refuse_large(self, oid: str) -> None:
        with contextlib.suppress(*UNREADABLE):  # whoever reads it will say so
            _, size = self._git.odb.read_header(oid)
            if size > MAX_OBJECT:
                raise DamagedObjectError(
                    f"Git object {oid} has {size} bytes, and no record, folder or commit may have {MAX_OBJECT}"
                )

    def contains(self, oid: str) -> bool:
        """Whether an object is here. Raises DamagedObjectError for one that is, but not as it was written."""
        self.check(oid)
        return pygit2.Oid(hex=oid) in self._git

    def _read(self, oid: str) -> pygit2.Object:
        self.check(oid)
        try:
            return self._git[oid]
        except UNREADABLE as error:
            raise DamagedObjectError(f"Git object {oid} is damaged or missing; run `mpop verify`") from error

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

    def files(self, tree: str, prefix: str = "", only: str = "") -> Iterator[tuple[str, str]]:
        """Path and id of every file below a tree whose path begins with `only`. prefix: path of the tree."""
        for entry in self.tree(tree):
            path = f"{prefix}{entry.name}"
            if entry.type_str == "tree":
                if f"{path}/".startswith(only) or only.startswith(f"{path}/"):
                    yield from self.files(str(entry.id), f"{path}/", only)
            elif path.startswith(only):
                yield path, str(entry.id)

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

    def differences(self, old: str | None, new: str | None) -> Iterator[tuple[str, str]]:
        """Path and "A", "M" or "D" of every file in which two trees differ; None is the empty tree."""
        for path, was, now in self.changed_files(old, new):
            yield path, "A" if was is None else "D" if now is None else "M"

    def changed_files(
        self, old: str | None, new: str | None, prefix: str = ""
    ) -> Iterator[tuple[str, str | None, str | None]]:
        """Path and id, in both trees, of every file in which two trees differ; None where there is none."""
        before, after = self._children(old), self._children(new)
        for name in sorted(set(before) | set(after)):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            old_folder, new_folder = (
                str(one.id) if one is not None and one.type_str == "tree" else None for one in (was, now)
            )
            if old_folder or new_folder:
                yield from self.changed_files(old_folder, new_folder, f"{prefix}{name}/")
            else:
                yield f"{prefix}{name}", None if was is None else str(was.id), None if now is None else str(now.id)

    def _children(self, tree: str | None) -> dict[str, pygit2.Object]:
        return {} if tree is None else {str(entry.name): entry for entry in self.tree(tree)}

    def check_history(self, start: str) -> None:
        """Read every commit that a commit leads to, so that libgit2 can be let loose on them."""
        waiting, seen = [start], set()
        while waiting:
            oid = waiting.pop()
            if oid not in seen and oid not in self._walked:
                seen.add(oid)
                waiting += self.parents(oid)
        if not self._git.is_shallow:  # what a shallow history leads to may come later
            self._walked |= seen

    def check_folders(self, tree: str) -> None:
        """Read a tree and every tree below it, so that libgit2 can be let loose on them."""
        for entry in self.tree(tree):
            if entry.type_str == "tree":
                self.check_folders(str(entry.id))

    def parents(self, commit: str) -> list[str]:
        """Parents of a commit that are here; where a shallow clone ends there are none."""
        if commit in self._shallow():
            return []
        return [str(parent) for parent in self.commit(commit).parent_ids]

    def _shallow(self) -> frozenset[str]:
        if not self._git.is_shallow:
            return frozenset()
        return frozenset((Path(self._git.path) / "shallow").read_text().split())

    def walk(self, start: str) -> Iterator[pygit2.Commit]:
        """A commit and what it leads to, newest first, read as they are asked for."""
        first = self.commit(start)
        waiting, seen = [(-first.commit_time, 0, start)], {start}
        while waiting:
            _, _, oid = heapq.heappop(waiting)
            yield self.commit(oid)
            for parent in self.parents(oid):
                if parent not in seen:
                    seen.add(parent)
                    heapq.heappush(waiting, (-self.commit(parent).commit_time, len(seen), parent))

    def edit_tree(self, tree: str | None, changes: Mapping[str, str | None]) -> str | None:
        """A tree with files (path -> blob) put in or, where None, taken out; writes only the folders on the way.

        tree None is the empty one. Returns None when nothing is left.
        """
        builder = self._git.TreeBuilder() if tree is None else self._git.TreeBuilder(self.tree(tree))
        folders: dict[str, dict[str, str | None]] = {}
        for path, blob in changes.items():
            name, _, rest = path.partition("/")
            if rest:
                folders.setdefault(name, {})[rest] = blob
            elif blob is not None:
                builder.insert(name, blob, FileMode.BLOB)
            elif builder.get(name) is not None:
                builder.remove(name)
        for name, inside in folders.items():
            was = builder.get(name)
            old = str(was.id) if was is not None and was.type_str == "tree" else None
            new = self.edit_tree(old, inside)
            if new is not None:
                builder.insert(name, new, FileMode.TREE)
            elif was is not None:
                builder.remove(name)
        if not len(builder):
            return None
        return self._written(builder.write)

    def create_blob(self, content: bytes) -> str:
        """Write a file's content. Raises InputError for what nobody could read."""
        if len(content) > MAX_OBJECT:
            raise InputError(f"a record of {len(content)} bytes is larger than the limit of {MAX_OBJECT}")
        return self._written(lambda: self._git.create_blob(content))

    def create_commit(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        author: pygit2.Signature,
        committer: pygit2.Signature,
        sign: Signer | None = None,
    ) -> str:
        """Write a commit that no reference leads to yet."""
        ids: list[pygit2.Oid | str] = [pygit2.Oid(hex=parent) for parent in parents]
        words = (author, committer, message, pygit2.Oid(hex=tree), ids)
        if sign is None:
            return self._written(lambda: self._git.create_commit(None, *words))
        text = str(self._git.create_commit_string(*words))
        signed = sign(text.encode())
        return self._written(lambda: self._git.create_commit_with_signature(text, signed))

    def create_tag(
        self, name: str, commit: str, message: str, tagger: pygit2.Signature, sign: Signer | None = None
    ) -> str:
        """Write an annotated tag that no reference leads to yet."""
        zone = f"{'-' if tagger.offset < 0 else '+'}{abs(tagger.offset) // 60:02}{abs(tagger.offset) % 60:02}"
        who = f"tagger {tagger.name} <{tagger.email}> {tagger.time} {zone}"
        text = f"object {commit}\ntype commit\ntag {name}\n{who}\n\n{message}"
        signed = (text if sign is None else text + sign(text.encode())).encode()
        return self._written(lambda: self._git.write(ObjectType.TAG, signed))

    def tag(self, oid: str) -> pygit2.Tag | None:
        """An annotated tag; None for what is something else."""
        found = self._read(oid)
        return found if isinstance(found, pygit2.Tag) else None

    def _written(self, write: Callable[[], pygit2.Oid]) -> str:
        """Write an object; libgit2 would leave one of that name alone that a power cut has torn."""
        oid = str(write())
        path = self.loose_path(oid)
        if loose_object_is_intact(path, oid) is False:
            path.unlink(missing_ok=True)
            write()
        self._unsynced.add(oid)
        return oid

    def sync(self, more: Iterable[str] = ()) -> None:
        """Make everything written here, and the given objects, survive a power cut. Raises OSError."""
        loose = [self.loose_path(oid) for oid in self._unsynced | set(more)]
        try:
            fsync_all(path for path in loose if path.exists())  # the others are in a pack
        except FileNotFoundError:
            self.sync(more)  # one was packed at this moment
        self._unsynced.clear()
