"""`mpop fetch`: what is new at a remote, checked before it counts."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from itertools import compress
from pathlib import Path

from mpop.errors import MpopError, NotFoundError, StateError
from mpop.exchange.elsewhere import renew_all
from mpop.exchange.rules import RULES
from mpop.exchange.selection import ALL, Data, note_lack_of_data, require_species
from mpop.run import Progress, silent
from mpop_hooks.histories import check_fetched, with_rules
from mpop_store.git.creating import EXCLUDE
from mpop_store.git.opening import open_git
from mpop_store.git.plain_git import install_hooks
from mpop_store.git.repository import ROOT_RECORD, Repository
from mpop_store.objects.promises import HeldPromises, Place
from mpop_store.references import References
from mpop_store.transfer.accepting import HEADS
from mpop_store.transfer.fetching import Fetched, Plan, fetch
from mpop_store.transfer.lazily import read_lazily
from mpop_store.transfer.naming import Named
from mpop_store.transfer.promising import due
from mpop_store.transfer.remote import Proof, Remote
from mpop_store.transfer.remotes import Remotes, RemoteSettings, place_of
from mpop_store.transfer.sending import bring_named


def open_to_fetch(path: Path) -> Repository:
    """The population that holds a folder; a plain `git clone` of one is given a place for its arrays first."""
    repository = Repository(open_git(path))
    is_population = repository.head is not None and repository.find(ROOT_RECORD, "HEAD") is not None
    if is_population and not repository.private.is_dir():
        (repository.git_directory / "info").mkdir(exist_ok=True)
        (repository.git_directory / "info" / "exclude").write_text(EXCLUDE)
        install_hooks(repository.git_directory)
        repository.objects.root.mkdir(parents=True)
    repository = Repository.open(path)
    with_rules(repository)
    read_lazily(repository)
    return repository


def fetch_from(
    repository: Repository,
    settings: RemoteSettings,
    data: Data | None = None,
    depth: int | None = None,
    progress: Progress = silent,
) -> Fetched:
    """Bring what is new at a remote.

    data: which arrays, of everything and not only of what is new; None is as the clone was made, of what is new.
    Raises StateError when the history that was here before must not be used; what was fetched is here then.
    """
    remotes = Remotes(repository)
    with remotes.connect(settings) as remote:
        fetched = receive(repository, remote, settings, data, depth, progress)
        if data is not None and data.kind == ALL:
            more = _bring_back(repository, remote, settings, progress)
            fetched = replace(fetched, bytes=fetched.bytes + more)
        place = place_of(settings, remote)
    _renew(repository, settings, place)
    if settings.data is None:
        Remotes(repository).set_data(settings.name, str(data or Data()))
    elif data is not None and data.kind != ALL:
        note_lack_of_data(repository, settings)
    if repository.vetting is not None and repository.head is not None:
        repository.vetting.commit(repository.head)  # after a plain `git clone` nobody has looked at it
    return fetched


def _bring_back(repository: Repository, remote: Remote, settings: RemoteSettings, progress: Progress) -> int:
    """Bring what a remote has for us, also where no branch there leads to it any more; returns how many bytes."""
    remotes, objects, received = Remotes(repository), repository.objects.offline(), 0
    for held in HeldPromises(repository.private).all():
        way = remotes.way_to(held.place)
        if way is None or way.name != settings.name:
            continue
        groups, names = held.groups.hex(), held.objects.hex()
        whole = remote.have(groups, Proof.COMPLETE) if groups else []
        there = remote.have(names) if names else []
        named = Named()
        named.add(References(*(tuple(compress(*pair)) for pair in ((groups, whole), (names, there)))))
        received += bring_named(objects, remote, named, progress)
    return received


def receive(
    repository: Repository,
    remote: Remote,
    settings: RemoteSettings,
    data: Data | None,
    depth: int | None,
    progress: Progress,
) -> Fetched:
    """As `fetch_from`, over a connection that is there."""
    chosen = data or Data.parse(settings.data)
    again = data is not None or settings.data is None
    plan = Plan(chosen.select, chosen.kind == "all", again, depth=depth)
    fetched = fetch(repository, remote, settings.name, plan, check_fetched, progress)
    if data is not None:
        require_species(repository, repository.refs.all(f"refs/remotes/{settings.name}/"), data.species)
    return fetched


def _renew(repository: Repository, settings: RemoteSettings, place: Place) -> None:
    """Renew what the remote has promised. The fetch is over, and does not fail for it."""
    promises = due(repository, place, settings.store, time.time())
    if promises:
        try:
            with Remotes(repository).connect(settings, RULES) as remote:
                renew_all(repository, remote, place, promises)
        except MpopError as error:
            text = "mpop: warning: the promise of %s could not be renewed: %s"
            logging.getLogger("mpop").warning(text, settings.name, error)
            return
    Remotes(repository).meet(settings, place)


def upstream(repository: Repository, settings: RemoteSettings) -> str:
    """How a merge names the remote's branch that belongs to the one we are on. Raises StateError."""
    branch = repository.refs.branch
    if branch is None:
        raise StateError("you are on no branch; `mpop switch` to one first")
    short = branch.removeprefix(HEADS)
    if repository.refs.get(f"refs/remotes/{settings.name}/{short}") is None:
        raise NotFoundError(f"{settings.name} has no branch {short}; `mpop push` makes it")
    return f"{settings.name}/{short}"
