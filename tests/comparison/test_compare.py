"""Two states of a population compared: what was planted is found, in the right words, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_population import make_population, maps, model, refine

from mpop.comparison import Difference, compare
from mpop.errors import MissingObjectError, NotFoundError, StateError
from mpop.population import Population, versioned
from mpop.records import ParticleSet, SplineGrid
from mpop_store.arrays.groups import group_objects


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def move(population: Population, item: str, edit: Callable[[ParticleSet], ParticleSet]) -> None:
    """Stage other particles of the ribosome in a series."""
    species = population.one_species("ribosome")
    identity = population.item(item).id
    particles = edit(population.particles(species, identity))
    total = species.n_particles + len(particles) - len(population.particles(species, identity))
    groups = species.particles | {identity: population.write_particles(particles)}
    population.stage([species.model_copy(update={"particles": groups, "n_particles": total})])


def change_item(population: Population, item: str, **update: Any) -> None:
    population.stage([population.item(item).model_copy(update=update)])


def test_nothing_differs_from_itself(population: Population) -> None:
    assert compare(population, "HEAD").is_none and compare(population, "HEAD", "HEAD").is_none


def test_particles_moved_by_a_known_shift(population: Population) -> None:
    move(population, "TS_1", lambda p: replace(p, position_A=p.position_A + np.array([0.0, 6.0, 8.0])))
    (species,) = compare(population, "HEAD").species
    assert (species.name, species.kind, species.maps_changed) == ("ribosome", "changed", False)
    change = species.particles
    assert (change.before, change.after, change.moved, change.added, change.removed) == (8, 8, 4, 0, 0)
    assert change.shift_A is not None and change.shift_A.median == pytest.approx(10.0)
    assert change.rotation_deg is not None and change.rotation_deg.largest == pytest.approx(0.0, abs=1e-6)
    assert [(one.name, one.particles.moved) for one in species.series] == [("TS_1", 4)]


def test_particles_added_and_removed_per_series(population: Population) -> None:
    def fewer(p: ParticleSet) -> ParticleSet:
        return ParticleSet(p.id[1:], p.half[1:], p.position_A[1:], p.angles_deg[1:])

    def more(p: ParticleSet) -> ParticleSet:
        ids = np.concatenate([p.id, np.array([1, 2], np.uint64)])
        parts = (np.concatenate([part, part[:2]]) for part in (p.half, p.position_A, p.angles_deg))
        return ParticleSet(ids, *parts)

    move(population, "TS_1", fewer)
    move(population, "TS_2", more)
    (species,) = compare(population, "HEAD").species
    assert (species.particles.before, species.particles.after) == (8, 9)
    assert (species.particles.added, species.particles.removed, species.particles.moved) == (2, 1, 0)
    assert [(s.name, s.particles.added, s.particles.removed) for s in species.series] == [
        ("TS_1", 0, 1),
        ("TS_2", 2, 0),
    ]


def test_a_refinement_between_two_commits(population: Population) -> None:
    commit = refine(population)
    found = compare(population, "HEAD~1", "HEAD")
    assert (found.before, found.after) == (population.repository.resolve("HEAD~1"), commit)
    (species,) = found.species
    assert (species.resolution_before_A, species.resolution_after_A) == (25.0, 12.5)
    assert species.maps_changed and species.particles.moved == 0 and species.series == []
    (item,) = found.items
    (shifts,) = item.quantities
    assert (item.name, shifts.name, shifts.rms) == ("TS_1", "image shifts", pytest.approx(2.5))
    (job,) = found.jobs
    assert (job.verb, job.parameters, job.seed) == ("refine", {"image_warp": [4, 4]}, 7)
    assert not found.missing and not found.sources


def test_backwards_is_the_same(population: Population) -> None:
    refine(population)
    found = compare(population, "HEAD", "HEAD~1")
    assert (found.species[0].resolution_before_A, found.species[0].resolution_after_A) == (12.5, 25.0)
    assert found.items[0].quantities[0].rms == pytest.approx(2.5)
    assert [(one.verb, one.kind) for one in found.jobs] == [("refine", "removed")]


def test_a_planted_warp_of_a_staged_series(population: Population) -> None:
    grid = SplineGrid(np.full((3, 4, 4), 2.0))
    group = population.write_tilt_series(replace(model(), grid_movement_x=grid, level_angle_y_deg=0.5))
    change_item(population, "TS_2", model_object=group)
    (item,) = compare(population, "HEAD").items
    assert [(q.name, q.rms) for q in item.quantities] == [("image warp", pytest.approx(2.0))]
    assert item.settings == {"level angle y, deg": (0.0, 0.5)}


def test_names_and_settings(population: Population) -> None:
    species = population.one_species("ribosome")
    population.stage([species.model_copy(update={"name": "70S", "diameter_A": 240.0})])
    change_item(population, "TS_1", name="TS_01")
    found = compare(population, "HEAD")
    assert found.species[0].settings == {"name": ("ribosome", "70S"), "diameter_A": (100.0, 240.0)}
    assert found.items[0].settings == {"name": ("TS_1", "TS_01")}


def test_series_and_species_that_come_and_go(population: Population) -> None:
    species = population.one_species("ribosome")
    other = species.model_copy(update={"id": "c" * 16, "name": "proteasome", "parent": None})
    source = population.source("grid1")
    gone = population.item("TS_2")
    source = source.model_copy(update={"items": [one for one in source.items if one != gone.id]})
    without = {key: value for key, value in species.particles.items() if key != gone.id}
    shrunk = species.model_copy(update={"particles": without, "n_particles": 4})
    population.stage([other, source, shrunk], remove=[gone])
    found = compare(population, "HEAD")
    assert {one.name: one.kind for one in found.species} == {"ribosome": "changed", "proteasome": "added"}
    by_name = {one.name: one for one in found.species}
    assert by_name["proteasome"].particles.added == 8 and by_name["proteasome"].resolution_before_A is None
    assert by_name["ribosome"].particles.removed == 4
    assert [(one.name, one.kind) for one in found.items] == [("TS_2", "removed")]
    assert [(one.name, one.items_removed, one.items_added) for one in found.sources] == [("grid1", ["TS_2"], [])]
    population.commit("Rearrange")
    back = compare(population, "HEAD", "HEAD~1")
    assert {one.name: one.kind for one in back.species} == {"ribosome": "changed", "proteasome": "removed"}
    assert back.sources[0].items_added == ["TS_2"] and back.items[0].kind == "added"


def test_parameters_against_the_job_before(population: Population) -> None:
    refine(population)
    species = population.one_species("ribosome")
    (job,) = population.jobs().values()
    inputs = {f"species/{species.id}.json": species.version}
    update = {"id": "d" * 64, "parameters": {"image_warp": [3, 3]}, "inputs": inputs}
    again = versioned(job.model_copy(update=update))
    newer = species.model_copy(update={"maps_object": population.write_group(maps(5, 12.5)), "job": again.id})
    head = population.repository.head
    assert head is not None
    population.commit_records([newer, again], "Refine again", since=head)
    (found,) = compare(population, "HEAD~1", "HEAD").jobs
    assert found.parameters_changed == {"image_warp": ([4, 4], [3, 3])}


def test_one_species_or_one_series(population: Population) -> None:
    refine(population)
    move(population, "TS_2", lambda p: replace(p, position_A=p.position_A + 1.0))
    population.commit("Shift")
    species = compare(population, "HEAD~2", "HEAD", species="ribosome")
    assert len(species.species) == 1 and not species.items and not species.jobs
    first = compare(population, "HEAD~2", "HEAD", item="TS_1")
    assert [one.name for one in first.items] == ["TS_1"] and first.species == []
    second = compare(population, "HEAD~2", "HEAD", item="TS_2")
    assert second.items == [] and [s.name for s in second.species[0].series] == ["TS_2"]
    for wrong in ({"species": "virus"}, {"item": "TS_9"}):
        with pytest.raises(NotFoundError):
            compare(population, "HEAD", **wrong)
    with pytest.raises(NotFoundError, match="nowhere"):
        compare(population, "nowhere")


def test_a_removed_species_can_still_be_asked_for(population: Population) -> None:
    population.stage([], remove=[population.one_species("ribosome")])
    (gone,) = compare(population, "HEAD", species="ribosome").species
    assert gone.kind == "removed" and gone.particles.removed == 8


def test_what_is_not_here_is_said_and_the_rest_compared(population: Population) -> None:
    move(population, "TS_1", lambda p: replace(p, position_A=p.position_A + 1.0))
    refine(population_committed(population))
    lose(population, population.one_species("ribosome").particles[population.item("TS_1").id])
    lose(population, population.item("TS_1").model_object)
    found: Difference = compare(population, "HEAD~2", "HEAD")
    assert sorted(found.missing) == ["the model of TS_1", "the particles of ribosome in TS_1"]
    assert found.species[0].resolution_after_A == 12.5 and found.species[0].particles.after == 8
    assert found.items[0].quantities == []


def population_committed(population: Population) -> Population:
    population.commit("Move")
    return population


def lose(population: Population, group: str) -> None:
    for name in group_objects(population.objects, group):
        population.objects.path(name).unlink(missing_ok=True)


def test_only_what_differs_is_read(population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    move(population, "TS_2", lambda p: replace(p, position_A=p.position_A + 1.0))
    species = population.one_species("ribosome", "HEAD")
    same = {
        species.particles[population.item("TS_1").id],
        population.item("TS_1").model_object,
        species.maps_object,
    }
    asked: list[str] = []
    get = population.objects.get
    monkeypatch.setattr(population.objects, "get", lambda name, *limit: asked.append(name) or get(name))
    compare(population, "HEAD")
    assert asked and not same & set(asked)


class Elsewhere:
    """The objects of a population in another place, which counts how often it is asked."""

    def __init__(self, population: Population, folder: Path) -> None:
        self._home = population.objects.root
        self._store = shutil.move(self._home, folder)
        self._home.mkdir()
        self.requests = 0
        population.objects.fetch_missing = self.fetch

    def fetch(self, names: Sequence[str]) -> None:
        self.requests += 1
        for name in names:
            place = self._home / name[:2] / name[2:]
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(Path(self._store) / name[:2] / name[2:], place)


def test_arrays_that_are_elsewhere_come_in_two_requests(population: Population, tmp_path: Path) -> None:
    for number in (1, 2):
        move(population, f"TS_{number}", lambda p: replace(p, position_A=p.position_A + 2.0))
        group = population.write_tilt_series(model(float(number)))
        change_item(population, f"TS_{number}", model_object=group)
    expected = compare(population, "HEAD")
    elsewhere = Elsewhere(population, tmp_path / "elsewhere")
    assert compare(population, "HEAD") == expected and not expected.missing
    assert 1 <= elsewhere.requests <= 2


def test_a_remote_that_is_not_there_is_asked_once(population: Population, tmp_path: Path) -> None:
    move(population, "TS_1", lambda p: replace(p, position_A=p.position_A + 2.0))
    change_item(population, "TS_2", model_object=population.write_tilt_series(model(1.0)))
    Elsewhere(population, tmp_path / "elsewhere")
    asked: list[int] = []

    def gone(names: Sequence[str]) -> None:
        asked.append(len(names))
        raise MissingObjectError("nobody answers")

    population.objects.fetch_missing = gone
    found = compare(population, "HEAD")
    assert len(asked) == 1 and found.items[0].model_changed and found.items[0].quantities == []
    assert sorted(found.missing) == ["the model of TS_2", "the particles of ribosome in TS_1"]


@pytest.mark.parametrize("path", [f"species/{'a' * 16}.json", f"items/11/{'1' * 16}.json"])
def test_a_record_of_a_newer_mpop_is_said_to_be_one(population: Population, path: str) -> None:
    population.repository.stage({path: population.repository.read(path) | {"charge": 3}})
    with pytest.raises(StateError, match=rf"{path} is not a record that this mpop reads \(field charge\)"):
        compare(population, "HEAD")
