"""A commit undone by a new one, unless something stands on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_population import make_population, maps, model, refine

from mpop.comparison import compare
from mpop.errors import InputError, NotFoundError, StateError
from mpop.jobs.reverting import revert
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop_store.git.branches import switch


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def rename(population: Population, item: str, name: str) -> str:
    population.stage([population.item(item).model_copy(update={"name": name})])
    return population.commit(f"Call it {name}")


def test_a_refinement_is_undone_record_by_record(population: Population) -> None:
    species, items = population.one_species("ribosome"), population.items()
    commit = refine(population)
    done = revert(population, "HEAD")
    assert done.reverted == commit and population.repository.head == done.commit
    assert population.one_species("ribosome") == species and population.items() == items
    assert compare(population, "HEAD~2", "HEAD").is_none and population.repository.is_clean
    assert population.repository.show().message == f'Revert "Refine"\n\nUndoes commit {commit}.\n'
    assert verify(population).ok
    revert(population, "HEAD")
    assert compare(population, "HEAD~2", "HEAD").is_none


def test_an_older_commit_that_nothing_stands_on(population: Population) -> None:
    first = rename(population, "TS_2", "two")
    rename(population, "TS_1", "one")
    revert(population, first)
    assert {item.name for item in population.items().values()} == {"one", "TS_2"}


def test_what_was_added_is_taken_out(population: Population) -> None:
    species = population.one_species("ribosome")
    population.stage([species.model_copy(update={"id": "c" * 16, "name": "proteasome"})])
    population.commit("Add proteasome")
    revert(population, "HEAD")
    assert set(population.species()) == {species.id} and (population.root / "species").is_dir()
    revert(population, "HEAD")
    assert {one.name for one in population.species().values()} == {"ribosome", "proteasome"}


def test_a_record_that_changed_again_is_not_overwritten(population: Population) -> None:
    first = rename(population, "TS_2", "two")
    second = rename(population, "two", "zwei")
    says = f"tilt series two was changed again in {second[:10]} \\(Call it zwei\\); revert that first"
    with pytest.raises(StateError, match=says):
        revert(population, first)
    revert(population, second)
    revert(population, first + "~0")
    assert population.item("2" * 16).name == "TS_2"


def test_a_commit_that_later_ones_were_made_from_stays(population: Population) -> None:
    species = population.one_species("ribosome")
    population.stage([species.model_copy(update={"maps_object": population.write_group(maps(3))})])
    first = population.commit("New map")
    used = {species.id: population.one_species("ribosome").version}
    update = {"species_versions": used, "model_object": population.write_tilt_series(model(1.0))}
    population.stage([population.item("TS_1").model_copy(update=update)])
    later = population.commit("Refine TS_1 against it")
    before = population.repository.entries("HEAD")
    says = f"tilt series TS_1 was made from species ribosome in {later[:10]} \\(Refine TS_1 against it\\)"
    with pytest.raises(StateError, match=says):
        revert(population, first)
    assert population.repository.entries("HEAD") == before
    revert(population, later)
    with pytest.raises(StateError, match=r"changed again"):
        revert(population, later)
    revert(population, first)
    assert population.one_species("ribosome") == species


def test_a_series_that_later_particles_lie_in_stays(population: Population) -> None:
    source, item = population.source("grid1"), population.item("TS_1")
    third = item.model_copy(update={"id": "3" * 16, "name": "TS_3"})
    population.stage([source.model_copy(update={"items": [*source.items, third.id]}), third])
    first = population.commit("Add TS_3")
    species = population.one_species("ribosome")
    groups = species.particles | {third.id: species.particles[item.id]}
    population.stage([species.model_copy(update={"particles": groups, "n_particles": 12})])
    population.commit("Pick in TS_3")
    with pytest.raises(StateError, match="was made from tilt series TS_3"):
        revert(population, first)


def test_a_merge_needs_to_be_told_which_parent(population: Population) -> None:
    start = population.repository.resolve("HEAD")
    switch(population.repository, "side", create=True)
    side = rename(population, "TS_2", "two")
    switch(population.repository, "main")
    rename(population, "TS_1", "one")
    records = population.repository.records("items/", side)
    path = f"items/22/{'2' * 16}.json"
    since = population.repository.resolve("HEAD")
    population.repository.commit_changes({path: records[path]}, "Merge side", since, also=(side,))
    with pytest.raises(InputError, match="is a merge; say with --mainline 1 or 2"):
        revert(population, "HEAD")
    with pytest.raises(InputError, match=r"--mainline 3: commit .* has 2 parents"):
        revert(population, "HEAD", 3)
    revert(population, "HEAD", 1)
    assert {item.name for item in population.items().values()} == {"one", "TS_2"}
    with pytest.raises(StateError, match="is the first one"):
        revert(population, start)


def test_what_cannot_be_reverted_is_said(population: Population) -> None:
    switch(population.repository, "side", create=True)
    side = rename(population, "TS_2", "two")
    switch(population.repository, "main")
    with pytest.raises(StateError, match="is not in the history of where you are"):
        revert(population, side)
    with pytest.raises(NotFoundError, match="no commit 'nowhere'"):
        revert(population, "nowhere")
    refine(population)
    population.stage([population.item("TS_1").model_copy(update={"name": "one"})])
    with pytest.raises(StateError, match="holds changes"):
        revert(population, "HEAD")
