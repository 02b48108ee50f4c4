"""A repository for trying things: it sees everything, keeps nothing, and leaves the real one alone."""

from __future__ import annotations

import fcntl
from pathlib import Path

import numpy as np
import pytest

from mpop_store.arrays.groups import group_objects, read_group, write_group
from mpop_store.errors import MissingObjectError, StoreError
from mpop_store.git.repository import Repository
from mpop_store.git.scratch import scratch


def arrays(seed: int) -> dict[str, np.ndarray]:
    return {"values": np.random.default_rng(seed).normal(size=(30, 30))}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.init(tmp_path / "population")
    group = write_group(made.objects, arrays(0))
    made.stage({"population.json": {"format": 1, "name": "p"}, "sources/a.json": {"group": group}})
    made.commit("First")
    made.stage({"sources/b.json": {"number": 2}})
    made.commit("Second")
    return made


def files(repository: Repository) -> dict[Path, int]:
    return {path: path.stat().st_size for path in repository.root.rglob("*") if path.is_file()}


def test_what_is_written_is_gone_and_what_was_there_is_seen(repository: Repository) -> None:
    before, head = files(repository), repository.resolve("HEAD")
    first = repository.resolve("HEAD~1")
    group = repository.read("sources/a.json")["group"]
    with scratch(repository, first) as place:
        assert (
            place.head == first
            and place.is_clean
            and set(place.entries()) == {"population.json", "sources/a.json"}
        )
        assert np.array_equal(read_group(place.objects, group)[0]["values"], arrays(0)["values"])
        new = write_group(place.objects, arrays(1))
        assert place.objects.has(new) and not repository.objects.has(new)
        made = place.commit_changes({"sources/c.json": {"group": new}}, "Try", since=first)
        assert place.show(made).parents == (first,)
        assert place.objects.put(b"same" * 100) == place.objects.put(b"same" * 100)
        assert write_group(place.objects, arrays(0)) == group
        assert not place.objects.loose.has(group)  # the real one has it
    assert files(repository) == before and repository.head == head
    with pytest.raises(MissingObjectError):
        repository.objects.get(new)


def test_hidden_objects_are_not_seen_until_they_are_made_again(repository: Repository) -> None:
    group = repository.read("sources/a.json")["group"]
    hidden = set(group_objects(repository.objects, group))
    with scratch(repository, repository.resolve("HEAD"), hidden) as place:
        assert not place.objects.has(group)
        with pytest.raises(MissingObjectError):
            read_group(place.objects, group)
        assert write_group(place.objects, arrays(0)) == group
        assert np.array_equal(read_group(place.objects, group)[0]["values"], arrays(0)["values"])
    assert np.array_equal(read_group(repository.objects, group)[0]["values"], arrays(0)["values"])


def test_what_is_elsewhere_is_fetched_into_the_real_store(repository: Repository) -> None:
    group = repository.read("sources/a.json")["group"]
    kept = {name: repository.objects.get(name) for name in group_objects(repository.objects, group)}
    for name in kept:
        repository.objects.path(name).unlink()
    repository.objects.fetch_missing = lambda names: (
        [repository.objects.put(kept[name]) for name in names] and None
    )
    with scratch(repository, repository.resolve("HEAD")) as place:
        assert np.array_equal(read_group(place.objects, group)[0]["values"], arrays(0)["values"])
    assert all(repository.objects.loose.has(name) for name in kept)


def test_an_error_inside_leaves_nothing(repository: Repository) -> None:
    before = files(repository)
    with pytest.raises(ZeroDivisionError), scratch(repository, repository.resolve("HEAD")):
        raise ZeroDivisionError
    assert files(repository) == before


def test_places_of_dead_processes_are_swept_and_others_are_not(repository: Repository) -> None:
    dead, alive = (repository.private / f"scratch-{name}" for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "lock").touch()
    with (alive / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with scratch(repository, repository.resolve("HEAD")):
            assert not dead.exists() and alive.exists()


def test_a_place_without_room_is_one_line(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mpop_store.git.scratch.tempfile.mkdtemp", full)
    with pytest.raises(StoreError, match=r"cannot work in .*No space left"), scratch(repository, "0" * 40):
        pass
