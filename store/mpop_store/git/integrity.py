"""Is the Git side whole? Every file's checksum, and everything that history and working state lead to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pygit2

from mpop_store.errors import DamagedObjectError
from mpop_store.git.git_objects import UNREADABLE, GitObjects, loose_object_is_intact
from mpop_store.git.refs import is_text, loose_names

CHECKSUMMED = ("pack/*.pack", "pack/*.idx", "pack/*.rev")
"""Files of Git, in `.git/objects`, that end in the SHA-1 of all that comes before."""
CHECKSUM_SIZE = 20
PIECE = 2**20


@dataclass
class Survey:
    """What there is and what is wrong.

    commits: ids of all commits that any branch or tag leads to.
    records: (path, Git object) of every version of every file -> a commit that holds it; None if only the working
        state does.
    broken: name of a damaged or missing Git object or file -> what needs it, in words.
    files: files of Git objects looked at, loose ones and packs.
    no_text: names of references that are no text in UTF-8; what they lead to was not looked at.
    """

    commits: list[str] = field(default_factory=list)
    records: dict[tuple[str, str], str | None] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)
    files: int = 0
    no_text: list[str] = field(default_factory=list)


def survey(git: pygit2.Repository, staged: Mapping[str, str]) -> Survey:
    """Look at everything, and once at what commits share. staged: path -> Git object of the working state."""
    found = Survey()
    for name, intact in _git_files(Path(git.path) / "objects"):
        found.files += 1
        if not intact:
            found.broken[name] = []
    objects = GitObjects(git)
    _walk_commits(objects, _tips(git, objects, found), found)
    for path, oid in staged.items():
        found.records.setdefault((path, oid), None)
    for path, oid in found.records:
        try:
            objects.blob(oid)
        except DamagedObjectError:
            holders = [f"commit {commit[:10]}" for commit in holding(objects, found.commits, path, oid)]
            where = ", ".join(holders) or "the working state"
            found.broken.setdefault(oid, []).append(f"{path} in {where}")
    return found


def holding(objects: GitObjects, commits: list[str], path: str, oid: str) -> list[str]:
    """Those of some commits in which a path is a given Git object."""
    found: list[str] = []
    for commit in commits:
        try:
            if objects.find(str(objects.commit(commit).tree_id), path) == oid:
                found.append(commit)
        except DamagedObjectError:
            continue
    return found


def _git_files(folder: Path) -> Iterator[tuple[str, bool]]:
    """Every file that holds Git objects, and whether it is as it was written: the id of a loose object, or the
    name of a pack."""
    for file in sorted(folder.glob("[0-9a-f][0-9a-f]/*")):
        if len(file.name) == 38:
            oid = file.parent.name + file.name
            intact = loose_object_is_intact(file, oid)
            if intact is not None:  # else Git has just packed it
                yield oid, intact
    for pattern in CHECKSUMMED:
        for file in sorted(folder.glob(pattern)):
            try:
                yield file.name, _ends_in_its_checksum(file)
            except FileNotFoundError:  # Git has just packed its objects anew
                continue


def _ends_in_its_checksum(path: Path) -> bool:
    digest = hashlib.sha1()
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - CHECKSUM_SIZE
        while left > 0 and (piece := file.read(min(PIECE, left))):
            digest.update(piece)
            left -= len(piece)
        return file.read() == digest.digest()


def _tips(git: pygit2.Repository, objects: GitObjects, found: Survey) -> list[tuple[str, str]]:
    """Commits that references point to, with what needs them."""
    tips: list[tuple[str, str]] = []
    for name in _reference_names(git, found):
        if not is_text(name):
            found.no_text.append(name)
            continue
        try:
            tips.append((_peeled(git, objects, str(git.references[name].resolve().target)), name))
        except UNREADABLE:
            found.broken.setdefault(name, []).append(f"{name}, which leads to no commit")
    return tips


def _reference_names(git: pygit2.Repository, found: Survey) -> list[str]:
    """All references, those too that libgit2 passes over because they are damaged."""
    names = set(loose_names(Path(git.path)))
    try:
        names |= set(git.references)
    except UNREADABLE:
        found.broken["packed-refs"] = ["tags, and branches that nobody has moved for long"]
    return sorted(names)


def _peeled(git: pygit2.Repository, objects: GitObjects, oid: str) -> str:
    """The commit that annotated tags lead to; as far as it can be followed."""
    try:
        objects.check(oid)
        found = git[oid]
    except (DamagedObjectError, *UNREADABLE):
        return oid
    return _peeled(git, objects, str(found.target)) if isinstance(found, pygit2.Tag) else oid


def _walk_commits(objects: GitObjects, waiting: list[tuple[str, str]], found: Survey) -> None:
    """Follow all parents, noting files and what cannot be read."""
    commits: set[str] = set()
    folders: set[tuple[str, str]] = set()
    while waiting:
        oid, needed_by = waiting.pop()
        if oid in commits:
            continue
        commits.add(oid)
        try:
            commit, parents = objects.commit(oid), objects.parents(oid)
        except DamagedObjectError:
            found.broken.setdefault(oid, []).append(needed_by)
            continue
        found.commits.append(oid)
        _walk_folder(objects, str(commit.tree_id), "", oid, folders, found)
        waiting += [(parent, f"commit {oid[:10]}, as its parent") for parent in parents]


def _walk_folder(
    objects: GitObjects, tree: str, prefix: str, commit: str, seen: set[tuple[str, str]], found: Survey
) -> None:
    """Note the files below a tree that no commit before had there; folders that cannot be read are noted too."""
    if (prefix, tree) in seen:
        return
    seen.add((prefix, tree))
    try:
        entries = list(objects.tree(tree))
    except DamagedObjectError:
        found.broken.setdefault(tree, []).append(f"folder {prefix or '/'} in commit {commit[:10]}")
        return
    for entry in entries:
        path, oid = f"{prefix}{entry.name}", str(entry.id)
        if entry.type_str == "tree":
            _walk_folder(objects, oid, f"{path}/", commit, seen, found)
        else:
            found.records.setdefault((path, oid), commit)
