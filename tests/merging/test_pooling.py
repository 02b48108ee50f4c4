"""Two labs refine one species, each on the series that it has images of, and pool what they found."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpop.errors import InputError
from mpop.formats.images import read_map
from mpop.jobs.reconstruct import reconstruct_species
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.verify import verify
from mpop.maps.fsc import fsc
from mpop.merging import Conflict, merge, plan
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.run import Run

QUICK = RefineParameters(iterations=1, groups={"image_warp": (2, 2)})
NOISE = 1e-4
"""Of a map's standard deviation: the order in which float32 numbers are added."""


@contextmanager
def without_images(population: Population, *series: str) -> Iterator[None]:
    """The raw images of some series are with somebody else."""
    paths = [population.raw_path(raw) for name in series for raw in population.item(name).raw]
    for path in paths:
        path.rename(f"{path}.elsewhere")
    try:
        yield
    finally:
        for path in paths:
            Path(f"{path}.elsewhere").rename(path)


def on_two_branches(population: Population, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """One job on `main`, another on `lab-b`, from the same commit."""
    repository = population.repository
    start = repository.head
    ours()
    repository.switch("refs/heads/lab-b", "fork", start)
    theirs()
    repository.switch("refs/heads/main", "back")


@pytest.fixture(scope="module")
def shared_labs(shared_tiny_world, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lab A refined TS_01, lab B TS_02; neither has the other's images. Read only."""
    folder = tmp_path_factory.mktemp("labs") / "world"
    shutil.copytree(shared_tiny_world.folder, folder)
    population = Population.open(folder / "population")

    def without(series: str) -> None:
        with without_images(population, series):
            refine(Population.open(population.root), QUICK, run=Run(threads=2))

    on_two_branches(population, lambda: without("TS_02"), lambda: without("TS_01"))
    return folder


@pytest.fixture
def labs(shared_labs: Path, tmp_path: Path) -> Population:
    shutil.copytree(shared_labs, tmp_path / "world")
    return Population.open(tmp_path / "world" / "population")


def conflict_of(population: Population, species: str) -> Conflict:
    """What the plan says about a species."""
    (found,) = (one for one in plan(population, "lab-b").conflicts if one.label == f"species/{species}")
    return found


def likeness_to_truth(population: Population, one: SpeciesRecord) -> float:
    """Correlation of the mean map with the planted one, summed over shells."""
    truth = read_map(population.root.parent / "data/truth" / f"{one.name}_map.mrc")[0]
    maps = population.maps(one)
    mean = (maps["half1"] + maps["half2"]) / 2
    return float(fsc(mean * maps["mask"], truth * maps["mask"], one.pixel_size_A).correlation[1:].sum())


def assert_as_from_all_images(population: Population) -> None:
    """The half-maps are those that reconstructing from every image gives."""
    pooled = {one.id: population.maps(one) for one in population.species().values()}
    population.stage([one.model_copy(update={"derived": {}}) for one in population.species().values()])
    population.commit("Forget the sums")
    for one in reconstruct_species(population, run=Run(threads=2)).species:
        for half in ("half1", "half2"):
            fresh = population.maps(one)[half]
            assert np.abs(fresh - pooled[one.id][half]).max() < NOISE * fresh.std()


def test_pooled_half_maps_are_better_than_either_and_as_good_as_all_images(labs: Population) -> None:
    planned = plan(labs, "lab-b")
    assert {one.label for one in planned.conflicts} == {"species/asymmetric", "species/ferritin-like"}
    with without_images(labs, "TS_01", "TS_02"):
        result = merge(labs, "lab-b", {"species/*": "pool"})
    assert result.status == "merged"
    for conflict in planned.conflicts:
        one = labs.one_species(conflict.key.split("/")[1])
        ours, theirs = (labs.one_species(one.id, at) for at in ("HEAD^1", "lab-b"))
        pool = conflict.pool
        assert pool is not None
        assert pool.possible
        assert (pool.ours_A, pool.theirs_A, pool.pooled_A) == (
            ours.resolution_A,
            theirs.resolution_A,
            one.resolution_A,
        )
        np.testing.assert_allclose(pool.fsc["pooled"], labs.maps(one)["fsc"][1])
        np.testing.assert_allclose(pool.fsc["theirs"], labs.maps(theirs)["fsc"][1])
        assert pool.particles == one.n_particles
        assert set(one.item_versions) == set(ours.item_versions) | set(theirs.item_versions)
        assert len(ours.item_versions) == 1
        assert one.item_versions == {item.id: item.version for item in labs.items().values()}
        assert (one.parent, one.merged) == (ours.version, [theirs.version])
        assert likeness_to_truth(labs, one) > max(likeness_to_truth(labs, side) for side in (ours, theirs))
    assert [(due.series, due.species) for due in result.due] == [(2, "asymmetric"), (2, "ferritin-like")]
    assert verify(labs).problems == []
    assert_as_from_all_images(labs)


def test_half_sets_stay_apart(labs: Population) -> None:
    """The sums of each half are those of the same half of either lab, and of nothing else."""
    merge(labs, "lab-b", {"species/*": "pool"})
    for one in labs.species().values():
        sides = [labs.one_species(one.id, at) for at in ("HEAD", "HEAD^1", "lab-b")]
        (source,) = one.derived["sums"]
        pooled, ours, theirs = (labs.read_group(side.derived["sums"][source]["group"]) for side in sides)
        for half in ("half1", "half2"):
            np.testing.assert_array_equal(pooled[half], ours[half] + theirs[half])


def test_the_kept_sums_of_a_pooled_species_serve_the_next_job(labs: Population) -> None:
    merge(labs, "lab-b", {"species/*": "pool"})
    pooled = {one.id: one.maps_object for one in labs.species().values()}
    with without_images(labs, "TS_01", "TS_02"):
        for one in reconstruct_species(labs, run=Run(threads=2)).species:
            assert one.maps_object == pooled[one.id]


def shift_particles(population: Population, series: str, by_A: float) -> None:
    """As a refinement would: new poses in one series, and half-maps from all of them."""
    item = population.item(series)
    item = item.model_copy(
        update={
            "model_object": population.write_tilt_series(
                replace(population.tilt_series(item), level_angle_x_deg=by_A / 10)
            ),
            "parent": item.version,
        }
    )
    species = []
    for one in population.species().values():
        old = population.particles(one, item.id)
        moved = replace(old, position_A=old.position_A + by_A)
        species.append(
            one.model_copy(
                update={
                    "particles": one.particles | {item.id: population.write_particles(moved)},
                    "parent": one.version,
                }
            )
        )
    population.stage([item, *species])
    population.commit(f"Move particles of {series}")
    reconstruct_species(population, run=Run(threads=2))


def test_one_source_shared_by_both_labs_needs_no_image_either(tiny_world) -> None:
    """Each lab holds the other's series as they were: ours + theirs - base is what both refined."""
    population = tiny_world.population
    reconstruct_species(population, run=Run(threads=2))
    on_two_branches(
        population,
        lambda: shift_particles(population, "TS_01", 2.0),
        lambda: shift_particles(population, "TS_02", -1.5),
    )
    with without_images(population, "TS_01", "TS_02"):
        assert merge(population, "lab-b", {"species/*": "pool"}).status == "merged"
    assert verify(population).problems == []
    assert_as_from_all_images(population)


@pytest.mark.parametrize("kept", ["in the merges", "in their parents"])
def test_labs_that_pooled_each_other_before_need_no_image_either(tiny_world, kept: str) -> None:
    """Each pooled the other's first refinement. Its particles are in ours, in theirs and in both bases, and must
    count once; what both hold alike is in the sums of those merges, and is A + B - origin of the bases' too."""
    population, repository = tiny_world.population, tiny_world.population.repository
    reconstruct_species(population, run=Run(threads=2))
    on_two_branches(
        population,
        lambda: shift_particles(population, "TS_01", 2.0),
        lambda: shift_particles(population, "TS_02", -1.5),
    )
    tips = [repository.resolve(name) for name in ("main", "lab-b")]

    def go_on(series: str, by_A: float, other: str) -> None:
        merge(population, other, {"species/*": "pool"})
        if kept == "in their parents":
            for one in population.species().values():
                for part in one.derived["sums"].values():
                    population.objects.path(part["group"]).unlink()
        shift_particles(population, series, by_A)

    go_on("TS_01", 1.0, tips[1])
    repository.switch("refs/heads/lab-b", "there")
    go_on("TS_02", -1.0, tips[0])
    repository.switch("refs/heads/main", "back")
    with without_images(population, "TS_01", "TS_02"):
        result = merge(population, "lab-b", {"species/*": "pool"})
    assert result.plan.bases == sorted(tips)
    assert result.status == "merged"
    assert_as_from_all_images(population)


def test_sums_that_are_gone_are_read_again_from_images(labs: Population) -> None:
    theirs = labs.one_species("asymmetric", "lab-b")
    for part in theirs.derived["sums"].values():
        labs.objects.path(part["group"]).unlink()
    pool = conflict_of(labs, "asymmetric").pool
    assert pool is not None
    assert (pool.possible, pool.reread, pool.pooled_A) == (True, 1, None)
    with (
        without_images(labs, "TS_02"),
        pytest.raises(InputError, match=r"species/asymmetric cannot be pooled: no kept sums .* TS_02.*is gone"),
    ):
        merge(labs, "lab-b", {"species/*": "pool"})
    assert labs.repository.is_clean
    assert merge(labs, "lab-b", {"species/*": "pool"}, run=Run(threads=2)).status == "merged"
    assert_as_from_all_images(labs)


def test_maps_that_lie_apart_are_refused_with_numbers(labs: Population) -> None:
    repository = labs.repository
    repository.switch("refs/heads/lab-b", "there")
    one = labs.one_species("asymmetric")
    maps = labs.maps(one)
    moved = {name: np.roll(maps[name], 3, axis=2) if maps[name].ndim == 3 else maps[name] for name in maps}
    labs.stage([one.model_copy(update={"maps_object": labs.write_group(moved), "parent": one.version})])
    labs.commit("Shift the map by three voxels")
    repository.switch("refs/heads/main", "back")
    conflict = conflict_of(labs, "asymmetric")
    assert "pool" not in conflict.ways
    assert conflict.pool is not None
    assert re.match(r"their map lies .* degrees and 1[45]\.\d+ A from ours", conflict.pool.reason)
