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
    add_job,
    commit_edits,
    edit_item,
    edit_rows,
    edit_source,
    fork,
    move,
    refine_item,
)

from mpop.jobs.verify import verify
from mpop.merging import merge
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
