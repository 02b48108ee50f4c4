"""From which commit a merge starts: criss-cross and unrelated histories, another base, another branch."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_population import make_population
from two_sides import (
    SPECIES,
    add_job,
    add_species,
    commit_edits,
    edit_rows,
    fork,
    move,
    new_maps,
    refine_item,
    rename_population,
)

from mpop.errors import NotFoundError, StateError
from mpop.exchange.cloning import clone
from mpop.exchange.fetching import fetch_from
from mpop.exchange.selection import Data
from mpop.jobs.verify import verify
from mpop.merging import merge, plan
from mpop.population import Population
from mpop_store.git.repository import Repository
from mpop_store.transfer.remotes import Remotes


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def switch(population: Population, branch: str, start: str | None = None) -> None:
    population.repository.switch(f"refs/heads/{branch}", "test", start)


def test_criss_cross_is_told_and_asks_nothing(population: Population) -> None:
    """Both sides merged each other; what they agreed on then is no conflict now."""
    fork(population, (refine_item("TS_1", 1.0),), (refine_item("TS_2", 2.0),))
    ours, theirs = (population.repository.resolve(name) for name in ("HEAD", "theirs"))
    merge(population, theirs)
    switch(population, "theirs")
    merge(population, ours)
    commit_edits(population, [add_job("8" * 64, 1.0)], "More there")
    switch(population, "main")
    commit_edits(population, [add_species("c" * 16, "x")], "More here")
    result = merge(population, "theirs")
    assert result.status == "merged"
    (note,) = result.plan.notes
    assert note.startswith("the two sides have merged each other before: their 2 best common ancestors")
    assert result.plan.bases == sorted([ours, theirs])
    assert "8" * 64 in population.jobs()
    assert "c" * 16 in population.species()
    assert verify(population).problems == []


def test_merging_again_starts_from_the_last_merge(population: Population) -> None:
    """A conflict that was decided once is not asked again."""
    fork(population, (new_maps(3, 9.0),), (new_maps(4, 8.0),))
    merge(population, "theirs", {"species/ribosome": "ours"})
    switch(population, "theirs")
    commit_edits(population, [refine_item("TS_1", 2.0)], "Further")
    switch(population, "main")
    result = merge(population, "theirs")
    assert (result.status, result.plan.conflicts) == ("merged", [])
    assert population.one_species(SPECIES).resolution_A == 9.0


def test_unrelated_populations_meet_by_the_content_of_their_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two labs imported the same images; each refined some series; then they find out."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = make_population(tmp_path / "a")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000001")
    second = make_population(tmp_path / "b")
    commit_edits(first, [refine_item("TS_1", 1.0), edit_rows("TS_1", move(0, 1.0))], "Refine")
    both = refine_item("TS_1", 3.0)
    edits = [refine_item("TS_2", 2.0), both, add_species("c" * 16, "x"), rename_population("lab B")]
    commit_edits(second, edits, "Refine")
    first = fetch(second, first)
    with pytest.raises(StateError, match=r"shares no commit with this population.*--allow-unrelated"):
        plan(first, "other")
    found = plan(first, "other", unrelated=True)
    assert found.relation == "unrelated"
    assert [one.key for one in found.conflicts] == [f"item/{'1' * 16}"]  # only they refined TS_2
    assert found.notes == ["example is called lab B on the other side; example is kept"]
    result = merge(first, "other", {"item/TS_1": "ours"}, unrelated=True)
    assert result.status == "merged"
    assert first.name == "example"
    assert first.item("TS_1").model_object == first.item("TS_1", "HEAD^1").model_object
    assert first.item("TS_2").model_object == first.item("TS_2", "other").model_object
    assert "c" * 16 in first.species()
    assert verify(first).problems == []
    assert merge(first, "other").status == "up to date"


def fetch(source: Population, target: Population) -> Population:
    """All objects and commits of one population into another, as branch `other`; the other, opened again."""
    for name in source.objects.names():
        target.objects.put(source.objects.get(name))
    repository: Repository = target.repository
    head = source.repository.head
    assert head is not None
    pack = repository.git_directory / "objects" / "info"
    pack.mkdir(exist_ok=True)
    (pack / "alternates").write_text(f"{source.repository.git_directory / 'objects'}\n")
    again = Repository.open(target.root)
    again.refs.update({"refs/heads/other": (None, head)}, "fetch")
    return Population.open(target.root)


def test_a_clone_without_data_fetches_what_it_merges_and_no_more(population: Population) -> None:
    """The arrays of what the other side changed come, for the commit must not name what is nowhere near."""
    folder = population.root.parent
    clone("population", folder / "lazy", base=folder, data=Data.parse("none"))
    lazy = Population.open(folder / "lazy")
    commit_edits(population, [refine_item("TS_1", 1.0)], "There")
    commit_edits(lazy, [add_job("8" * 64, 1.0)], "Here")
    fetch_from(lazy.repository, Remotes(lazy.repository).get("origin"))
    here = set(lazy.objects.names())
    assert merge(lazy, "origin/main").status == "merged"
    item = lazy.item("TS_1")
    came = set(lazy.objects.names()) - here
    assert item.model_object in came
    assert not came & {one.maps_object for one in lazy.species_heads().values()}


def test_going_back_by_one_version_and_by_two_is_a_conflict(population: Population) -> None:
    """The version that one side goes back to was made from the other's; neither was made since they parted."""
    repository, path = population.repository, f"items/11/{'1' * 16}.json"
    versions = [repository.read(path, "HEAD")]
    for bend in (1.0, 2.0):
        commit_edits(population, [refine_item("TS_1", bend)], "Refine")
        versions.append(repository.read(path, "HEAD"))
    assert versions[1]["parent"] == versions[0]["version"]
    fork(
        population,
        [lambda one: one.repository.stage({path: versions[0]})],
        [lambda one: one.repository.stage({path: versions[1]})],
    )
    assert [one.key for one in plan(population, "theirs").conflicts] == [f"item/{'1' * 16}"]


def test_a_version_made_from_ours_is_taken_without_a_common_commit_that_has_it(population: Population) -> None:
    """As when a species came by a request, and then by the branch on which work on it went on."""
    added = add_species("c" * 16, "x")
    fork(population, [added], [added])
    switch(population, "theirs")
    one = population.one_species("x")
    population.stage([one.model_copy(update={"diameter_A": 77.0, "parent": one.version})])
    population.commit("Go on")
    switch(population, "main")
    result = merge(population, "theirs")
    assert (result.status, result.plan.conflicts) == ("merged", [])
    assert population.one_species("x").diameter_A == 77.0


def test_any_two_commits_can_be_planned(population: Population) -> None:
    """A merge request is checked without standing on either side."""
    base = fork(population, (refine_item("TS_1", 1.0),), (refine_item("TS_1", 2.0),))
    found = plan(population, "main", ours="theirs")
    (conflict,) = found.conflicts
    assert (conflict.ours.score, conflict.theirs.score) == (2.0, 1.0)
    assert plan(population, base, ours="theirs").relation == "up to date"
    assert plan(population, "theirs", ours=base).relation == "fast-forward"
    assert plan(population, "theirs", bases=["HEAD"]).conflicts == []
    with pytest.raises(NotFoundError):
        plan(population, "nowhere")


def test_there_must_be_a_commit_to_merge_into(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="there is no commit yet to merge into"):
        plan(Population.init(tmp_path), "HEAD")
