"""Is the Git side whole? Every file's checksum, and everything that history and working state lead to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pygit2

from mpop_store.errors import DamagedObjectError
from mpop_store.git_objects import UNREADABLE, GitObjects, loose_object_is_intact

CHECKSUMMED = ("pack/*.pack", "pack/*.idx", "pack/*.rev")
"""Files of Git, in `.git/objects`, that end in the SHA-1 of all that comes before."""


@dataclass
class Survey:
    """What there is and what is wrong.

    commits: ids of all commits that any branch or tag leads to.
    records: (path, Git object) of every version of every file -> commits that hold it; none means that only the
        working state does.
    broken: name of a damaged or missing Git object or file -> what needs it, in words.
    files: files of Git objects looked at, loose ones and packs.
    """

    commits: list[str] = field(default_factory=list)
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)
    files: int = 0


def survey(git: pygit2.Repository, staged: dict[str, str]) -> Survey:
    """Look at everything. staged: path -> Git object of the working state."""
    found = Survey()
    for name, intact in _git_files(Path(git.path) / "objects"):
        found.files += 1
        if not intact:
            found.broken[name] = []
    objects = GitObjects(git)
    _walk_commits(objects, _tips(git, found), found)
    for path, oid in staged.items():
        found.records.setdefault((path, oid), [])
    for (path, oid), commits in found.records.items():
        try:
            objects.blob(oid)
        except DamagedObjectError:
            where = [f"commit {commit[:10]}" for commit in commits] or ["the working state"]
            found.broken.setdefault(oid, []).append(f"{path} in {', '.join(where)}")
    return found


def _git_files(folder: Path) -> Iterator[tuple[str, bool]]:
    """Every file that holds Git objects, and whether it is as it was written: the id of a loose object, or the
    name of a pack."""
    for file in sorted(folder.glob("[0-9a-f][0-9a-f]/*")):
        if len(file.name) == 38:
            oid = file.parent.name + file.name
            yield oid, loose_object_is_intact(file, oid)
    for pattern in CHECKSUMMED:
        for file in sorted(folder.glob(pattern)):
            content = file.read_bytes()
            yield file.name, hashlib.sha1(content[:-20]).digest() == content[-20:]


def _tips(git: pygit2.Repository, found: Survey) -> list[tuple[str, str]]:
    """Commits that references point to, with what needs them."""
    tips: list[tuple[str, str]] = []
    for name in git.references:
        try:
            tips.append((str(git.references[name].resolve().target), name))
        except UNREADABLE:
            found.broken.setdefault(name, []).append(f"{name}, which leads to no commit")
    return tips


def _walk_commits(objects: GitObjects, waiting: list[tuple[str, str]], found: Survey) -> None:
    """Follow all parents, noting files and what cannot be read."""
    seen: set[str] = set()
    while waiting:
        oid, needed_by = waiting.pop()
        if oid in seen:
            continue
        seen.add(oid)
        try:
            commit = objects.commit(oid)
        except DamagedObjectError:
            found.broken.setdefault(oid, []).append(needed_by)
            continue
        found.commits.append(oid)
        for path, blob in _files(objects, str(commit.tree_id), "", oid, found):
            found.records.setdefault((path, blob), []).append(oid)
        waiting += [(str(parent), f"commit {oid[:10]}, as its parent") for parent in commit.parent_ids]


def _files(objects: GitObjects, tree: str, prefix: str, commit: str, found: Survey) -> Iterator[tuple[str, str]]:
    """Paths and ids of the files below a tree; folders that cannot be read are noted."""
    try:
        entries = list(objects.tree(tree))
    except DamagedObjectError:
        found.broken.setdefault(tree, []).append(f"folder {prefix or '/'} in commit {commit[:10]}")
        return
    for entry in entries:
        if entry.type_str == "tree":
            yield from _files(objects, str(entry.id), f"{prefix}{entry.name}/", commit, found)
        else:
            yield f"{prefix}{entry.name}", str(entry.id)
