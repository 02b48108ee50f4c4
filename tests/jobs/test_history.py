"""Which commits a history lists, in which order, and where their lines lead."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from example_population import make_population, refine
from hypothesis import given
from hypothesis import strategies as st

from mpop.errors import NotFoundError, StateError
from mpop.jobs.history import children_first, history
from mpop.population import Population
from mpop_store.git.branches import create_tag, switch
from mpop_store.git.repository import Commit

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def commit(name: str, parents: tuple[str, ...]) -> Commit:
    return Commit(name, parents, NOW, "Ada", name, {})


@st.composite
def shuffled_histories(draw: st.DrawFn) -> list[Commit]:
    """Commits in any order at all, as they come when every clock is wrong."""
    size = draw(st.integers(1, 20))
    commits = []
    for number in range(size):
        older = st.lists(st.integers(number + 1, size - 1), max_size=2, unique=True)
        parents = draw(older) if number < size - 1 else []
        commits.append(commit(str(number), tuple(map(str, parents))))
    return draw(st.permutations(commits))


@given(shuffled_histories())
def test_children_come_first_whatever_clocks_say(commits: list[Commit]) -> None:
    ordered = [one.id for one in children_first(iter(commits))]
    assert sorted(ordered) == sorted(one.id for one in commits)
    for one in commits:
        assert all(ordered.index(parent) > ordered.index(one.id) for parent in one.parents)


def test_no_more_is_read_ahead_than_said() -> None:
    chain = [commit(str(n), (str(n + 1),)) for n in range(100)]
    source = iter(chain)
    assert next(children_first(source, ahead=5)).id == "0"
    assert next(source).id == "6"


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def rename(population: Population, item: str, name: str) -> str:
    population.stage([population.item(item).model_copy(update={"name": name})])
    return population.commit(f"Call it {name}")


def merged(population: Population, path: str, theirs: str, record_of: str) -> str:
    """Merge a commit, with one record as it is in a commit."""
    repository = population.repository
    since = repository.resolve("HEAD")
    return repository.commit_changes({path: repository.read(path, record_of)}, "Merge", since, also=(theirs,))


def test_a_record_is_followed_to_the_side_that_it_was_taken_from(population: Population) -> None:
    path, item = f"items/22/{'2' * 16}.json", "2" * 16
    start = population.repository.resolve("HEAD")
    switch(population.repository, "side", create=True)
    theirs = rename(population, item, "theirs")
    switch(population.repository, "main")
    ours = rename(population, item, "ours")
    merged(population, path, theirs, ours)  # ours was kept: theirs is no part of how it came to be
    assert [one.id for one in history(population, item=item, graph=True)] == [ours, start]
    decided = merged(population, path, theirs, start)  # neither: the merge itself changed it
    listed = history(population, item=item)
    assert listed[0].id == decided and listed[0].leads_to == [ours, theirs]
    assert {one.id for one in listed} == {decided, ours, theirs, start}


def test_species_and_series_together(population: Population) -> None:
    start = population.repository.resolve("HEAD")
    renamed = rename(population, "TS_2", "two")
    other = rename(population, "TS_1", "one")
    species = population.one_species("ribosome")
    population.stage([species.model_copy(update={"diameter_A": 120.0})])
    resized = population.commit("Resize")
    both = [one.id for one in history(population, species="ribosome", item="two")]
    assert both == [resized, renamed, start] and other not in both


def test_names_of_what_is_gone_are_looked_up_where_the_list_starts(population: Population) -> None:
    start = population.repository.resolve("HEAD")
    species = population.one_species("ribosome")
    population.stage([], remove=[species])
    removed = population.commit("Take it out")
    assert [one.id for one in history(population, "HEAD~1", species="ribosome")] == [start]
    with pytest.raises(NotFoundError, match="no species 'ribosome'"):
        history(population, species="ribosome")
    population.stage([species.model_copy(update={"parent": None})])
    assert [one.id for one in history(population, species="ribosome")] == [removed, start]


def test_entries_carry_branches_and_tags(population: Population) -> None:
    create_tag(population.repository, "v1", message="First")
    switch(population.repository, "side", create=True)
    refined = refine(population)
    head, first = history(population)
    assert (head.id, head.names, head.verb) == (refined, ["HEAD -> side"], "refine")
    assert first.names == ["main", "tag: v1"] and first.parents == []


def test_a_record_of_a_newer_mpop_is_said_to_be_one(population: Population) -> None:
    path = f"items/11/{'1' * 16}.json"
    population.repository.stage({path: population.repository.read(path) | {"charge": 3}})
    population.repository.commit("From the future")
    with pytest.raises(StateError, match=rf"{path} is not a record that this mpop reads \(field charge\)"):
        history(population)
