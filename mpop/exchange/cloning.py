"""`mpop clone`."""

from __future__ import annotations

import shutil
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pygit2

from mpop.errors import InputError, MpopError, StateError, StoreError
from mpop.exchange.fetching import receive
from mpop.exchange.selection import Data
from mpop.run import Progress, silent
from mpop_hooks.histories import with_rules
from mpop_store.git.creating import is_free
from mpop_store.git.git_config import changing_config
from mpop_store.git.repository import Repository
from mpop_store.transfer.accepting import HEADS
from mpop_store.transfer.addresses import DirectoryAddress, parse_address
from mpop_store.transfer.fetching import Fetched
from mpop_store.transfer.remotes import Remotes, RemoteSettings, place_of
from mpop_store.upkeep.scrub import scrub

UNFINISHED = "mpop.cloning"
"""Key of Git's configuration: the address, while a clone is being made."""
ORIGIN = "origin"


@dataclass(frozen=True)
class Cloned:
    """A new clone. branch: the one that is checked out."""

    root: Path
    branch: str
    fetched: Fetched


def clone(
    address: str,
    folder: Path | None = None,
    base: Path = Path("."),
    data: Data | None = None,
    depth: int | None = None,
    bare: bool = False,
    far_mpop: str | None = None,
    progress: Progress = silent,
) -> Cloned:
    """Copy a population. base: what relative paths count from.

    A clone that broke off is finished by the same call. Raises InputError, StateError or StoreError, and then
    leaves nothing unless data have arrived that the next try can use.
    """
    where = parse_address(address, base.absolute())
    kept = str(where) if isinstance(where, DirectoryAddress) else address
    target = (base / (folder or _folder_of(kept))).absolute()
    repository = _begin(target, kept, bare, far_mpop)
    # what an earlier try has left may be torn, if the power went
    deque(scrub(repository.objects.offline(), lambda name: True), maxlen=0)
    try:
        return _fill(repository, data or Data(), depth, bare, progress)
    except BaseException as error:
        refused = isinstance(error, MpopError) and not isinstance(error, StoreError)
        if refused or not _holds_objects(repository):
            shutil.rmtree(target if bare else target / ".git", ignore_errors=True)
            with suppress(OSError):
                target.rmdir()
        raise


def _folder_of(address: str) -> str:
    name = address.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git")
    if name in ("", ".", "..", "~"):
        raise InputError(f"{address!r} gives no name to the clone; say into which folder")
    return name


def _begin(target: Path, address: str, bare: bool, far_mpop: str | None) -> Repository:
    """A new repository, or one in which the same clone was begun before."""
    git_directory = target if bare else target / ".git"
    if (git_directory / "config").is_file():
        config = pygit2.Config(str(git_directory / "config"))
        if next(iter(config.get_multivar(UNFINISHED)), None) == address:
            return _prepared(Repository(pygit2.Repository(str(git_directory))))
    if target.exists() and not (target.is_dir() and is_free(target, bare)):
        raise StateError(f"{target} is there already and is not empty; choose another folder")
    made = _prepared(Repository.init(target, bare=bare))
    remotes = Remotes(made)
    if ORIGIN in remotes.all():  # from a clone that was killed here
        remotes.remove(ORIGIN)
    remotes.add(ORIGIN, address, far_mpop)
    with changing_config(made.git_directory) as config:
        config[UNFINISHED] = address
    return made


def _prepared(repository: Repository) -> Repository:
    with_rules(repository)
    return repository


def _holds_objects(repository: Repository) -> bool:
    return next(iter(repository.objects.names()), None) is not None


def _fill(repository: Repository, data: Data, depth: int | None, bare: bool, progress: Progress) -> Cloned:
    remotes = Remotes(repository)
    settings: RemoteSettings = replace(remotes.get(ORIGIN), data=str(data))
    with remotes.connect(settings) as remote:
        description = remote.describe()
        fetched = receive(repository, remote, settings, data, depth, progress)
        remotes.meet(settings, place_of(settings, remote))
    branches = repository.refs.all(f"refs/remotes/{ORIGIN}/")
    heads = {HEADS + ref.removeprefix(f"refs/remotes/{ORIGIN}/"): oid for ref, oid in branches.items()}
    if not heads:
        raise StateError(f"{settings.address} holds no commits yet; push to it first")
    branch = description.branch if description.branch in heads else min(heads)
    remotes.set_data(ORIGIN, str(data))
    if bare:
        known = repository.refs.all(HEADS)
        moves = {ref: (known.get(ref), oid) for ref, oid in heads.items() if known.get(ref) != oid}
        symbolic = f"ref: {repository.refs.branch}", f"ref: {branch}"
        repository.refs.update({**moves, "HEAD": symbolic}, "clone")
    elif repository.head is None:
        repository.switch(branch, "clone", start=heads[branch])
    remotes.follow(branch, ORIGIN)
    with changing_config(repository.git_directory) as config:
        config.delete_multivar(UNFINISHED, ".*")
    return Cloned(repository.root, branch.removeprefix(HEADS), fetched)
