"""Verify: damage anywhere is found, and what depends on it is named; what is droppable may be gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from example_population import make_population, refine

from mpop.jobs.verify import Problem, verify
from mpop.population import Population
from mpop_store import version_of
from mpop_store.groups import group_objects


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    refine(make_population(folder))
    return folder


@pytest.fixture
def population(original: Path, tmp_path: Path) -> Population:
    shutil.copytree(original, tmp_path / "copy")
    return Population.open(tmp_path / "copy" / "population")


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.chmod(0o644)
    path.write_bytes(data)


def problems(population: Population) -> dict[str, Problem]:
    return {problem.name: problem for problem in verify(Population.open(population.root)).problems}


def restage(population: Population, path: str, **fields: Any) -> None:
    """Commit a record by hand, past all policies."""
    record = population.repository.read(path) | fields
    population.repository.stage({path: record | {"version": version_of(record)}})
    population.repository.commit("By hand")


def test_a_sound_population_is_whole(population: Population) -> None:
    seen: list[tuple[str, int, int]] = []
    report = verify(population, lambda *step: seen.append(step))
    assert report.ok
    assert report.objects == len(list(population.objects.names())) == seen[-1][1] == seen[-1][2]
    assert report.bytes == sum(path.stat().st_size for path in population.objects.root.rglob("??/*"))
    assert report.commits == 2
    assert report.records == 1 + 1 + 3 + 2 + 3 + 1  # population, source, items, species, their parts, job


def test_a_flipped_byte_in_any_object_file_is_found(population: Population) -> None:
    """Header, payload and trailer of every file."""
    for name in population.objects.names():
        path = population.objects.path(name)
        good = path.read_bytes()
        for position in (0, 8, 9, 15, 23, 24, len(good) // 2, len(good) - 33, len(good) - 32, len(good) - 1):
            flip(path, position)
            assert name in problems(population), (name, position)
            path.write_bytes(good)
    assert problems(population) == {}


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_what_depends_on_a_chunk_is_named(population: Population, how: str) -> None:
    old, new = population.one_species("ribosome", "HEAD~1"), population.one_species("ribosome")
    commits = [commit.id for commit in population.repository.log()]
    shared = group_objects(population.objects, old.particles["1" * 16])[0]  # both versions have it
    chunk = group_objects(population.objects, new.maps_object)[1]
    for name in (shared, chunk):
        if how == "damaged":
            flip(population.objects.path(name), -5)
        else:
            population.objects.path(name).unlink()
    found = problems(population)
    assert set(found) == {shared, chunk}
    assert found[chunk].dependents == [f"species ribosome, version {new.version[:10]}, in {commits[0][:10]}"]
    assert sorted(found[shared].dependents) == sorted(
        f"particles of species ribosome, version {one.parts['11'][:10]}, in {commit[:10]}"
        for one, commit in ((new, commits[0]), (old, commits[1]))
    )
    assert how in found[chunk].message


def test_derived_objects_may_be_missing_but_not_damaged(population: Population) -> None:
    species = population.one_species("ribosome")
    group = species.derived["sums"]["5" * 16]["group"]
    manifest, *chunks = group_objects(population.objects, group)
    flip(population.objects.path(chunks[0]), 40)
    assert problems(population)[chunks[0]].dependents[0].startswith("species ribosome")
    assert not population.objects.path(chunks[0]).exists()  # it is in quarantine
    assert problems(population) == {}
    population.objects.path(manifest).unlink()
    assert problems(population) == {}


def test_a_version_that_does_not_follow_is_found(population: Population) -> None:
    path = f"species/{'a' * 16}.json"
    record = population.repository.read(path)
    population.repository.stage({path: record | {"resolution_A": 3.0}})
    population.repository.commit("A better resolution")
    (problem,) = problems(population).values()
    assert problem.kind == "record"
    assert problem.message == f"the version of {path} does not follow from its content"


@pytest.mark.parametrize(
    ("path", "fields", "edge"),
    [
        (f"species/{'a' * 16}.json", {"parent": "f" * 64}, "parent"),
        (f"species/{'a' * 16}.json", {"job": "f" * 16}, "job"),
        (f"species/{'a' * 16}.json", {"parts": {"11": "f" * 64}}, "part"),
        (f"species/{'a' * 16}/11.json", {"item_versions": {"1" * 16: "f" * 64}}, "contribution"),
        (f"items/11/{'1' * 16}.json", {"species_versions": {"a" * 16: "f" * 64}}, "reference"),
        (f"items/11/{'1' * 16}.json", {"source": "f" * 16}, "source"),
        (f"sources/{'5' * 16}.json", {"items": ["f" * 16]}, "tilt series"),
    ],
)
def test_an_edge_that_leads_nowhere_is_found(population: Population, path: str, fields: dict, edge: str) -> None:
    restage(population, path, **fields)
    found = verify(population).problems
    dangling = [one for one in found if f"names a {edge}, " in one.message and "ffffffffff" in one.message]
    assert len(dangling) == 1 and dangling[0].name == path


def test_damage_in_git_is_found_with_damage_in_the_store(population: Population) -> None:
    oid = population.repository.entries()[f"species/{'a' * 16}.json"]
    head = str(population.repository.head)
    blob = population.root / ".git" / "objects" / oid[:2] / oid[2:]
    name = population.item("TS_2").model_object
    blob.unlink()
    flip(population.objects.path(name), 30)
    found = problems(population)
    assert f"species/{'a' * 16}.json in commit {head[:10]}" in found[oid].dependents
    assert sorted(line.split(",")[0] for line in found[name].dependents) == ["item TS_1", "item TS_2"]


def test_a_damaged_population_record_does_not_keep_verify_from_running(population: Population) -> None:
    oid = population.repository.entries()["population.json"]
    blob = population.root / ".git" / "objects" / oid[:2] / oid[2:]
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-4])
    assert list(problems(population)) == [oid]
