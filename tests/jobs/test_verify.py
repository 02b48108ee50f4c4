"""Verify: damage anywhere is found, and what depends on it is named; what is droppable may be gone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import run
from example_population import make_population, refine

from mpop.jobs.verify import Problem, verify
from mpop.population import Population
from mpop_store import version_of
from mpop_store.arrays.groups import group_objects
from mpop_store.objects.packs import read_table
from mpop_store.objects.promises import HeldPromises, Place
from mpop_store.transfer.remotes import Remotes
from mpop_store.upkeep.packing import pack


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
        (f"sources/{'5' * 16}.json", {"items": ["f" * 16]}, "series or stack"),
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


@pytest.mark.parametrize("packed", [False, True])
def test_a_reference_whose_name_is_no_text_is_found_and_refused_alike(
    population: Population, packed: bool
) -> None:
    subprocess.run([b"git", b"-C", bytes(population.root), b"branch", b"odd-\xff"], check=True)
    if packed:
        subprocess.run(["git", "-C", str(population.root), "pack-refs", "--all"], check=True)
    words = r"no text in UTF-8, 'refs/heads/odd-\udcff'; rename or delete it with plain Git"
    done = run("-C", str(population.root), "verify")
    assert done.code == 5 and words in done.out and "1 problems" in done.out, done
    for command in (["branch"], ["gc"]):
        refused = run("-C", str(population.root), *command)
        assert refused.code not in (0, 70) and words in refused.err, refused


def test_a_damaged_population_record_does_not_keep_verify_from_running(population: Population) -> None:
    oid = population.repository.entries()["population.json"]
    blob = population.root / ".git" / "objects" / oid[:2] / oid[2:]
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-4])
    assert list(problems(population)) == [oid]


# --- packs, samples, repair --------------------------------------------------------------------------------------


@pytest.fixture
def packed(population: Population) -> Population:
    pack(population.repository)
    return Population.open(population.root)


def write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def test_packed_objects_are_read_too(population: Population) -> None:
    loose = verify(population)
    pack(population.repository)
    report = verify(Population.open(population.root))
    assert report.ok and report.git_files == 2  # a pack and its index
    assert (report.objects, report.bytes) == (loose.objects, loose.bytes)
    assert (report.read_objects, report.read_bytes) == (loose.objects, loose.bytes)


def test_a_flipped_byte_in_a_pack_names_who_needs_the_object(packed: Population) -> None:
    (file,) = packed.objects.packed.packs()
    good = file.read_bytes()
    maps = group_objects(packed.objects, packed.one_species("ribosome").maps_object)[1]
    rows = {name: (offset, length) for name, offset, length in read_table(file).rows()}
    for name, (offset, length) in rows.items():
        for one in packed.objects.packed.packs():
            one.unlink()
        write(file, good)
        flip(file, offset + length // 2)
        found = problems(packed)
        assert set(found) == {name} and found[name].kind == "object"
        if name == maps:
            assert found[name].dependents[0].startswith("species ribosome, version")
        assert (packed.objects.quarantine.folder / file.name).exists()


@pytest.mark.parametrize("position", [0, -1, -33, -48, -60])
def test_a_pack_with_a_damaged_table_is_made_whole(packed: Population, position: int) -> None:
    (file,) = packed.objects.packed.packs()
    good = file.read_bytes()
    flip(file, position)
    report = verify(Population.open(packed.root))
    assert report.ok and report.repaired == [file.name]
    assert file.read_bytes() == good
    again = verify(Population.open(packed.root))
    assert again.ok and again.repaired == []


@pytest.mark.parametrize("keep", [0, 10, 0.5, -40])
def test_a_truncated_pack_is_found(packed: Population, keep: float) -> None:
    (file,) = packed.objects.packed.packs()
    good = file.read_bytes()
    write(file, good[: int(len(good) * keep) if 0 < keep < 1 else int(keep)])
    (packed.objects.packed.folder / "index").unlink(missing_ok=True)
    report = verify(Population.open(packed.root))
    if keep == -40:  # only the table
        assert report.ok and report.repaired == [file.name]
    else:
        kinds = {problem.kind for problem in report.problems}
        assert "object" in kinds and all(one.dependents for one in report.problems if one.kind == "object")


def test_quick_reads_no_object_but_misses_none(population: Population) -> None:
    chunk = group_objects(population.objects, population.one_species("ribosome").maps_object)[1]
    flip(population.objects.path(chunk), 40)
    report = verify(population, sample=0.0)
    assert report.ok and report.read_objects == 0
    population.objects.path(chunk).unlink()
    assert [problem.name for problem in verify(population, sample=0.0).problems] == [chunk]


def test_a_sample_finds_damage_where_it_looks(population: Population) -> None:
    chunk = group_objects(population.objects, population.one_species("ribosome").maps_object)[1]
    good = population.objects.path(chunk).read_bytes()
    found = 0
    for seed in range(12):
        write(population.objects.path(chunk), good[:-1] + b"x")
        report = verify(Population.open(population.root), sample=0.5, seed=seed)
        assert 0 < report.read_objects < report.objects + 1
        found += not report.ok
    assert 0 < found < 12


@pytest.mark.parametrize("in_pack", [False, True], ids=["loose", "packed"])
def test_repair_fetches_what_is_damaged(population: Population, tmp_path: Path, in_pack: bool) -> None:
    shutil.copytree(population.root, tmp_path / "elsewhere")
    elsewhere = Population.open(tmp_path / "elsewhere").objects
    if in_pack:
        pack(population.repository)
    here = Population.open(population.root)
    name = here.one_species("ribosome").maps_object
    if in_pack:
        (file,) = here.objects.packed.packs()
        found = read_table(file).find(name)
        assert found is not None
        flip(file, found[0] + 40)
    else:
        flip(here.objects.path(name), 40)

    for _ in range(2):
        report = verify(here, repair=True)
        assert [problem.name for problem in report.problems] == [name] and "no remote" in report.notes[0]
    Remotes(here.repository).add("copy", str(tmp_path / "elsewhere"))
    report = verify(here, repair=True)
    assert report.ok and report.repaired == [name]
    assert here.objects.get(name) == elsewhere.get(name)
    assert verify(here).ok


def test_only_what_another_store_has_is_not_missing(population: Population) -> None:
    _, chunk, *others = group_objects(population.objects, population.one_species("ribosome").maps_object)
    for name in (chunk, others[0]):
        population.objects.path(name).unlink()
    asked: list[str] = []
    population.objects.fetch_missing = asked.extend
    remotes = Remotes(population.repository)
    remotes.add("origin", "elsewhere")
    remotes.set_data("origin", "current")
    place = Place("1" * 32, "origin", str(population.root / "elsewhere"))
    HeldPromises(population.repository.private).add_promised(place, "2" * 32, [chunk])
    report = verify(population)
    assert [problem.name for problem in report.problems] == [others[0]]
    assert report.elsewhere == 1 and asked == []


def test_where_a_shallow_history_ends_older_versions_are_not_missing(population: Population) -> None:
    head = str(population.repository.head)
    (population.repository.git_directory / "shallow").write_text(head + "\n")
    report = verify(Population.open(population.root))
    assert report.ok and report.shallow and report.commits == 1


def test_annotated_tags_lead_to_commits(population: Population) -> None:
    git = ["git", "-C", str(population.root), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "tag", "-a", "-m", "Deposited", "v1"], check=True)
    assert problems(population) == {}
