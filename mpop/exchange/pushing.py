"""`mpop push`: a branch, the tags on it, and the merge requests that the other side does not know yet."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from mpop.errors import NotFoundError, StateError
from mpop.exchange.rules import RULES
from mpop.run import Progress, silent
from mpop_store.git.git_commands import environment
from mpop_store.git.repository import Repository
from mpop_store.transfer.accepting import HEADS, REQUESTS, TAGS, leads_to
from mpop_store.transfer.fetching import local_name
from mpop_store.transfer.pushing import Pushed, push
from mpop_store.transfer.remotes import Remotes, RemoteSettings
from mpop_store.transfer.walking import Commits


@dataclass(frozen=True)
class PushOptions:
    """What to push. branch: None is the one we are on. force: commits there may be dropped, if they are those that
    were last fetched. delete: take the branch away, with what only it leads to. requests_only: merge requests, and
    no branch."""

    branch: str | None = None
    force: bool = False
    delete: bool = False
    requests_only: bool = False


def push_to(
    repository: Repository, settings: RemoteSettings, options: PushOptions, progress: Progress = silent
) -> Pushed:
    """Push. Raises StateError when the other side refuses, or has commits that we have not."""
    wanted = {} if options.requests_only else _wanted_branch(repository, options)
    expected = _expected(repository, settings, wanted, options)
    with Remotes(repository).connect(settings, RULES) as remote:
        theirs = remote.refs()
        if not options.delete:
            wanted |= _extras(repository, theirs, [oid for oid in wanted.values() if oid])
        pushed = push(repository, remote, wanted, options.force or options.delete, expected, progress, theirs)
    moves = {
        local: (was, oid)
        for ref, oid in wanted.items()
        if (local := local_name(ref, settings.name)) != ref and (was := repository.refs.get(local)) != oid
    }
    if moves:
        with suppress(StateError):  # a fetch was quicker to note it
            repository.refs.update(moves, f"push {settings.name}")
    return pushed


def _expected(
    repository: Repository, settings: RemoteSettings, wanted: Mapping[str, str | None], options: PushOptions
) -> dict[str, str | None]:
    """What branches must be there, where commits may be dropped: what was last fetched, if that is known."""
    tracking = {ref: repository.refs.get(local_name(ref, settings.name)) for ref in wanted}
    if options.force:
        return tracking
    return {ref: oid for ref, oid in tracking.items() if oid is not None} if options.delete else {}


def _wanted_branch(repository: Repository, options: PushOptions) -> dict[str, str | None]:
    if options.branch is None and repository.refs.branch is None:
        raise StateError("you are on no branch; say which one to push")
    branch = HEADS + options.branch if options.branch is not None else str(repository.refs.branch)
    tip = repository.refs.get(branch)
    if options.delete:
        return {branch: None}
    if tip is None:
        raise NotFoundError(f"there is no branch {branch.removeprefix(HEADS)} with commits to push")
    return {branch: tip}


def _extras(repository: Repository, theirs: Mapping[str, str], tips: list[str]) -> dict[str, str | None]:
    """Tags on what is pushed, and merge requests that are new or further than theirs."""
    variables = environment(repository.git_directory)
    commits = Commits(repository)
    found: dict[str, str | None] = {}
    for ref, oid in repository.refs.all(TAGS).items():
        if ref not in theirs and any(leads_to(variables, tip, commits.peeled(oid)) for tip in tips):
            found[ref] = oid
    for ref, oid in repository.refs.all(REQUESTS).items():
        there = theirs.get(ref)
        if there is None or (there != oid and commits.contains(there) and leads_to(variables, oid, there)):
            found[ref] = oid
        elif there != oid and not (commits.contains(there) and leads_to(variables, there, oid)):
            logging.getLogger("mpop").warning(
                "mpop: note: %s went on elsewhere and is not pushed; `mpop fetch` brings both together, push then",
                ref.removeprefix("refs/mpop/"),
            )
    return found
