"""Two sides that merged each other before: several best common ancestors, joined into one virtual base."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from example_population import make_population
from two_sides import (
    SPECIES,
    Edit,
    add,
    add_job,
    commit_edits,
    content,
    edit_item,
    edit_rows,
    edit_source,
    fork,
    move,
    new_maps,
    refine_item,
)

from mpop.jobs.verify import verify
from mpop.merging import continue_merge, merge, plan, resolve
from mpop.merging.applying import apply
from mpop.merging.resolving import decide
from mpop.population import Population
from mpop.records.tilt_series import ParticleSet

ONE, TWO = "1" * 16, "2" * 16


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def switch(population: Population, branch: str) -> None:
    population.repository.switch(f"refs/heads/{branch}", "test")


def cross(population: Population, ours: Iterable[Edit], theirs: Iterable[Edit]) -> list[str]:
    """Two sides change something, and each merges the other; returns the two best common ancestors."""
    fork(population, [*ours, add_job("e" * 64, 1.0)], [*theirs, add_job("f" * 64, 1.0)])
    tips = [population.repository.resolve(name) for name in ("main", "theirs")]
    merge(population, tips[1])
    switch(population, "theirs")
    merge(population, tips[0])
    switch(population, "main")
    return sorted(tips)


def then(population: Population, ours: Iterable[Edit], theirs: Iterable[Edit]) -> None:
    """Both go on."""
    switch(population, "theirs")
    commit_edits(population, [*theirs, add_job("d" * 64, 1.0)], "There")
    switch(population, "main")
    commit_edits(population, [*ours, add_job("c" * 64, 1.0)], "Here")


def test_what_each_side_took_back_stays_taken_back(population: Population) -> None:
    """Each takes back what the other did; with either ancestor alone as the base, one of the two would be lost."""
    cross(population, [refine_item("TS_1", 1.0)], [edit_source(name="renamed")])
    before = population.item("TS_1", "HEAD~2").model_object
    then(population, [edit_source(name="grid1")], [edit_item("TS_1", model_object=before, job=None)])
    result = merge(population, "theirs")
    assert (result.status, result.plan.conflicts) == ("merged", [])
    assert population.item("TS_1").model_object == before
    assert population.source("5" * 16).name == "grid1"
    assert verify(population).problems == []
    assert merge(population, "theirs").status == "up to date"


def shift(rank: int, by_A: float) -> Callable[[ParticleSet], ParticleSet]:
    """Move one particle, that of the rank-th id; merged particles are in the order of their ids."""
    return lambda old: move(int(np.argsort(old.id)[rank]), by_A)(old)


def positions(population: Population, at: str) -> dict[int, list[float]]:
    """Particle id -> where it is, in TS_1."""
    particles = population.particles(population.one_species(SPECIES, at), ONE)
    places = particles.position_A.round(9)[:, 0].tolist()
    return dict(zip(particles.id.tolist(), places, strict=True))


def test_a_particle_that_was_moved_back_stays_there(population: Population) -> None:
    start = population.repository.resolve("HEAD")
    cross(population, [edit_rows("TS_1", shift(0, 1.0))], [edit_rows("TS_1", shift(1, 1.0))])
    assert positions(population, "HEAD") == positions(population, "theirs") != positions(population, start)
    then(population, [edit_rows("TS_1", shift(1, -1.0))], [edit_rows("TS_1", shift(0, -1.0))])
    result = merge(population, "theirs")
    assert (result.status, result.plan.conflicts) == ("merged", [])
    assert positions(population, "HEAD") == positions(population, start)


def in_conflict(population: Population) -> list[str]:
    """Both refined TS_1 and made half-maps, and each kept its own when it merged the other; then one went on."""
    fork(
        population,
        [refine_item("TS_1", 1.0), new_maps(3, 9.0), edit_rows("TS_1", shift(0, 1.0))],
        [refine_item("TS_1", 2.0), new_maps(4, 8.0), edit_rows("TS_1", shift(0, 2.0))],
    )
    tips = [population.repository.resolve(name) for name in ("main", "theirs")]
    merge(population, tips[1], default="ours")
    switch(population, "theirs")
    merge(population, tips[0], default="ours")
    switch(population, "main")
    then(population, [], [])
    return sorted(tips)


def test_what_was_decided_differently_is_asked_again(population: Population) -> None:
    """The base has neither side's decision: a silent choice between two would lose one."""
    bases = in_conflict(population)
    found = plan(population, "theirs")
    assert found.bases == bases
    assert [one.key for one in found.conflicts] == [f"item/{ONE}", f"species/{SPECIES}"]
    assert [one.base for one in found.conflicts] == [None, None]
    (note,) = found.notes
    assert "2 best common ancestors" in note


