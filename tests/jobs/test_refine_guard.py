"""A refinement that makes half-maps worse commits nothing, and a species that no image shows stays as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpop.doubts import DoubtfulInputError
from mpop.jobs import refine_series
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.reproduce import reproduce
from mpop.population import Population
from mpop.refinement.series import SeriesScore
from mpop.refinement.system import SeriesSystem
from mpop.run import Run

QUICK = RefineParameters(iterations=1, groups={"image_warp": (2, 2)})


def scatter(system: SeriesSystem, theta: np.ndarray, *_: Any) -> tuple[np.ndarray, SeriesScore]:
    """An optimiser that throws particles about, by 40 A, and is content."""
    theta = theta.copy()
    positions = system.group_slices["positions"]
    theta[positions] = 40 * np.random.default_rng(1).normal(size=positions.stop - positions.start)
    return theta, SeriesScore([100.0] * len(system.particles), [200.0] * len(system.particles), 1)


def test_what_makes_half_maps_worse_is_not_committed(tiny_world, monkeypatch: pytest.MonkeyPatch) -> None:
    population = tiny_world.population
    imported = population.repository.head
    monkeypatch.setattr(refine_series, "optimise", scatter)
    with pytest.raises(DoubtfulInputError, match=r"standard errors below|agree at no resolution") as caught:
        refine(population, QUICK, run=Run(threads=2))
    assert population.repository.head == imported
    assert population.repository.is_clean
    ruin = {"refined-worse", "half-maps-lost"}
    assert {doubt.kind for doubt in caught.value.doubts} <= ruin
    assert {doubt.where for doubt in caught.value.doubts} == {"species asymmetric", "species ferritin-like"}

    result = refine(population, QUICK, run=Run(threads=2), force=True)
    assert [doubt for doubt in result.doubts if doubt.kind in ruin] == caught.value.doubts
    message = population.repository.show(result.commits[0]).message
    assert all(f"warning: {doubt}" in message for doubt in result.doubts)
    assert reproduce(population, result.commits[0]).is_identical


def with_moved(population: Population, name: str) -> None:
    """Commit one species' particles at places where there are none of it."""
    one = population.one_species(name)

    def beside(item: str) -> str:
        particles = population.particles(one, item)
        place = particles.position_A.copy()
        place[..., 0] = population.tilt_series(population.items()[item]).volume_dims_A[0] - place[..., 0]
        return population.write_particles(replace(particles, position_A=place))

    population.stage([one.model_copy(update={"particles": {item: beside(item) for item in one.particles}})])
    population.commit("Move particles")


def test_a_species_that_no_series_shows_keeps_its_half_maps(tiny_world) -> None:
    population = tiny_world.population
    with_moved(population, "asymmetric")
    before = population.species()
    result = refine(population, QUICK, run=Run(threads=2))
    (doubt,) = result.doubts
    assert (doubt.kind, doubt.where) == ("species-not-seen", "species asymmetric")
    assert f"warning: {doubt}" in population.repository.show().message
    after = population.species()
    changed = {one.name for identity, one in after.items() if one.version != before[identity].version}
    assert changed == {"ferritin-like"}
    assert set(result.jobs[0].resolution_after_A) == {"ferritin-like"}
