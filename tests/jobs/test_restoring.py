"""Records brought back into the working state by the names that people know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from example_population import make_population, model, refine

from mpop.errors import InputError, NotFoundError
from mpop.jobs.restoring import restore
from mpop.population import Population


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def test_a_series_comes_back_and_nothing_else(population: Population) -> None:
    for number in (1, 2):
        item = population.item(f"TS_{number}")
        group = population.write_tilt_series(model(float(number)))
        population.stage([item.model_copy(update={"model_object": group})])
    path = f"items/11/{'1' * 16}.json"
    assert restore(population, ["TS_1"]).paths == [path]
    assert population.repository.status() == [("M", f"items/22/{'2' * 16}.json")]
    assert population.repository.find(path) == population.repository.find(path, "HEAD")
    assert restore(population, [f"items/22/{'2' * 16}.json"]).paths and population.repository.is_clean


def test_a_species_comes_back_with_its_particles(population: Population) -> None:
    species = population.one_species("ribosome")
    particles = population.particles(species, "1" * 16)
    moved = population.write_particles(replace(particles, position_A=particles.position_A + 1))
    update = {"name": "70S", "particles": species.particles | {"1" * 16: moved}}
    population.stage([species.model_copy(update=update)])
    assert restore(population, ["70S"]).paths == [f"species/{'a' * 16}.json", f"species/{'a' * 16}/11.json"]
    assert population.repository.is_clean and population.one_species("ribosome") == species


def test_what_was_removed_or_added(population: Population) -> None:
    species = population.one_species("ribosome")
    other = species.model_copy(update={"id": "c" * 16, "name": "proteasome"})
    population.stage([other], remove=[species])
    restore(population, ["ribosome"])
    assert population.one_species("ribosome") == species
    restore(population, ["proteasome"])
    assert population.repository.is_clean


def test_a_source_brings_its_series(population: Population) -> None:
    source, items = population.source("grid1"), population.items()
    population.stage([], remove=[source, *items.values()])
    assert len(restore(population, ["grid1"]).paths) == 3
    assert population.repository.is_clean and population.items() == items


def test_everything_and_from_another_commit(population: Population) -> None:
    before = population.repository.entries()
    refine(population)
    changed = restore(population, source="HEAD~1").paths
    assert population.repository.entries() == before and not population.repository.is_clean
    assert sorted(path for _, path in population.repository.status()) == changed
    restore(population)
    assert population.repository.is_clean and restore(population).paths == []
    one = restore(population, ["ribosome"], "HEAD~1").paths
    assert {path.split("/")[0] for path in one} == {"species"}


def test_a_name_that_is_known_but_did_not_change(population: Population) -> None:
    assert restore(population, ["TS_1"]).paths == []


def test_what_cannot_be_restored_is_said(population: Population) -> None:
    with pytest.raises(NotFoundError, match="no species, tilt series, stack, source or record 'TS_9'"):
        restore(population, ["TS_1", "TS_9"])
    with pytest.raises(NotFoundError, match="no commit 'nowhere'"):
        restore(population, ["TS_1"], "nowhere")
    population.stage([population.item("TS_1").model_copy(update={"name": "ribosome"})])
    with pytest.raises(InputError, match=r"'ribosome' may mean several things \(items/11/.*, species/a.*\)"):
        restore(population, ["ribosome"])
    assert not population.repository.is_clean