def test_what_was_decided_alike_is_asked_no_more(population: Population) -> None:
    fork(population, [refine_item("TS_1", 1.0), new_maps(3, 9.0)], [refine_item("TS_1", 2.0), new_maps(4, 8.0)])
    tips = [population.repository.resolve(name) for name in ("main", "theirs")]
    merge(population, tips[1], default="ours")
    switch(population, "theirs")
    merge(population, tips[0], default="theirs")
    switch(population, "main")
    then(population, [], [edit_item("TS_2", name="renamed")])
    assert merge(population, "theirs").plan.conflicts == []
    assert population.item("1" * 16).model_object == population.item("1" * 16, tips[0]).model_object
    assert population.item(TWO).name == "renamed"


def everything(population: Population) -> tuple[object, ...]:
    """All that a plan must leave as it was."""
    git = population.repository.git_directory
    files = sorted((path.relative_to(git), path.stat().st_mtime_ns) for path in git.rglob("*") if path.is_file())
    return population.repository.refs.all(), population.repository.status(), files


def test_a_dry_run_writes_nothing(population: Population) -> None:
    """The base is made in memory: no reference, no commit, no object."""
    cross(population, [edit_rows("TS_1", shift(0, 1.0))], [edit_rows("TS_1", shift(1, 1.0))])
    then(population, [edit_rows("TS_1", shift(2, 1.0))], [edit_rows("TS_1", shift(3, 1.0))])
    before = everything(population)
    assert merge(population, "theirs", dry_run=True).status == "planned"
    assert everything(population) == before


def test_it_goes_on_from_the_same_plan_and_records_its_bases(population: Population) -> None:
    bases = in_conflict(population)
    started = merge(population, "theirs")
    assert started.status == "conflicts"
    again = Population.open(population.root)
    shown = resolve(again, {"item/*": "theirs", "species/*": "ours"}, preview=True)
    assert shown.plan.summary() == started.plan.summary()
    done = continue_merge(Population.open(population.root))
    assert done.job is not None
    assert done.job.parameters["bases"] == bases
    assert population.jobs()[done.job.id].parameters["bases"] == bases
    assert verify(population).problems == []


def test_a_merge_can_be_made_again_from_its_job(population: Population) -> None:
    """The two commits and the bases that the job names give the plan that it carried out, on any branch."""
    in_conflict(population)
    job = merge(population, "theirs", {"item/*": "theirs", "species/*": "ours"}).job
    assert job is not None
    merged = content(population)
    given = job.parameters
    switch(population, "theirs")
    found = plan(population, given["theirs"], given["bases"], given["ours"], preview=False)
    decisions = decide(found.conflicts, {key: one["way"] for key, one in given["resolutions"].items()})
    outcome = apply(found, decisions)
    assert outcome.job.id == job.id
    again = population.repository.write_commit(given["ours"], outcome.changes, [given["ours"]], "again")
    assert content(population, again) == merged


def test_a_particle_that_both_kept_apart_and_one_removed_is_gone(population: Population) -> None:
    """A removal is a judgement also where the base has no decided pose of the particle."""
    in_conflict(population)
    then(population, [edit_rows("TS_1", lambda old: old.part(np.sort(np.argsort(old.id)[1:])))], [])
    gone = set(positions(population, "theirs")) - set(positions(population, "HEAD"))
    assert len(gone) == 1
    merge(population, "theirs", default="theirs")
    assert not gone & set(positions(population, "HEAD"))


def test_particles_added_before_are_not_added_twice(population: Population) -> None:
    cross(population, [edit_rows("TS_1", add(50))], [edit_rows("TS_1", add(51))])
    then(population, [edit_rows("TS_1", add(52))], [edit_rows("TS_1", add(53))])
    merge(population, "theirs")
    assert len(positions(population, "HEAD")) == population.one_species(SPECIES).n_particles - 4 == 4 + 4 * 2
    assert verify(population).problems == []
