"""The remotes that a population knows, in Git's own configuration, and how to reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pygit2

from mpop_store.errors import InputError, NotFoundError, StateError
from mpop_store.git.git_config import changing_config
from mpop_store.git.history import History
from mpop_store.git.repository import Repository
from mpop_store.objects.promises import Place
from mpop_store.transfer.accepting import CommitCheck
from mpop_store.transfer.addresses import DirectoryAddress, check_remote_name, parse_address
from mpop_store.transfer.directory import DirectoryRemote
from mpop_store.transfer.patience import Patience
from mpop_store.transfer.remote import Remote
from mpop_store.transfer.ssh import SshRemote
from mpop_store.transfer.walking import NewCommit

DATA = "mpopdata"
"""Key under remote.<name>: which data a fetch from there brings."""
STORE = "mpopstore"
"""Key under remote.<name>: the id of the store that was met there last."""
FAR_MPOP = "mpop"
"""Key under remote.<name>: the command that is mpop on that machine."""


@dataclass(frozen=True)
class RemoteSettings:
    """What Git's configuration says about a remote. data: which data to fetch from it, None if nothing was yet;
    store: the id of the store that was met there last."""

    name: str
    address: str
    far_mpop: str = "mpop"
    data: str | None = None
    store: str | None = None


@dataclass(frozen=True)
class Rules:
    """What the layers above ask of a population that is pushed to.

    apply: tells a repository what records name, and which may be used. check: what commits must be.
    """

    apply: Callable[[Repository], None]
    check: CommitCheck


class Remotes:
    """The remotes of one population."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    @property
    def _file(self) -> pygit2.Config:
        return pygit2.Config(str(self._repository.git_directory / "config"))

    @contextmanager
    def _changing(self) -> Iterator[pygit2.Config]:
        """The configuration of this population, to be changed."""
        with self._repository.locked(), changing_config(self._repository.git_directory) as config:
            yield config

    @property
    def _merged(self) -> pygit2.Config:
        """With what the user and the machine add."""
        return pygit2.Repository(str(self._repository.git_directory)).config

    def all(self) -> dict[str, RemoteSettings]:
        """Remotes by name."""
        values: dict[str, dict[str, str]] = {}
        for entry in self._file:
            section, _, rest = entry.name.partition(".")
            name, _, key = rest.rpartition(".")
            if section == "remote" and name and entry.value is not None:
                values.setdefault(name, {})[key] = entry.value
        return {
            name: RemoteSettings(name, keys["url"], keys.get(FAR_MPOP, "mpop"), keys.get(DATA), keys.get(STORE))
            for name, keys in sorted(values.items())
            if "url" in keys
        }

    def get(self, name: str) -> RemoteSettings:
        """A remote by name. Raises NotFoundError."""
        known = self.all()
        if name not in known:
            names = ", ".join(known) or "none yet"
            raise NotFoundError(
                f"no remote {name!r} (there are: {names}); `mpop remote add {name} ADDRESS` adds it"
            )
        return known[name]

    def default(self, branch: str | None) -> RemoteSettings:
        """The remote that a branch follows, or else origin, or the only one. Raises NotFoundError."""
        known = self.all()
        key = f"branch.{(branch or '').removeprefix('refs/heads/')}.remote"
        followed = next(iter(self._file.get_multivar(key)), None)
        if followed is not None and followed in known:
            return known[followed]
        if len(known) == 1:
            return next(iter(known.values()))
        return self.get("origin")

    def add(self, name: str, address: str, far_mpop: str | None = None) -> None:
        """Remember a remote. Raises InputError, also for this population itself, or StateError."""
        check_remote_name(name)
        where = parse_address(address, self._base)
        if isinstance(where, DirectoryAddress) and self._is_here(where.path):
            raise InputError(f"{address} is this population itself; a remote is another copy of it")
        if name in self.all():
            raise StateError(f"there is a remote {name!r} already; `mpop remote remove {name}` removes it")
        with self._changing() as config:
            config[f"remote.{name}.url"] = address
            config[f"remote.{name}.fetch"] = f"+refs/heads/*:refs/remotes/{name}/*"
            if far_mpop is not None:
                config[f"remote.{name}.{FAR_MPOP}"] = far_mpop

    def _is_here(self, path: Path) -> bool:
        """Whether a folder is this population, whatever way leads there."""
        places = (path / ".git" / "mpop", path / "mpop")
        return any(one.is_dir() and one.samefile(self._repository.private) for one in places)

    def remove(self, name: str) -> None:
        """Forget a remote and the branches that were fetched from it. Raises NotFoundError."""
        self.get(name)
        repository = self._repository
        with repository.locked():
            branches = repository.refs.all(f"refs/remotes/{name}/")
            if branches:
                repository.refs.update(
                    {ref: (oid, None) for ref, oid in branches.items()}, f"remove remote {name}"
                )
        with self._changing() as config:
            for key in [entry.name for entry in config if entry.name.startswith(f"remote.{name}.")]:
                config.delete_multivar(key, ".*")

    def set_data(self, name: str, data: str) -> None:
        """Remember which data to fetch from a remote."""
        with self._changing() as config:
            config[f"remote.{name}.{DATA}"] = data

    def meet(self, settings: RemoteSettings, place: Place) -> None:
        """Remember which store is reached by way of a remote; what another one had for us has been seen to."""
        if place.store and place.store != settings.store:
            with self._changing() as config:
                config[f"remote.{settings.name}.{STORE}"] = place.store

    def way_to(self, place: Place) -> RemoteSettings | None:
        """The remote by which a store is reached, as far as is known without asking it; None if it was removed."""
        for one in self.all().values():
            same_address = str(parse_address(one.address, self._base)) == place.address
            if same_address or (place.store and one.store == place.store):
                return one
        return None

    def follow(self, branch: str, name: str) -> None:
        """Let a branch follow the one of its name on a remote."""
        short = branch.removeprefix("refs/heads/")
        with self._changing() as config:
            config[f"branch.{short}.remote"] = name
            config[f"branch.{short}.merge"] = branch

    @property
    def _base(self) -> Path:
        """What relative paths in addresses count from, as Git does it."""
        return self._repository.root

    def connect(self, settings: RemoteSettings, rules: Rules | None = None) -> Remote:
        """Reach a remote. rules: what must hold for what is pushed into a folder; None: it is only read."""
        return open_remote(settings, self._base, rules, self._merged)


