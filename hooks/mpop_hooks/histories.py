"""What must hold for commits that come from elsewhere, whichever way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial

from mpop_hooks import Proposal, Violation, check, check_records, refusals, tell
from mpop_hooks.proposal import POLICIES_FOLDER, Snapshot, settings_of
from mpop_hooks.records_plain import problem_with_record
from mpop_hooks.schema import references_of
from mpop_store import DamagedObjectError, InputError, StateError
from mpop_store.git.history import History
from mpop_store.git.repository import FORMAT_VERSION, ROOT_RECORD, Repository
from mpop_store.git.signatures import is_required, refuse_unsigned
from mpop_store.transfer.naming import is_record
from mpop_store.transfer.vetting import HistoryVetting
from mpop_store.transfer.walking import NewCommit

CACHED_RECORDS = 4096


def with_rules(repository: Repository) -> None:
    """Have a repository know what records name, and use none that was not checked."""
    repository.references_of = references_of
    repository.vetting = HistoryVetting(repository, check_fetched, problem_with_record)


def check_pushed(history: History, commits: Sequence[NewCommit]) -> None:
    """Ask all policies about every step that a push brings. Raises StateError with the first that refuses."""
    if is_required(history):
        refuse_unsigned(history, [commit.id for commit in commits])
    steps = _Steps(history)
    for commit in _states(history, commits):
        with _as_refusal(commit):
            _refuse(check(steps.from_first_parent(commit)), commit)
            for parent in commit.parents[1:]:
                _refuse(check(Proposal.between(history, parent, commit.id, "receive")), commit)


def check_fetched(history: History, commits: Sequence[NewCommit]) -> None:
    """Make sure that every record is one that mpop writes and has the version of its content. Raises StateError.

    Its arrays may stay where they are, so nothing is asked that would need them.
    """
    steps = _Steps(history)
    for commit in _states(history, commits):
        with _as_refusal(commit):
            _refuse(check_records(steps.from_first_parent(commit)), commit)


class _Steps:
    """What commits change, for policies; records that follow each other are read once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._settings = settings_of(history)
        self._load = lru_cache(CACHED_RECORDS)(partial(history.load, unique_keys=True))

    def from_first_parent(self, commit: NewCommit) -> Proposal:
        """The step from the first parent of a commit to it."""
        changes = [change for change in commit.changes if is_record(change.path)]
        return Proposal(
            "receive",
            records={one.path: self._load(one.new) for one in changes if one.new is not None},
            before={
                one.path: self._load(one.old) for one in changes if one.old is not None and one.new is not None
            },
            removed={one.path: self._load(one.old) for one in changes if one.old is not None and one.new is None},
            objects=self._history.objects,
            folder=self._history.private / POLICIES_FOLDER,
            state=Snapshot(self._history, commit.id),
            settings=self._settings,
        )


def _states(history: History, commits: Sequence[NewCommit]) -> Iterator[NewCommit]:
    """The commits that are states of a population; those of a merge request's chain are not."""
    for commit in commits:
        is_new = any(change.path == ROOT_RECORD for change in commit.changes)
        if history.find(ROOT_RECORD, commit.id) is None:
            if is_new:
                raise StateError(
                    f"refused (rule nothing-lost): commit {commit.id[:10]} takes away {ROOT_RECORD}, "
                    "and with it the population; bring it back"
                )
            continue
        if is_new:
            version = history.read(ROOT_RECORD, commit.id).get("format")
            if version != FORMAT_VERSION:
                raise StateError(
                    f"refused (rule format): commit {commit.id[:10]} has format {str(version)[:20]}, this mpop "
                    f"reads {FORMAT_VERSION}; update mpop here"
                )
        yield commit


def _refuse(findings: list[Violation], commit: NewCommit) -> None:
    found = refusals(findings)
    if found:
        more = f" (and {len(found) - 1} more findings)" if len(found) > 1 else ""
        raise StateError(f"refused: {found[0]}{more}, in commit {commit.id[:10]}")
    tell(findings)


@contextmanager
def _as_refusal(commit: NewCommit) -> Iterator[None]:
    """A record that policies stumble over is refused too."""
    try:
        yield
    except (AttributeError, DamagedObjectError, InputError, LookupError, TypeError, ValueError) as error:
        raise StateError(
            f"refused (rule records-read): commit {commit.id[:10]} holds a record that this mpop cannot read "
            f"({str(error)[:200]}); make it with mpop"
        ) from error
