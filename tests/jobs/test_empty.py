"""Empty is not success: nothing without weight, zero or NaN is committed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpop.errors import InputError, RefinementError
from mpop.formats.images import write_map
from mpop.jobs.halfmaps import SeriesState, divide
from mpop.jobs.importing.species import add_species
from mpop.jobs.reconstruct import reconstruct_species
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.population import Population
from mpop.projection.insertion import FourierSums
from mpop.records.tilt_series import ParticleSet
from mpop.run import Run
from mpop.series.opening import views_of


def with_particles(population: Population, change) -> None:
    """Commit all particles changed."""
    records = []
    for one in population.species().values():
        particles = {
            item: population.write_particles(change(population.particles(one, item))) for item in one.particles
        }
        records.append(one.model_copy(update={"particles": particles}))
    population.stage(records)
    population.commit("Change particles")


def test_half_maps_without_particles_are_not_committed(tiny_world) -> None:
    population = tiny_world.population
    with_particles(
        population, lambda part: replace(part, position_A=part.position_A + 1e5 * (part.half == 2)[:, None, None])
    )
    before = population.repository.head
    with pytest.raises(RefinementError, match="half-map 2 is empty: no image of a particle of this half"):
        reconstruct_species(population)
    assert population.repository.head == before


def test_a_half_without_images_stops_a_refinement_before_anything_moves(tiny_world) -> None:
    population = tiny_world.population
    with_particles(
        population, lambda part: replace(part, position_A=part.position_A + 1e5 * (part.half == 2)[:, None, None])
    )
    before, stages = population.repository.head, set()
    with pytest.raises(RefinementError, match="half-map 2 is empty: no image of a particle of this half"):
        refine(
            population,
            RefineParameters(iterations=1),
            run=Run(progress=lambda stage, done, total: stages.add(stage)),
        )
    assert stages == {"reconstruct as imported"}
    assert population.repository.head == before


def test_particles_beside_their_images_make_no_map(tiny_world) -> None:
    population = tiny_world.population
    with_particles(population, lambda part: replace(part, position_A=part.position_A + 1e5))
    with pytest.raises(RefinementError, match="half-map 1 is empty"):
        reconstruct_species(population)


def test_half_sets_that_share_particles_are_said_before_the_work(tiny_world) -> None:
    population = tiny_world.population
    said: list[list[str]] = []
    clean = reconstruct_species(population, say=lambda doubts: said.append([one.kind for one in doubts]))
    assert (said, clean.doubts, clean.job.warnings) == ([[]], [], [])
    with_particles(population, _with_copies)
    found = reconstruct_species(population, say=lambda doubts: said.append([one.kind for one in doubts]))
    assert said[1] == ["half-sets-overlap"] * len(population.species())
    assert found.job.warnings == [str(doubt) for doubt in found.doubts]
    refined = refine(
        population,
        RefineParameters(iterations=1, groups={"image_warp": None}),
        say=lambda doubts: said.append([one.kind for one in doubts]),
    )
    assert "half-maps-not-independent" in said[2]  # which is what the copies did to the new half-maps
    assert said.count(said[1]) == 2  # before refine's work, too
    before = len(said[1])
    assert refined.jobs[0].warnings[:before] == found.job.warnings[:before]


def test_a_half_set_of_none_is_refused_before_the_work(tiny_world) -> None:
    population = tiny_world.population
    with_particles(population, lambda part: part.part(np.flatnonzero(part.half == 1)))
    for job in (
        lambda: reconstruct_species(population),
        lambda: refine(population, RefineParameters(iterations=1)),
    ):
        with pytest.raises(InputError, match="all particles are in half-set 1"):
            job()


def _with_copies(part: ParticleSet) -> ParticleSet:
    """All particles a second time, 2 A apart, in the other half-set."""
    return ParticleSet(
        np.concatenate([part.id, part.id + np.uint64(1)]),
        np.concatenate([part.half, 3 - part.half]),
        np.concatenate([part.position_A, part.position_A + 2.0]),
        np.concatenate([part.angles_deg] * 2),
    )


@pytest.mark.parametrize(("value", "said"), [(np.nan, "holds NaN or infinity"), (0.0, "is zero")])
def test_sums_of_nothing_give_no_maps(shared_tiny_world, value: float, said: str) -> None:
    population = shared_tiny_world.population
    species = next(iter(population.species().values()))
    sums = [FourierSums.zeros(species.box) for _ in range(2)]
    for half in sums:
        half.values[..., 2] = 1.0
        half.values[..., :2] = value
    with pytest.raises(RefinementError, match=said):
        divide(species, (sums[0], sums[1]), population.maps(species)["mask"])


def test_empty_half_maps_are_not_imported(tiny_world, tmp_path: Path) -> None:
    population = tiny_world.population
    species = next(iter(population.species().values()))
    write_map(tmp_path / "zero.mrc", np.zeros((species.box,) * 3, np.float32), species.pixel_size_A)
    stem = tiny_world.data / "species" / species.name
    with pytest.raises(InputError, match="zero"):
        add_species(
            population,
            "another",
            tmp_path / "zero.mrc",
            f"{stem}_half2.mrc",
            f"{stem}_mask.mrc",
            f"{stem}_particles.star",
            species.diameter_A,
        )


def test_a_record_says_what_was_erased_of_each_series(tiny_world) -> None:
    result = reconstruct_species(tiny_world.population)
    assert [row["name"] for row in result.job.series] == ["TS_01", "TS_02"]
    assert all(row["erased"] == {"hot_pixels": 0, "blank": 0, "beads": 0} for row in result.job.series)


def test_images_of_particles_that_lie_outside_are_counted(tiny_world) -> None:
    """A job says how many images were left out, of each series and in all."""
    population = tiny_world.population
    with_particles(
        population,
        lambda part: replace(part, position_A=part.position_A + 1e5 * (np.arange(len(part)) == 0)[:, None, None]),
    )
    found = reconstruct_species(population)
    expected = {}
    for item in population.items().values():
        state = SeriesState.load(population, item, population.species().values())
        outside = 0
        for particles in state.particles.values():
            view = views_of(state.model, particles)
            pixel = np.rint(view.position_A[:, state.tilt_series.use] / state.pixel_size_A)
            there = (pixel >= 0) & (pixel < np.rint(np.array(state.model.image_dims_A) / state.pixel_size_A))
            assert not there[0].all(axis=-1).any()
            outside += int((~there.all(axis=-1)).sum())
        expected[item.id] = outside
    assert {row["item"]: row["outside"] for row in found.job.series} == expected
    message = population.repository.show(found.commit).message
    assert f"particles outside of their image: {sum(expected.values())} images left out" in message
