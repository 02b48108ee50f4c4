"""A recorded job run again: identical where it must be, and how far off where something was changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from example_population import make_population
from example_population import refine as pretend_to_refine

from mpop.errors import InputError, StateError
from mpop.jobs import reproduce as reproduce_module
from mpop.jobs.reconstruct import reconstruct_species
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.reproduce import reproduce
from mpop.population import Population, versioned
from mpop.run import Run

if TYPE_CHECKING:
    from conftest import TinyWorld

QUICK = RefineParameters(iterations=2, groups={"image_warp": (2, 2), "stage_angles": False})


def everything(population: Population) -> Any:
    """All that reproducing must leave alone."""
    files = {
        path: (path.stat().st_size, path.stat().st_ino)
        for path in population.root.rglob("*")
        if path.is_file() and not path.match("mpop/lock")
    }
    return population.repository.refs.all(), population.repository.entries(), files


def forged(population: Population, commit: str, shift: float) -> str:
    """The commit again, with one half-map off and one series' particles moved from what the job gave."""
    (species, *_) = population.species(commit).values()
    maps = population.maps(species)
    maps["half1"] = maps["half1"] + np.float32(0.01) * maps["half1"].std()
    item = next(iter(species.particles))
    particles = population.particles(species, item)
    moved = population.write_particles(replace(particles, position_A=particles.position_A + shift))
    update = {"maps_object": population.write_group(maps), "particles": species.particles | {item: moved}}
    changes = population.changes([species.model_copy(update=update)], commit)
    repository = population.repository
    parent = repository.show(commit).parents[0]
    made = repository.write_commit(
        parent,
        {path: repository.read(path, commit) for path in repository.changes(parent, commit)} | changes,
        [parent],
        "Forged",
    )
    repository.make_durable()
    return made


def test_a_later_iteration_of_a_refinement_comes_out_identical(tiny_world: TinyWorld) -> None:
    population = tiny_world.population
    result = refine(population, QUICK, run=Run(threads=2))
    before = everything(population)
    found = reproduce(population, result.commits[-1])
    assert found.is_identical and found.same_job and found.environment == {}
    assert (found.base, found.commit) == tuple(result.commits) and found.job.id == result.jobs[-1].id
    assert len(found.species) == 2 and len(found.items) == 2
    assert all(one.maps == {} and one.particles.is_none for one in found.species)
    assert everything(population) == before
    assert not list(population.repository.private.glob("scratch-*"))


def test_a_reconstruction_is_summed_again_from_the_images(tiny_world: TinyWorld) -> None:
    population = tiny_world.population
    done = reconstruct_species(population, run=Run(threads=2))
    second = reconstruct_species(population, run=Run(threads=2))  # uses the sums that the first one kept
    assert reproduce(population, done.commit).is_identical
    assert reproduce(population, second.commit).is_identical
    for item in population.items().values():
        population.raw_path(item.raw[0]).unlink()
    assert reproduce(population, second.commit, keep_sums=True).is_identical
    with pytest.raises(InputError, match="is gone; bring it back"):
        reproduce(population, second.commit)


def test_a_result_that_is_not_what_the_job_gives_is_measured(tiny_world: TinyWorld) -> None:
    population = tiny_world.population
    done = reconstruct_species(population, run=Run(threads=2))
    found = reproduce(population, forged(population, done.commit, 3.0), threads=1)
    assert not found.is_identical and found.same_job
    assert found.environment == {"threads": (2, 1)}
    (off,) = [one for one in found.species if not one.is_identical]
    assert off.maps["half1"].rms > 0 and off.maps["half2"].rms == pytest.approx(0, abs=1e-6)
    assert 0.9 < off.maps["half1"].lowest_fsc <= 1
    assert off.maps["half1"].largest == pytest.approx(off.maps["half1"].rms, rel=1e-3)
    assert off.particles.shift_A is not None
    assert off.particles.shift_A.median == pytest.approx(3.0 * 3**0.5)


def test_a_series_that_fails_now_is_named(tiny_world: TinyWorld) -> None:
    population = tiny_world.population
    done = refine(population, QUICK.model_copy(update={"iterations": 1}), run=Run(threads=2))
    gone = sorted(population.items().values(), key=lambda item: item.name)[0]
    population.raw_path(gone.raw[0]).unlink()
    found = reproduce(population, done.commits[0])
    assert [failure.name for failure in found.failed] == [gone.name] and not found.is_identical
    by_name = {item.name: item for item in found.items}
    assert not by_name[gone.name].is_identical and by_name[gone.name].quantities
    (other,) = [item for name, item in by_name.items() if name != gone.name]
    # how far parameters are off is learned from all series, so that the other one moves a little otherwise
    moved, apart = ({one.name: one.rms for one in item.quantities} for item in (by_name[gone.name], other))
    assert all(apart[name] < 0.5 * moved[name] for name in apart), (apart, moved)


def test_other_versions_of_software_are_told(tiny_world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    population = tiny_world.population
    done = reconstruct_species(population, run=Run(threads=2))
    versions = done.job.software | {"numpy": "99"}
    monkeypatch.setattr(reproduce_module, "software_versions", lambda: versions)
    found = reproduce(population, done.commit)
    assert found.environment == {"numpy": (done.job.software["numpy"], "99")}


def test_work_that_went_on_in_between_does_not_matter(tiny_world: TinyWorld) -> None:
    """A job's commit may stand on a commit that came after what the job read."""
    population = tiny_world.population
    done = reconstruct_species(population, run=Run(threads=2))
    (source,) = population.sources().values()
    population.stage([source.model_copy(update={"name": "renamed"})])
    population.commit("Rename")
    found = reproduce(population, done.commit)
    assert found.is_identical


def test_commits_that_cannot_be_run_again(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    with pytest.raises(StateError, match=r"\(Import\) was not made by a job"):
        reproduce(population, "HEAD")
    pretend_to_refine(population)
    with pytest.raises(StateError, match="has parameters that this mpop does not know"):
        reproduce(population, "HEAD")
    (job,) = population.jobs().values()
    head = population.repository.resolve("HEAD")
    two = [versioned(job.model_copy(update={"id": letter * 64})) for letter in "cd"]
    population.commit_records(two, "Two jobs", since=head)
    with pytest.raises(StateError, match="brought 2 jobs"):
        reproduce(population, "HEAD")
    merge = versioned(job.model_copy(update={"id": "e" * 64, "verb": "merge"}))
    population.commit_records([merge], "Merge", since=population.repository.resolve("HEAD"))
    with pytest.raises(StateError, match="a merge cannot be run again by itself"):
        reproduce(population, "HEAD")
    inputs = {"species/nowhere.json": "0" * 64}
    lost = versioned(job.model_copy(update={"id": "f" * 64, "inputs": inputs}))
    population.commit_records([lost], "Lost", since=population.repository.resolve("HEAD"))
    with pytest.raises(StateError, match="what its job started from is not in the history here"):
        reproduce(population, "HEAD")