def place_of(settings: RemoteSettings, remote: Remote) -> Place:
    """The store that is reached by way of a remote."""
    return Place(remote.describe().store or "", settings.name, remote.address)


def open_remote(settings: RemoteSettings, base: Path, rules: Rules | None, config: pygit2.Config) -> Remote:
    """Reach a population. base: what a relative path counts from; config: with what user and machine add."""
    address = parse_address(settings.address, base)
    if isinstance(address, DirectoryAddress):
        return open_directory(address.path, rules)
    ssh = next(iter([*config.get_multivar("core.sshcommand")][::-1]), None)  # the last one counts
    return SshRemote(address, settings.far_mpop, ssh, Patience.of(config))


def open_directory(path: Path, rules: Rules | None) -> DirectoryRemote:
    """The population in a folder. rules None: it is only read. Raises NotFoundError."""
    repository = Repository.open(path)
    if not any(path.samefile(own) for own in (repository.root, repository.git_directory)):
        raise NotFoundError(
            f"{path} is a folder inside the population {repository.root}; give the address of that"
        )
    if rules is None:
        return DirectoryRemote(repository, _allow, str(path), read_only=True)
    rules.apply(repository)
    return DirectoryRemote(repository, rules.check, str(path))


def _allow(history: History, commits: Sequence[NewCommit]) -> None:
    """Nothing is ever received where this is asked."""
