"""What `faults.Faults` runs besides commands of mpop: functions of the path of a population."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from unittest.mock import patch

import example_population
import numpy as np

from mpop.exchange.dropping import DropOptions, drop_data
from mpop.exchange.fetching import fetch_from, upstream
from mpop.exchange.pushing import PushOptions, push_to
from mpop.exchange.serving import serve_stdio
from mpop.merging import merge
from mpop.population import Population
from mpop.requests.chains import Requests
from mpop.requests.merging import merge_request
from mpop.requests.offers import offer_branch
from mpop_store import hash_bytes
from mpop_store.transfer import remotes
from mpop_store.transfer.connected import ConnectedRemote
from mpop_store.transfer.remotes import Remotes, RemoteSettings
from mpop_store.transfer.wire import Channel
from mpop_store.upkeep.collection import collect as collect_garbage
from mpop_store.upkeep.packing import pack


def refine(path: str) -> None:
    """Commit a refinement, arrays and all."""
    example_population.refine(Population.open(path))


def stage(path: str) -> None:
    """Change a species and add another in the working state."""
    population = Population.open(path)
    (species,) = population.species("HEAD").values()
    maps = population.write_group(example_population.maps(7))
    other = {"id": "c" * 16, "name": "proteasome", "maps_object": maps, "resolution_A": 25.0}
    population.stage([species.model_copy(update={"symmetry": "C2"}), species.model_copy(update=other)])


def add_species(path: str) -> None:
    """Commit another species."""
    population = Population.open(path)
    (species,) = population.species("HEAD").values()
    maps = population.write_group(example_population.maps(8))
    other = {"id": "d" * 16, "name": "synthase", "maps_object": maps, "resolution_A": 25.0}
    population.stage([species.model_copy(update=other)])
    population.commit("Another species")


def refine_series(path: str, item: str, number: str) -> str:
    """Commit a new model of a series; returns its group."""
    population = Population.open(path)
    head = population.repository.resolve("HEAD")
    old = population.item(item)
    group = population.write_tilt_series(example_population.model(float(number)))
    new = old.model_copy(update={"model_object": group, "parent": old.version})
    population.commit_records([new], f"Refine {item}", since=head)
    return group


def put_species(path: str, identity: str, number: str) -> str:
    """Commit new maps of a species, which may itself be new; returns their group."""
    population = Population.open(path)
    known = population.species("HEAD")
    group = population.write_group(example_population.maps(int(number)))
    old = known.get(identity)
    if old is None:
        new = known["a" * 16].model_copy(
            update={"id": identity, "name": identity, "maps_object": group, "resolution_A": 25.0}
        )
    else:
        new = old.model_copy(update={"maps_object": group, "resolution_A": 25.0, "parent": old.version})
    population.stage([new])
    population.commit(f"Species {identity}")
    return group


def put_species_at_once(path: str, identity: str, number: str) -> None:
    """As `put_species`, as a job does it: without touching the working state."""
    population = Population.open(path)
    head = population.repository.resolve("HEAD")
    group = population.write_group(example_population.maps(int(number)))
    new = population.one_species("ribosome", head)
    new = new.model_copy(update={"id": identity, "name": identity, "maps_object": group, "resolution_A": 25.0})
    population.commit_records([new], f"Species {identity}", since=head)


def pull(path: str) -> None:
    """Fetch from origin and merge."""
    population = Population.open(path)
    repository = population.repository
    settings = Remotes(repository).get("origin")
    fetch_from(repository, settings)
    merge(population, upstream(repository, settings), default="ours")


def pack_all(path: str) -> None:
    """Pack objects."""
    pack(Population.open(path).repository)


def switch(path: str, branch: str) -> None:
    """Stand on another branch."""
    Population.open(path).repository.switch(branch, "switch")


def push(path: str) -> None:
    """Push the current branch to origin."""
    repository = Population.open(path).repository
    push_to(repository, Remotes(repository).get("origin"), PushOptions())


@contextmanager
def _served(far: str) -> Iterator[RemoteSettings]:
    """A population behind `mpop serve-stdio` in a process of its own; a pair of sockets takes the place of ssh."""

    def connect(*_: object) -> ConnectedRemote:
        near, there = socket.socketpair()
        if os.fork() == 0:
            near.close()
            os.dup2(there.fileno(), 0)
            os.dup2(there.fileno(), 1)
            there.close()
            try:
                serve_stdio(Path(far))
            finally:
                os._exit(0)
        there.close()
        reader, writer = near.makefile("rb"), near.makefile("wb")
        near.close()
        return ConnectedRemote(Channel(cast(BinaryIO, reader), cast(BinaryIO, writer), "the server"), "the server")

    with patch.object(remotes, "open_remote", connect):
        yield RemoteSettings("origin", "ssh://server/", data="all")


def push_to_server(path: str, far: str) -> None:
    """Push the current branch to a population behind a connection."""
    with _served(far) as settings:
        push_to(Population.open(path).repository, settings, PushOptions())


def fetch_from_server(path: str, far: str) -> None:
    """Fetch from a population behind a connection."""
    with _served(far) as settings:
        fetch_from(Population.open(path).repository, settings)


def offer(path: str) -> None:
    """Open a request to take the branch that we are on into main."""
    population = Population.open(path)
    made = offer_branch(population, "main")
    Requests(population.repository).open("A better series", "main", made.species, made.commit)


def take_request(path: str) -> None:
    """Merge the one request that there is."""
    population = Population.open(path)
    (request,) = Requests(population.repository).all()
    merge_request(population, request.id)


def drop(path: str, remote: str) -> None:
    """Drop everything that a remote has."""
    population = Population.open(path)
    drop_data(population, Remotes(population.repository).get(remote), DropOptions(everything=True))


def put_noise(path: str, MiB: int) -> None:
    """Commit new maps that no compression makes smaller, of so many MiB."""
    population = Population.open(path)
    random = np.random.default_rng(MiB)
    noise = {f"noise{number}": random.normal(size=2**17) for number in range(MiB)}
    species = population.one_species("ribosome", "HEAD")
    group = population.write_group(noise | example_population.maps(9))
    new = species.model_copy(update={"maps_object": group, "resolution_A": 25.0, "parent": species.version})
    population.stage([new])
    population.commit("Noise")


def litter(path: str) -> None:
    """Leave objects about that nothing needs, loose ones and, beside good ones, in a pack."""
    population = Population.open(path)
    population.write_group(example_population.maps(20))
    pack(population.repository)
    example_population.refine(population)
    population.write_group(example_population.maps(21))


def litter_shared(path: str) -> None:
    """Leave objects in a bare population that nothing needs, as a push that broke off does."""
    Population.open(path).write_group(example_population.maps(os.getpid()))


def collect(path: str, margin_s: str = "-3600") -> None:
    """Collect garbage at once, however new it is, and empty the trash."""
    repository = Population.open(path).repository
    collect_garbage(repository, empty_trash=True, operations_days=0.0, trash_days=0.0, margin_s=float(margin_s))


def read(path: str) -> None:
    """Print a digest of everything that every commit holds, arrays included."""
    population = Population.open(path)
    for commit in population.repository.log():
        for species in population.species(commit.id).values():
            print(commit.id[:10], species.name, species.version, _digest(population, species.maps_object))
            for item, group in sorted(species.particles.items()):
                print("  particles", item, _digest(population, group))
        for item in population.items(commit.id).values():
            print(commit.id[:10], item.name, item.version, _digest(population, item.model_object))


def _digest(population: Population, group: str) -> str:
    arrays = population.read_group(group)
    return hash_bytes(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays)))[:16]
