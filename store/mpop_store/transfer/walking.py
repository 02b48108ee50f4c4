"""Which commits and records are new to somebody, at a cost in proportion to what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pygit2

from mpop_store.errors import DamagedObjectError
from mpop_store.git.git_commands import lines_of
from mpop_store.git.git_objects import UNREADABLE, GitObjects
from mpop_store.git.history import History
from mpop_store.git.repository import ROOT_RECORD

NOTHING = "0" * 40
DIFFERENCES = ("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff")


@dataclass(frozen=True)
class FileChange:
    """A file that a commit adds, changes or removes. mode: as Git writes it, `100644` for a plain file; old, new:
    the blobs, None where there is none."""

    path: str
    mode: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class NewCommit:
    """A commit and what it changes against its first parent."""

    id: str
    parents: tuple[str, ...]
    changes: tuple[FileChange, ...]


class Commits:
    """The commits of a repository, read straight from Git."""

    def __init__(self, history: History) -> None:
        self.git = pygit2.Repository(str(history.git_directory))
        self.objects = GitObjects(self.git)

    def contains(self, oid: str) -> bool:
        """Whether a Git object is here. Raises DamagedObjectError for one that is, but not as it was written."""
        return len(oid) == 40 and set(oid) <= set("0123456789abcdef") and self.objects.contains(oid)

    def peeled(self, oid: str) -> str:
        """The commit itself, or that behind an annotated tag. Raises DamagedObjectError."""
        self.objects.check(oid)
        try:
            return str(self.git[oid].peel(pygit2.Commit).id)
        except UNREADABLE as error:
            raise DamagedObjectError(f"Git object {oid} leads to no commit; run `mpop verify`") from error

    def parents(self, oid: str) -> list[str]:
        """Parents of a commit that are here."""
        return self.objects.parents(oid)

    def tree(self, oid: str) -> str:
        """The tree of a commit, or of what a tag leads to."""
        return str(self.objects.commit(self.peeled(oid)).tree_id)

    def states(self, oid: str, known: str | None = None) -> Iterator[str]:
        """The commit itself if it is a state of the population; of a merge request, the states that it offers.

        known: a commit of the same request, behind which nothing is looked for.
        """
        pending, seen = [self.peeled(oid)], {known}
        while pending:
            one = pending.pop()
            if one in seen:
                continue
            seen.add(one)
            if self.objects.find(self.tree(one), ROOT_RECORD) is not None:
                yield one
            else:
                pending += self.parents(one)


def new_commits(variables: Mapping[str, str], tips: Iterable[str], known: Iterable[str]) -> list[NewCommit]:
    """Commits that tips lead to and known ones do not, oldest first. Raises StoreError if one is not here.

    variables: see `git_commands.environment`.
    """
    lines = [*tips, *(f"^{oid}" for oid in known)]
    arguments = ["rev-list", "--topo-order", "--reverse", "--parents", "--stdin"]
    commits = [line.split() for line in lines_of(arguments, dict(variables), lines).splitlines()]
    first = [" ".join(words[:2]) for words in commits]  # each commit, and what it is compared with
    compared = lines_of([*DIFFERENCES, "--stdin", "--root"], dict(variables), first)
    changes = _by_commit(compared)
    return [NewCommit(words[0], tuple(words[1:]), tuple(changes.get(words[0], ()))) for words in commits]


def _by_commit(text: str) -> dict[str, list[FileChange]]:
    found: dict[str, list[FileChange]] = {}
    changes: list[FileChange] = []
    fields = iter(text.split("\0"))
    for field in fields:
        if field.startswith(":"):
            changes.append(_change(field, next(fields)))
        elif field:
            changes = found.setdefault(field, [])
    return found


def _change(field: str, path: str) -> FileChange:
    _, mode, old, new, _ = field.split(" ")
    return FileChange(path, mode, *(None if oid == NOTHING else oid for oid in (old, new)))


def differences(variables: Mapping[str, str], old: str, new: str) -> Iterator[FileChange]:
    """The files in which one tree differs from another."""
    fields = iter(lines_of([*DIFFERENCES, old, new], dict(variables)).split("\0"))
    for field in fields:
        if field:
            yield _change(field, next(fields))
