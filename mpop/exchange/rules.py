"""What must hold for commits that come from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from mpop_hooks import Finding, Proposal, check, refusals, versions_derive
from mpop_hooks.objects_complete import references_of
from mpop_store import InputError, StateError
from mpop_store.history import History
from mpop_store.repository import FORMAT_VERSION, ROOT_RECORD
from mpop_store.signing import is_required, refuse_unsigned
from mpop_store.transfer.remotes import Rules
from mpop_store.transfer.walking import NewCommit


def check_pushed(history: History, commits: Sequence[NewCommit]) -> None:
    """Ask all policies about every step that a push brings. Raises StateError with the first that refuses."""
    if is_required(history):
        refuse_unsigned(history, [commit.id for commit in commits])
    for commit in _states(history, commits):
        with _as_refusal(commit):
            for parent in commit.parents or (None,):
                _refuse(check(Proposal.between(history, parent, commit.id, "receive")), commit)


def check_fetched(history: History, commits: Sequence[NewCommit]) -> None:
    """Make sure that every record can be read and has the version of its content. Raises StateError.

    Its arrays may stay where they are, so nothing is asked that would need them.
    """
    for commit in _states(history, commits):
        with _as_refusal(commit):
            step = Proposal.between(history, next(iter(commit.parents), None), commit.id, "receive")
            _refuse(versions_derive.check(step), commit)


def _states(history: History, commits: Sequence[NewCommit]) -> Iterator[NewCommit]:
    """The commits that are states of a population; those of a merge request's chain are not."""
    for commit in commits:
        if history.find(ROOT_RECORD, commit.id) is None:
            continue
        if any(change.path == ROOT_RECORD for change in commit.changes):
            version = history.read(ROOT_RECORD, commit.id).get("format")
            if version != FORMAT_VERSION:
                raise StateError(
                    f"refused (rule format): commit {commit.id[:10]} has format {str(version)[:20]}, this mpop "
                    f"reads {FORMAT_VERSION}; update mpop here"
                )
        yield commit


def _refuse(findings: Iterable[Finding], commit: NewCommit) -> None:
    found = refusals(list(findings))
    if found:
        more = f" (and {len(found) - 1} more findings)" if len(found) > 1 else ""
        raise StateError(f"refused: {found[0]}{more}, in commit {commit.id[:10]}")


@contextmanager
def _as_refusal(commit: NewCommit) -> Iterator[None]:
    """A record that policies stumble over is refused too."""
    try:
        yield
    except (AttributeError, InputError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise StateError(
            f"refused (rule records-read): commit {commit.id[:10]} holds a record that this mpop cannot read "
            f"({str(error)[:200]}); make it with mpop"
        ) from error


RULES = Rules(references_of, check_pushed)
"""What holds for a population that others push to."""
