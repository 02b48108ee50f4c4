"""Population: typed records and arrays, from the working state and from any revision."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from example_population import SHAPE, TILTS, make_population, maps, model, particle_set, refine

from mpop import Population
from mpop.errors import InputError, NotFoundError, StateError, StoreError
from mpop.population import record_path, versioned
from mpop.records.species import split
from mpop_store import version_of
from mpop_store.git.repository import Repository


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def test_records_come_back_with_the_version_of_their_content(population: Population) -> None:
    (species,) = population.species().values()
    item = population.item("TS_2")
    head = population.species_heads()[species.id]
    assert species.version == head.version == version_of(head.model_dump(mode="json"))
    assert species == versioned(species)
    assert head.parts == {digits: part["version"] for digits, part in split(species)[1].items()}
    assert population.one_species("ribosome") == population.one_species("a" * 16) == species
    assert population.source("grid1").items == ["1" * 16, item.id]
    assert record_path(item) == "items/22/2222222222222222.json"
    assert versioned(item.model_copy(update={"name": "other"})).version != item.version
    assert population.name == "example"


def test_unknown_and_ambiguous_names_are_answered_with_the_known_ones(population: Population) -> None:
    with pytest.raises(NotFoundError, match=r"no tilt series 'TS_9' .*there are: TS_1, TS_2"):
        population.item("TS_9")
    first, second = population.items().values()
    population.stage([second.model_copy(update={"name": first.name})])
    with pytest.raises(InputError, match=f"several tilt series are called 'TS_1'.*{first.id}, {second.id}"):
        population.item("TS_1")


def test_the_past_can_be_read(population: Population) -> None:
    before = population.one_species("ribosome")
    refine(population)
    assert population.one_species("ribosome").resolution_A == 12.5
    assert population.one_species("ribosome", "HEAD~1") == before
    assert population.jobs("HEAD~1") == {}
    assert population.tilt_series(population.item("TS_1", "HEAD~1")).axis_offset_x_A[0] == 0.0
    assert population.tilt_series(population.item("TS_1")).axis_offset_x_A[0] == 2.5


def test_models_and_particles_survive_storage(population: Population) -> None:
    (species,) = population.species().values()
    stored = population.tilt_series(population.item("TS_1"))
    for name, value in vars(model()).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(stored, name), value)
            assert getattr(stored, name).dtype == value.dtype
        elif hasattr(value, "values"):
            np.testing.assert_array_equal(getattr(stored, name).values, value.values)
        else:
            assert getattr(stored, name) == value
    particles = population.particles(species, "2" * 16)
    expected = particle_set(1)
    np.testing.assert_array_equal(particles.id, expected.id)
    np.testing.assert_array_equal(particles.half, expected.half)
    np.testing.assert_array_equal(particles.position_A, expected.position_A)
    np.testing.assert_array_equal(particles.angles_deg, expected.angles_deg)
    assert particles.extra == expected.extra
    with pytest.raises(NotFoundError, match="ribosome has no particles in item 9"):
        population.particles(species, "9")


def test_everything_is_one_zarr_hierarchy(population: Population) -> None:
    refine(population)
    for revision, seed, bend in ((None, 1, 2.5), ("HEAD~1", 0, 0.0)):
        root = population.zarr(revision)
        np.testing.assert_array_equal(root["species/ribosome/half1"][:], maps(seed)["half1"])  # pyright: ignore
        assert root["items/grid1/TS_1/axis_offset_x_A"][0] == bend  # pyright: ignore
    assert sorted(population.zarr().group_keys()) == ["items", "species"]


def test_raw_images_are_read_as_they_were(population: Population, tmp_path: Path) -> None:
    image = population.tilt_image(population.item("TS_2"), 1)
    assert image.shape == SHAPE and image.dtype == np.float32
    np.testing.assert_array_equal(image, np.random.default_rng([2, 1]).normal(size=SHAPE).astype(np.float32))


def test_changed_and_lost_raw_images_are_named(population: Population, tmp_path: Path) -> None:
    item = population.item("TS_1")
    lost, changed, longer = (population.raw_path(raw) for raw in item.raw)
    lost.unlink()
    with mrcfile.open(changed, "r+") as file:
        file.data[3, 3] += 1
    longer.write_bytes(longer.read_bytes() + b"x")
    for tilt, message in enumerate(("is gone", "has changed since", "has changed since")):
        with pytest.raises(InputError, match=f"TS_1, tilt {tilt + 1}: .*TS_1_{tilt}.mrc {message}"):
            population.tilt_image(item, tilt)
    assert len(item.raw) == TILTS


def test_a_population_can_be_moved_with_its_data(population: Population, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for part in ("population", "images"):
        (tmp_path / part).rename(moved / part)
    there = Population.open(moved / "population")
    assert there.tilt_image(there.item("TS_1"), 0).shape == SHAPE
    grep = subprocess.run(["git", "-C", str(there.root), "grep", "-I", str(tmp_path), "HEAD"], capture_output=True)
    assert grep.stdout == b""


def test_the_same_content_gives_the_same_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_DATE", "1700000000 +0000")
    heads = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        population = make_population(tmp_path / name)
        heads.append((population.repository.head, refine(population)))
    assert heads[0] == heads[1]


def test_policies_stand_before_every_commit(population: Population) -> None:
    head = population.repository.head
    assert head is not None
    (species,) = population.species().values()
    lost = species.model_copy(update={"maps_object": "0" * 64})
    with pytest.raises(StateError, match=r"refused to commit: object 0+ is not in the store"):
        population.commit_records([lost], "Job", since=head)
    mixed = particle_set(0)
    swapped = type(mixed)(mixed.id, 3 - mixed.half, mixed.position_A, mixed.angles_deg)  # pyright: ignore
    first = next(iter(species.particles))
    particles = species.particles | {first: population.write_particles(swapped)}
    population.stage([species.model_copy(update={"particles": particles, "parent": species.version})])
    with pytest.raises(StateError, match="refused to commit: 4 particles have moved to the other half-set"):
        population.commit("Swap")
    assert population.repository.head == head


def test_a_record_of_a_later_mpop_is_refused_in_one_line(population: Population) -> None:
    record = population.repository.read("sources/5555555555555555.json")
    population.repository.stage({"sources/5555555555555555.json": record | {"beam_tilt": 1}})
    with pytest.raises(StateError, match=r"sources/5555555555555555\.json .*beam_tilt.*update mpop"):
        population.sources()


def test_an_init_that_fails_leaves_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("no space")

    monkeypatch.setattr(Repository, "stage", fail)
    with pytest.raises(StoreError):
        Population.init(tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / ".git").exists()
    assert Population.init(tmp_path).repository.head is None


def test_a_source_is_found_by_its_id_without_reading_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    population = make_population(tmp_path)
    (wanted,) = population.sources().values()
    monkeypatch.setattr(Population, "sources", lambda *_: pytest.fail("all sources were read"))
    assert population.source(wanted.id) == wanted
    assert population.source(wanted.id, "HEAD") == wanted
