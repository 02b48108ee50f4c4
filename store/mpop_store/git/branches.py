"""Branches and tags: names of commits that people choose. Every change is one operation, and can be undone."""

from __future__ import annotations

from dataclasses import dataclass

from mpop_store.errors import InputError, NotFoundError, StateError
from mpop_store.git.refs import HEAD, SYMBOLIC, valid
from mpop_store.git.repository import Repository

HEADS = "refs/heads/"
TAGS = "refs/tags/"
REMOTES = "refs/remotes/"


@dataclass(frozen=True)
class Named:
    """A branch or a tag. message: the annotation of a tag; of others the first line of the commit's."""

    name: str
    commit: str
    message: str
    is_current: bool = False


def branches(repository: Repository, remote: bool = False) -> list[Named]:
    """The branches here, or those that remotes had when they were last asked."""
    prefix = REMOTES if remote else HEADS
    current = repository.refs.branch
    return [
        Named(
            name.removeprefix(prefix),
            commit,
            repository.commit_object(commit).message.split("\n", 1)[0],
            name == current,
        )
        for name, commit in sorted(repository.refs.all(prefix).items())
    ]


def create_branch(repository: Repository, name: str, start: str = HEAD) -> str:
    """Make a branch at a revision; returns the commit. Raises StateError when there is one of that name."""
    commit = repository.resolve(start)
    with repository.locked():
        _require_new(repository, _reference(HEADS, name), "branch")
        repository.refs.update({HEADS + name: (None, commit)}, f"branch: {name} made at {start}")
    return commit


def switch(repository: Repository, name: str, create: bool = False, start: str = HEAD) -> str:
    """Switch to a branch, which is made first if asked; returns its commit.

    A branch that is not here, but that one remote has, is made from it. Raises StateError when changes in the
    working state would be lost, NotFoundError for an unknown name.
    """
    target = _reference(HEADS, name)
    reason = f"switch: {_standing(repository)} -> {name}"
    with repository.locked():
        if create:
            _require_new(repository, target, "branch")
            repository.switch(target, reason, repository.resolve(start))
        elif repository.refs.get(target) is None:
            remote, commit = _on_a_remote(repository, name)
            repository.switch(target, reason, commit)
            repository.config[f"branch.{name}.remote"] = remote
            repository.config[f"branch.{name}.merge"] = target
        else:
            repository.switch(target, reason)
    return repository.resolve(HEAD)


def _on_a_remote(repository: Repository, name: str) -> tuple[str, str]:
    """The one remote that has a branch, and the branch's commit."""
    suffix = f"/{name}"
    found = {
        full.removeprefix(REMOTES).removesuffix(suffix): commit
        for full, commit in repository.refs.all(REMOTES).items()
        if full.endswith(suffix)
    }
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        remotes = ", ".join(sorted(found))
        raise InputError(
            f"several remotes have a branch {name!r} ({remotes}); say which: `mpop switch -c {name} R/B`"
        )
    raise NotFoundError(f"no branch {name!r} in this population; `mpop switch -c {name}` makes it")


def checkout(repository: Repository, revision: str) -> str:
    """Switch to a commit, on no branch; returns it. Raises as `switch`."""
    commit = repository.resolve(revision)
    repository.switch(commit, f"checkout: {_standing(repository)} -> {revision}")
    return commit


def delete_branch(repository: Repository, name: str, force: bool = False) -> str:
    """Remove a branch; returns where it was.

    Raises StateError for the one that HEAD names and, unless forced, for one with commits that HEAD does not
    lead to.
    """
    reference = _reference(HEADS, name)
    with repository.locked():
        commit = repository.refs.get(reference)
        if commit is None:
            raise NotFoundError(f"no branch {name!r} in this population")
        if repository.refs.branch == reference:
            raise StateError(f"branch {name} is the one you are on; switch to another one first")
        if not force and not repository.leads_to(HEAD, commit):
            raise StateError(f"branch {name} holds commits that are not merged here; -D deletes it all the same")
        repository.refs.update({reference: (commit, None)}, f"branch: {name} deleted")
    return commit


def rename_branch(repository: Repository, old: str, new: str) -> None:
    """Give a branch another name; HEAD follows. What Git has configured for it stays with the old name."""
    before, after = _reference(HEADS, old), _reference(HEADS, new)
    with repository.locked():
        commit = repository.refs.get(before)
        if commit is None:
            raise NotFoundError(f"no branch {old!r} in this population")
        _require_new(repository, after, "branch")
        moves: dict[str, tuple[str | None, str | None]] = {after: (None, commit), before: (commit, None)}
        if repository.refs.branch == before:
            # HEAD moves before the branch is gone that it stood on
            moves = {after: (None, commit), HEAD: (SYMBOLIC + before, SYMBOLIC + after), before: (commit, None)}
        repository.refs.update(moves, f"branch: {old} renamed to {new}")


def current_branch(repository: Repository) -> str:
    """The branch that HEAD names. Raises StateError when it names none."""
    branch = repository.refs.branch
    if branch is None:
        raise StateError("you are on no branch (HEAD is detached); name one")
    return branch.removeprefix(HEADS)


def tags(repository: Repository) -> list[Named]:
    """All tags by name."""
    found: list[Named] = []
    for name, oid in sorted(repository.refs.all(TAGS).items()):
        commit, tag = repository.resolve(name), repository.tag_object(oid)
        message = repository.show(commit).subject if tag is None else tag.message.split("\n", 1)[0]
        found.append(Named(name.removeprefix(TAGS), commit, message))
    return found


def create_tag(repository: Repository, name: str, revision: str = HEAD, message: str | None = None) -> str:
    """Name a commit for ever; with a message the tag is an object of its own, signed if Git is configured to sign
    tags.

    Returns the commit. Raises StateError when there is a tag of that name.
    """
    reference = _reference(TAGS, name)
    commit = repository.resolve(revision)
    with repository.locked():
        _require_new(repository, reference, "tag")
        target = commit if message is None else repository.write_tag(name, commit, message)
        repository.make_durable()
        repository.refs.update({reference: (None, target)}, f"tag: {name} at {revision}")
    return commit


def delete_tag(repository: Repository, name: str) -> str:
    """Remove a tag; returns the commit that it named."""
    reference = _reference(TAGS, name)
    with repository.locked():
        target = repository.refs.get(reference)
        if target is None:
            raise NotFoundError(f"no tag {name!r} in this population")
        commit = repository.resolve(reference)
        repository.refs.update({reference: (target, None)}, f"tag: {name} deleted")
    return commit


def _reference(prefix: str, name: str) -> str:
    """The reference of a short name. Raises InputError for one that Git would not take."""
    if name.startswith("-") or name == HEAD or not valid(prefix + name):
        raise InputError(f"{name!r} cannot be a name; use letters, digits, - _ . and /")
    return prefix + name


def _require_new(repository: Repository, reference: str, noun: str) -> None:
    """Git keeps references as files: none may be there, and none that would be a folder of another."""
    prefix = HEADS if noun == "branch" else TAGS
    short = reference.removeprefix(prefix)
    for known in repository.refs.all(prefix):
        if known == reference:
            raise StateError(f"there is a {noun} {short!r} already")
        if f"{known}/".startswith(f"{reference}/") or f"{reference}/".startswith(f"{known}/"):
            raise StateError(f"there is a {noun} {known.removeprefix(prefix)!r}, so {short!r} cannot be one")


def _standing(repository: Repository) -> str:
    """Where HEAD is, for the operation log."""
    branch, head = repository.refs.branch, repository.head
    return branch.removeprefix(HEADS) if branch else (head or "nothing")[:10]
