"""Is the Git side whole? Every file's checksum, and everything that history and working state lead to."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pygit2

CHECKSUMMED = ("pack/*.pack", "pack/*.idx", "pack/*.rev", "info/commit-graph", "pack/multi-pack-index")
"""Files of Git that end in the SHA-1 of all that comes before, in `.git/objects`."""

UNREADABLE = (pygit2.GitError, KeyError, ValueError, OSError)
"""What pygit2 raises for an object that is damaged or not there."""


@dataclass
class Survey:
    """What there is and what is wrong.

    commits: ids of all commits that any branch or tag leads to.
    records: (path, Git object) of every version of every record -> commits that hold it; none means that only
        the working state does.
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
    _walk_commits(git, found)
    for path, oid in staged.items():
        found.records.setdefault((path, oid), [])
    for (path, oid), commits in found.records.items():
        if oid in found.broken or not _is_there(git, oid):
            where = [f"commit {commit[:10]}" for commit in commits] or ["the working state"]
            found.broken.setdefault(oid, []).append(f"{path} in {', '.join(where)}")
    return found


def _is_there(git: pygit2.Repository, oid: str) -> bool:
    return pygit2.Oid(hex=oid) in git.odb


def _git_files(folder: Path) -> Iterator[tuple[str, bool]]:
    """Every file that holds Git objects, and whether it is as it was written: the id of a loose object, or the
    name of a pack."""
    for file in sorted(folder.glob("[0-9a-f][0-9a-f]/*")):
        if len(file.name) == 38:
            oid = file.parent.name + file.name
            yield oid, _loose_object_is_intact(file, oid)
    for pattern in CHECKSUMMED:
        for file in sorted(folder.glob(pattern)):
            content = file.read_bytes()
            yield file.name, hashlib.sha1(content[:-20]).digest() == content[-20:]


def _loose_object_is_intact(file: Path, oid: str) -> bool:
    """Stricter than libgit2, which does not look at the end of the compressed stream."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(file.read_bytes())
    except (zlib.error, OSError):
        return False
    return stream.eof and not stream.unused_data and hashlib.sha1(content).hexdigest() == oid


def _walk_commits(git: pygit2.Repository, found: Survey) -> None:
    """Follow every reference through all parents, noting records and what cannot be read."""
    waiting = _tips(git, found)
    seen: set[str] = set()
    while waiting:
        oid, needed_by = waiting.pop()
        if oid in seen:
            continue
        seen.add(oid)
        try:
            commit = git[oid]
            parents = [str(parent) for parent in commit.parent_ids]  # pyright: ignore[reportAttributeAccessIssue]
            tree = str(commit.tree_id)  # pyright: ignore[reportAttributeAccessIssue]
        except (*UNREADABLE, AttributeError):
            found.broken.setdefault(oid, []).append(needed_by)
            continue
        found.commits.append(oid)
        for path, blob in _walk_tree(git, tree, "", oid, found):
            found.records.setdefault((path, blob), []).append(oid)
        waiting += [(parent, f"commit {oid[:10]} as its parent") for parent in parents]


def _tips(git: pygit2.Repository, found: Survey) -> list[tuple[str, str]]:
    """Commits that references point to, with the reference's name."""
    tips: list[tuple[str, str]] = []
    for name in git.references:
        try:
            tips.append((str(git.references[name].peel(pygit2.Commit).id), name))
        except UNREADABLE:
            found.broken.setdefault(name, []).append(f"{name}, which leads to no commit")
    return tips


def _walk_tree(
    git: pygit2.Repository, oid: str, prefix: str, commit: str, found: Survey
) -> Iterator[tuple[str, str]]:
    """Paths and blobs below a tree; what cannot be read is noted."""
    try:
        entries = list(git[oid])  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (*UNREADABLE, TypeError):
        found.broken.setdefault(oid, []).append(f"folder {prefix or '/'} in commit {commit[:10]}")
        return
    for entry in entries:
        if entry.type_str == "tree":
            yield from _walk_tree(git, str(entry.id), f"{prefix}{entry.name}/", commit, found)
        else:
            yield f"{prefix}{entry.name}", str(entry.id)
