"""`mpop revert`: a new commit that undoes an older one, record by record.

A record goes back to what it was before the commit. Whatever a later commit built on what is to be undone would be
left without its ground, so then nothing is done and the later commit is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpop.errors import InputError, StateError
from mpop.population import Population
from mpop.words import item_noun
from mpop_hooks import Proposal, check, nothing_lost, refusals
from mpop_hooks.schema import PART, SCHEMA
from mpop_store.git.repository import Commit

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Reverted:
    """commit: the new one. paths: the records that it set back or took out."""

    commit: str
    reverted: str
    paths: list[str]


def revert(population: Population, revision: str, mainline: int | None = None) -> Reverted:
    """Undo one commit by a new one.

    mainline: of a merge, which parent (from 1) to go back to. Raises StateError when the working state holds
    changes, when a later commit changed or built on the same records, or when there is nothing to go back to.
    """
    repository = population.repository
    repository.require_work_tree()
    population.refuse_while_merging()
    if not repository.is_clean:
        raise StateError("the working state holds changes; `mpop commit` or `mpop restore` them first")
    commit, head = repository.show(revision), repository.resolve("HEAD")
    if not repository.leads_to(head, commit.id):
        raise StateError(f"commit {commit.id[:10]} is not in the history of where you are; nothing to revert")
    parent = _parent(commit, mainline)
    changed = repository.changes(parent, commit.id)
    _refuse_later(population, commit, parent, changed, head)
    changes: dict[str, Record | None] = {
        path: None if kind == "A" else repository.read(path, parent) for path, kind in changed.items()
    }
    if not changes:
        raise StateError(f"commit {commit.id[:10]} changed no record; nothing to revert")
    _refuse(Proposal.changing(repository, head, changes, "commit"))
    message = f'Revert "{commit.subject}"\n\nUndoes commit {commit.id}.'
    return Reverted(repository.commit_changes(changes, message, head), commit.id, sorted(changes))


def _parent(commit: Commit, mainline: int | None) -> str:
    short = commit.id[:10]
    if not commit.parents:
        raise StateError(f"commit {short} is the first one; there is nothing to go back to")
    if len(commit.parents) > 1 and mainline is None:
        raise InputError(f"commit {short} is a merge; say with --mainline 1 or 2 which parent to go back to")
    if mainline is not None and not 1 <= mainline <= len(commit.parents):
        raise InputError(f"--mainline {mainline}: commit {short} has {len(commit.parents)} parents")
    return commit.parents[(mainline or 1) - 1]


def _refuse(proposal: Proposal) -> None:
    """As for any commit; only that a revert may take away series and particles, because it does so by name."""
    findings = [one for one in refusals(check(proposal)) if one.rule != nothing_lost.RULE]
    if findings:
        raise StateError(f"refused to revert: {findings[0]}")


def _refuse_later(
    population: Population, commit: Commit, parent: str, changed: Mapping[str, str], head: str
) -> None:
    """Raise StateError when records changed since then are among those to be undone, or build on them."""
    repository = population.repository
    since = repository.changes(commit.id, head)
    again = sorted(set(changed) & set(since))
    if again:
        path = again[0]
        record = repository.read(path, commit.id if repository.find(path, commit.id) else parent)
        raise _refusal(population, commit, path, f"{_called(population, record, path)} was changed again")
    made = {path: repository.read(path, commit.id) for path, kind in changed.items() if kind != "D"}
    versions = {str(record.get("version")): _called(population, record, path) for path, record in made.items()}
    added = {
        str(record["id"]): _called(population, record, path)
        for path, record in made.items()
        if changed[path] == "A" and "id" in record
    }
    for path, kind in sorted(since.items()):
        if kind != "D":
            record = repository.read(path, head)
            for _, _, name in SCHEMA.edges(record):
                if name in versions or name in added:
                    ground = versions.get(name) or added[name]
                    raise _refusal(
                        population, commit, path, f"{_called(population, record, path)} was made from {ground}"
                    )


def _refusal(population: Population, commit: Commit, path: str, why: str) -> StateError:
    """With the newest commit that is in the way."""
    later = next(one for one in population.repository.log() if path in one.changed)
    where = f"{later.id[:10]} ({later.subject})"
    return StateError(f"commit {commit.id[:10]} cannot be reverted: {why} in {where}; revert that first")


def _called(population: Population, record: Record, path: str) -> str:
    kind = str(record.get("kind", "record")).replace("item", item_noun(population.source_types()))
    if kind == PART.kind:
        return f"a species' particles ({path})"
    return f"{kind} {record.get('name') or str(record.get('id', path))[:10]}"
