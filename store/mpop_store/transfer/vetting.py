"""History that came by another way than an exchange of ours is checked before it is used.

A plain `git clone`, `git pull` or `git am`, or an archive that somebody unpacked, brings commits past every check
of a fetch. So whoever reads records asks here first. As a rule the commit is one that was made or checked here,
and that is all; otherwise those that are new are checked as if they had been fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pygit2
from pygit2.enums import SortMode

from mpop_store.errors import DamagedObjectError, StateError, StoreError
from mpop_store.git.checked import CheckedCommits
from mpop_store.git.git_commands import environment
from mpop_store.git.git_objects import UNREADABLE
from mpop_store.git.history import History
from mpop_store.transfer.accepting import CommitCheck, refuse_odd_files
from mpop_store.transfer.walking import Commits, NewCommit, new_commits

RULES_VERSION = 1
"""To be counted up when the rules for commits from elsewhere become stricter: then all are checked once more."""
FOLDER = "checked"
REMEDY = "`mpop verify` lists all of it; `mpop switch BRANCH` or `git reset --hard COMMIT` goes back to sound ones"


class HistoryVetting:
    """What was checked of one repository. check: asked about commits; problem: what is wrong with a record."""

    def __init__(
        self, history: History, check: CommitCheck, problem: Callable[[str, Mapping[str, Any]], str | None]
    ) -> None:
        self._git_directory = history.git_directory
        self._check = check
        self._problem = problem
        self._kept = CheckedCommits(history.private / FOLDER, RULES_VERSION)
        self._known: dict[str, None] = {}
        self._child: dict[str, str] = {}
        self._history = history

    def commit(self, oid: str) -> None:
        """Raise StateError unless a commit, and all that it leads to, has been checked.

        Raises DamagedObjectError where that cannot be done.
        """
        if self._is_known(oid):
            return
        if new := self._new([oid]):
            refused = next(self._refusals(new), None)
            if refused is not None:
                raise StateError(f"{refused}; {REMEDY}")
        self._learn([oid])

    def together(self, oids: Iterable[str]) -> None:
        """Check many commits in one walk, before each is asked about; one that is refused is refused then."""
        unknown = [oid for oid in oids if oid not in self._recalled()]
        with suppress(DamagedObjectError, StoreError):
            if unknown and next(self._refusals(self._new(unknown)), None) is None:
                self._learn(unknown)

    def leads_to(self, commit: str, parents: Iterable[str]) -> None:
        """Note that somebody has read where a commit leads: once it has been checked, so have its parents."""
        for parent in parents:
            self._child.setdefault(parent, commit)

    def _is_known(self, oid: str) -> bool:
        """Whether a commit was checked, or one that leads to it as far as was noted."""
        known, way = self._recalled(), {oid: None}
        while oid not in known:
            child = self._child.get(oid)
            if child is None or child in way:  # a damaged pack can hold a circle
                return False
            way[oid := child] = None
        known.update(way)
        return True

    def staged(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise StateError unless records of the working state by path are what mpop writes."""
        for path, record in records.items():
            if problem := self._problem(path, record):
                raise StateError(
                    f"{path!r} in the working state is not used: {problem}; `git reset --hard` takes it away"
                )

    def made(self, commit: str, parents: Sequence[str]) -> None:
        """Note that a commit was made here, on top of parents."""
        if all(parent in self._recalled() for parent in parents):
            self._learn([commit], instead_of=parents)

    def received(self, tips: Iterable[str], before: Iterable[str]) -> None:
        """Note that commits, or tags of them, were checked, down to those that were here before."""
        commits = Commits(self._history)
        if not self._new(commits.peeled(oid) for oid in before):
            self._learn(commits.peeled(oid) for oid in tips)

    def refusals(self, tips: Iterable[str]) -> list[tuple[str, str]]:
        """Every commit that references lead to and that must not be used, and why."""
        found = []
        commits = Commits(self._history)
        for commit in self._new(commits.peeled(tip) for tip in tips):
            with suppress(DamagedObjectError):  # whoever looks for damage will name it
                found += [(commit.id, refused) for refused in self._refusals([commit])]
        return found

    def _learn(self, commits: Iterable[str], instead_of: Iterable[str] = ()) -> None:
        commits = list(commits)
        self._recalled().update(dict.fromkeys(commits))
        self._kept.add(commits, instead_of)

    def _recalled(self) -> dict[str, None]:
        """The commits that are known, read when they are first asked for."""
        if not self._known:
            self._known.update(dict.fromkeys(self._kept.read()))
        return self._known

    def _new(self, tips: Iterable[str]) -> list[NewCommit]:
        """The commits that tips lead to and none that is known does, oldest first."""
        tips = [tip for tip in tips if tip not in self._recalled()]
        if not tips:
            return []
        variables = environment(self._git_directory)
        git = pygit2.Repository(str(self._git_directory))
        known = [oid for oid in self._recalled() if _is_here(git, oid)]
        return [] if _all_lead_to(git, tips, known) else new_commits(variables, tips, known)

    def _refusals(self, commits: list[NewCommit]) -> Iterator[str]:
        history = History(pygit2.Repository(str(self._git_directory)))
        history.objects = self._history.objects
        try:
            refuse_odd_files(commits)
            self._check(history, commits)
        except StateError as error:
            if isinstance(error.__cause__, DamagedObjectError):
                raise error.__cause__ from error  # this is no matter of who made it
            yield f"the history here is not used: {error}"


def _is_here(git: pygit2.Repository, oid: str) -> bool:
    """Whether there is a commit that can be read."""
    try:
        return pygit2.Oid(hex=oid) in git
    except UNREADABLE:
        return False


def _all_lead_to(git: pygit2.Repository, tips: list[str], known: list[str]) -> bool:
    """Whether known commits lead to all tips, looked at in this process: Git itself takes longer to start."""
    if not known:
        return False
    try:
        walk = git.walk(pygit2.Oid(hex=tips[0]), SortMode.NONE)
        for tip in tips[1:]:
            walk.push(pygit2.Oid(hex=tip))
        for oid in known:
            walk.hide(pygit2.Oid(hex=oid))
        return next(iter(walk), None) is None
    except UNREADABLE:
        return False
