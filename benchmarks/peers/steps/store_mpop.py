"""mpop's side of the benchmark of stores: one step in each process, through the Python interface of the store.

    python -m benchmarks peers.steps.store_mpop STEP FOLDER [OTHER]

Arrays are kept as mpop keeps them: the maps of a species in one group, what belongs to a tilt series in a group
and a record of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mpop_store.filecache import FileCache
from mpop_store.git.repository import Repository
from mpop_store.references import References

MAPS = ("half1", "half2", "filtered")
SERIES, SERIES_COLUMN = 200, 1
SPECIES = "species/one.json"
BRANCH = "refs/heads/main"

Record = dict[str, Any]


def references_of(record: Mapping[str, Any]) -> References:
    """What a record names: the groups under these keys."""
    return References(tuple(record[key] for key in ("maps", "arrays") if key in record))


def tell_references(repository: Repository) -> None:
    """Have a repository know what the records of this benchmark name."""
    repository.references_of = references_of


def open_repository(folder: Path) -> Repository:
    """The repository in a folder."""
    repository = Repository.open(folder)
    tell_references(repository)
    return repository


def commit(folder: Path, data: Path) -> None:
    """Keep what is in the data folder, as far as its files have changed."""
    repository = open_repository(folder)
    cache = FileCache(repository.private / "file-hashes")
    hashes = {path.relative_to(data).as_posix(): cache.hash(path) for path in sorted(data.rglob("*.npy"))}
    head = _record(repository, SPECIES)
    known = head.get("files", {})
    changed = {name for name, digest in hashes.items() if known.get(name) != digest}
    if not changed:
        return
    records = dict(_changed_records(repository, data, changed, head.get("maps")))
    repository.stage({**records, SPECIES: records.get(SPECIES, head) | {"files": hashes}})
    repository.commit("new version")


def _record(repository: Repository, path: str) -> Record:
    return {} if repository.find(path) is None else repository.read(path)


def _changed_records(
    repository: Repository, data: Path, changed: set[str], maps: str | None
) -> Iterator[tuple[str, Record]]:
    """The records of which an array has changed."""
    import numpy as np

    from mpop_store.arrays.groups import write_group

    def load(name: str) -> np.ndarray:
        return np.load(data / name, mmap_mode="r")

    if changed & {f"{name}.npy" for name in MAPS}:
        yield SPECIES, {"maps": write_group(repository.objects, {name: load(f"{name}.npy") for name in MAPS})}
    else:
        yield SPECIES, {"maps": maps}
    table = load("particles.npy")
    ends = np.searchsorted(table[:, SERIES_COLUMN], np.arange(SERIES + 1))
    for number in range(SERIES):
        grid = f"grids/{number:03d}.npy"
        if not changed.isdisjoint({"particles.npy", grid}):
            path, rows = f"items/{number:03d}.json", table[ends[number] : ends[number + 1]]
            new = {"arrays": write_group(repository.objects, {"grid": load(grid), "particles": rows})}
            if new != _record(repository, path):
                yield path, new


def save_again(folder: Path, data: Path) -> None:
    """Keep arrays that are all there already, by somebody who does not know that."""
    repository = open_repository(folder)
    everything = {path.relative_to(data).as_posix() for path in data.rglob("*.npy")}
    records = dict(_changed_records(repository, data, everything, None))
    for path, record in records.items():
        assert repository.read(path) | record == repository.read(path)


def init(folder: Path, remote: Path) -> None:
    """An empty repository that knows an empty remote."""
    from mpop_store.transfer.remotes import Remotes

    Repository.init(remote, bare=True)
    repository = Repository.init(folder)
    repository.stage({"population.json": {"format": 1, "name": "benchmark"}})
    repository.commit("an empty population")
    Remotes(repository).add("origin", str(remote.resolve()))


def push(folder: Path) -> None:
    """Bring everything to the remote."""
    from mpop_store.transfer.pushing import push as push_to
    from mpop_store.transfer.remotes import Remotes, Rules

    repository = open_repository(folder)
    remotes = Remotes(repository)
    with remotes.connect(remotes.get("origin"), Rules(tell_references, lambda history, commits: None)) as remote:
        push_to(repository, remote, {BRANCH: repository.head})


def clone(remote: Path, folder: Path, with_data: bool = True) -> None:
    """Copy the newest version out of the remote."""
    from mpop_store.transfer.fetching import Plan, fetch
    from mpop_store.transfer.naming import everything
    from mpop_store.transfer.remotes import Remotes

    repository = Repository.init(folder)
    remotes = Remotes(repository)
    remotes.add("origin", str(remote.resolve()))
    plan = Plan((lambda history, oid: everything(references_of)) if with_data else None)
    with remotes.connect(remotes.get("origin")) as there:
        fetch(repository, there, "origin", plan, lambda history, commits: None)
    repository.switch(BRANCH, "clone", start=repository.refs.get("refs/remotes/origin/main"))
    remotes.set_data("origin", "none")


def read(folder: Path) -> None:
    """Read a whole map."""
    from mpop_store.arrays.groups import read_array
    from mpop_store.transfer.lazily import read_lazily

    repository = open_repository(folder)
    read_lazily(repository)
    print(float(read_array(repository.objects, repository.read(SPECIES)["maps"], "half1").sum()))


def lazy(remote: Path, folder: Path) -> None:
    """Copy the records out of the remote, and read one map."""
    clone(remote, folder, with_data=False)
    read(folder)


def box(folder: Path) -> None:
    """Print how long it takes to read a box of 40^3 voxels, in ms: the smallest of 5, each of another place."""
    import numpy as np

    from mpop_store.arrays.groups import read_array

    repository = open_repository(folder)
    maps = repository.read(SPECIES)["maps"]
    times = []
    for corner in (100, 30, 60, 10, 88):
        start = time.perf_counter()
        part = slice(corner, corner + 40)
        found = read_array(repository.objects, maps, "half1", (part, part, part))
        times.append(1000 * (time.perf_counter() - start))
        assert found.size and np.isfinite(found).all()
    print(min(times))


def verify(folder: Path) -> None:
    """Read and check every object and every Git object."""
    from mpop_store.upkeep.scrub import scrub

    repository = open_repository(folder)
    assert not repository.survey().broken
    assert all(found.damage is None for found in scrub(repository.objects, lambda name: True))


if __name__ == "__main__":
    step = {one.__name__: one for one in (init, commit, save_again, push, clone, read, lazy, box, verify)}
    step[sys.argv[1]](*map(Path, sys.argv[2:]))
