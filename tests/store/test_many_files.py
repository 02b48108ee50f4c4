"""Many files of Git read at once are those that are read one by one, and what is unsound is found as surely."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import psutil
import pytest

from mpop_store.errors import DamagedObjectError
from mpop_store.git import many_files
from mpop_store.git.git_objects import GitObjects
from mpop_store.git.many_files import read_files
from mpop_store.git.repository import Repository

COUNT = 300


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.init(tmp_path / "population")
    records = {f"items/ab/{number}.json": {"number": number, "text": "x" * number} for number in range(COUNT)}
    made.stage({"population.json": {"format": 1, "name": "p"}, **records})
    made.commit("Start")
    return made


def read(repository: Repository, oids: list[str]) -> list[bytes]:
    return list(read_files(GitObjects(repository._git), repository.git_directory, oids))


@pytest.mark.parametrize("packed", [False, True])
def test_they_are_the_same_in_the_order_asked_for(repository: Repository, packed: bool) -> None:
    oids = list(repository.entries().values())[::-1]
    if packed:
        subprocess.run(["git", "-C", str(repository.root), "gc", "-q", "--prune=now"], check=True)
    assert len(oids) > many_files.MANY
    one_by_one = GitObjects(repository._git)
    assert read(repository, oids) == [one_by_one.blob(oid) for oid in oids]


def test_without_git_they_are_read_all_the_same(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    oids = list(repository.entries().values())
    expected = read(repository, oids)
    monkeypatch.setenv("PATH", "")
    assert read(repository, oids) == expected


@pytest.mark.parametrize("how", ["missing", "torn", "exchanged", "no file"])
def test_an_unsound_one_is_named(repository: Repository, how: str) -> None:
    oids = list(repository.entries().values())
    victim = oids[COUNT // 2]
    path = GitObjects(repository._git).loose_path(victim)
    content = path.read_bytes()
    path.unlink()
    if how == "torn":
        path.write_bytes(content[: len(content) // 2])
    elif how == "exchanged":  # sound for whoever does not hash it
        path.write_bytes(zlib.compress(b'blob 12\0{"number":7}'))
    elif how == "no file":
        oids[COUNT // 2] = victim = str(repository.commit_object("HEAD").tree_id)
        path.write_bytes(content)
    with pytest.raises(DamagedObjectError, match=victim):
        read(repository, oids)


def test_one_of_absurd_size_is_refused(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_files, "MAX_OBJECT", 250)
    with pytest.raises(DamagedObjectError, match="is not a file"):
        read(repository, list(repository.entries().values()))


def test_who_stops_early_leaves_no_process(repository: Repository) -> None:
    oids = list(repository.entries().values())
    contents = read_files(GitObjects(repository._git), repository.git_directory, oids)
    before = set(psutil.Process().children())
    next(contents)
    (reader,) = set(psutil.Process().children()) - before
    contents.close()
    assert not reader.is_running()
