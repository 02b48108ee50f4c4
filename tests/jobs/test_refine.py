"""The refine and reconstruct jobs on a small world with known truth: what they find, write, and survive."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from mpop.errors import InputError, NotFoundError, RefinementError, StateError, StoreError
from mpop.jobs import refine_series
from mpop.jobs.demo import import_simulation
from mpop.jobs.evaluate import evaluate
from mpop.jobs.half_map_weights import half_map_weights
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.jobs.reconstruct import reconstruct_species
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.verify import verify
from mpop.networks import denoiser
from mpop.population import Population
from mpop.refinement.priors import Prior
from mpop.run import Run, silent
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import simulate_tilt_series

QUICK = RefineParameters(iterations=1, groups={"image_warp": (2, 2)})


def raw_images(population: Population, item: str) -> list[Path]:
    return [population.raw_path(raw) for raw in population.item(item).raw]


def test_refinement_finds_the_planted_truth_and_writes_what_it_did(tiny_world) -> None:
    population = tiny_world.population
    imported = population.repository.head
    before = {s.id: s for s in population.species().values()}
    result = refine(population, RefineParameters(iterations=2, groups={"image_warp": (2, 2)}), run=Run(threads=2))

    assert result.doubts == []
    assert len(result.commits) == 2
    assert population.repository.head == result.commits[-1]
    assert population.repository.is_clean
    for job in result.jobs:
        assert job.score_before is not None
        assert job.score_after is not None
        assert job.score_after > job.score_before
        assert not job.failed
        assert {"torch", "numpy", "mpop", "python"} <= set(job.software)
    first = population.species(result.commits[0])
    for item in population.items().values():
        # the last iteration refined against the half-maps of the one before
        assert item.species_versions == {one.id: one.version for one in first.values()}
        assert item.job == result.jobs[-1].id
    items = population.items()
    for one in population.species().values():
        assert one.item_versions == {i.id: i.version for i in items.values()}
        assert one.parent == first[one.id].version
        assert first[one.id].parent == before[one.id].version
        assert one.n_particles == before[one.id].n_particles
    assert verify(population).ok

    evaluation = evaluate(population, tiny_world.data / "truth", str(imported), run=Run(threads=2))
    for one in evaluation.species:
        assert one.position_rms_A.before > 4.0
        assert one.position_rms_A.after < 0.6 * one.position_rms_A.before
        assert one.gap_closed > 0.5


def test_same_start_same_result(tiny_world, tmp_path: Path) -> None:
    population = tiny_world.population
    copy = tmp_path / "again"
    subprocess.run(["cp", "-r", str(tiny_world.folder), str(copy)], check=True)
    first = refine(population, QUICK, run=Run(threads=2))
    second = refine(Population.open(copy / "population"), QUICK, run=Run(threads=2))
    assert first.jobs[0].id == second.jobs[0].id
    assert second.jobs[0].score_after == pytest.approx(first.jobs[0].score_after, rel=1e-4)
    versions = [
        {i.name: i.version for i in p.items().values()} for p in (population, Population.open(copy / "population"))
    ]
    assert versions[0] == versions[1]


def test_half_sets_stay_apart(tiny_world) -> None:
    """What half 2 shows has no influence on the half-map 1 that the next pass is compared with."""
    population = tiny_world.population
    reconstruct_species(population, run=Run(threads=2))
    one = next(iter(population.species().values()))
    kept = population.maps(one)["half1"]
    moved = one.model_copy(update={"particles": {}, "derived": {}})
    objects = {}
    for item in one.particles:
        part = population.particles(one, item)
        position = part.position_A.copy()
        position[part.half == 2] += 40.0
        objects[item] = population.write_particles(
            type(part)(part.id, part.half, position, part.angles_deg, part.extra)
        )
    population.stage([moved.model_copy(update={"particles": objects})])
    population.commit("Spoil half 2")
    reconstruct_species(population, run=Run(threads=2))
    again = population.maps(population.one_species(one.name))
    np.testing.assert_array_equal(again["half1"], kept)
    assert not np.allclose(again["half2"], population.maps(one)["half2"])


def test_refuses_uncommitted_changes(tiny_world) -> None:
    population = tiny_world.population
    one = next(iter(population.species().values()))
    population.stage([one.model_copy(update={"name": "renamed"})])
    with pytest.raises(StateError, match="uncommitted changes"):
        refine(population, QUICK)


def test_refuses_to_refine_nothing(tiny_world) -> None:
    with pytest.raises(InputError, match="nothing to refine"):
        refine(
            tiny_world.population,
            RefineParameters(iterations=1, groups={"image_warp": None, "stage_angles": False, "poses": False}),
        )


def test_unknown_names_are_refused(tiny_world) -> None:
    with pytest.raises(NotFoundError, match="no species 'nope'"):
        refine(tiny_world.population, RefineParameters(species=("nope",)))
    with pytest.raises(NotFoundError, match="no source 'nope'"):
        refine(tiny_world.population, RefineParameters(sources=("nope",)))


def test_a_lost_series_is_named_and_the_others_go_on(tiny_world) -> None:
    population = tiny_world.population
    raw_images(population, "TS_02")[3].unlink()
    result = refine(population, QUICK, run=Run(threads=2))
    failed = result.jobs[0].failed
    assert [failure.name for failure in failed] == ["TS_02"]
    assert "TS_02, tilt 4" in failed[0].reason
    assert "is gone" in failed[0].reason
    assert population.item("TS_02").job is None
    assert population.item("TS_01").job == result.jobs[0].id
    for one in population.species().values():
        assert set(one.item_versions) == {population.item("TS_01").id}
        assert set(one.particles) == {i.id for i in population.items().values()}
    assert "failed: TS_02" in population.repository.show().message


def test_when_every_series_is_lost_nothing_is_committed(tiny_world) -> None:
    population = tiny_world.population
    head = population.repository.head
    for name in ("TS_01", "TS_02"):
        path = raw_images(population, name)[0]
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(RefinementError, match=r"no series could be refined.*has changed since"):
        refine(population, QUICK)
    assert population.repository.head == head
    assert population.repository.is_clean


def test_a_full_disk_stops_the_job_and_loses_nothing(tiny_world, monkeypatch: pytest.MonkeyPatch) -> None:
    population = tiny_world.population
    head = population.repository.head

    def full(*args, **kwargs):
        raise StoreError("cannot write to the store: No space left on device")

    monkeypatch.setattr(population, "write_particles", full)
    with pytest.raises(StoreError, match="No space left"):
        refine(population, QUICK, run=Run(threads=2))
    again = Population.open(population.root)
    assert again.repository.head == head
    assert again.repository.is_clean
    assert verify(again).ok


def test_an_interrupt_keeps_what_was_committed(tiny_world, monkeypatch: pytest.MonkeyPatch) -> None:
    population = tiny_world.population
    calls = []
    real = refine_series.optimise

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:  # in the middle of the second iteration
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(refine_series, "optimise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        refine(population, RefineParameters(iterations=3, groups={"image_warp": (1, 1)}), run=Run(threads=2))
    again = Population.open(population.root)
    assert [commit.subject for commit in again.repository.log()] == ["Refine, iteration 1 of 3", "Import"]
    assert again.repository.is_clean
    assert verify(again).ok


def test_kept_sums_make_raw_images_unnecessary_and_can_be_dropped(tiny_world) -> None:
    population = tiny_world.population
    first = reconstruct_species(population, run=Run(threads=2))
    maps = {one.id: population.maps(one) for one in first.species}
    hidden = tiny_world.data / "warp_frameseries"
    hidden.rename(tiny_world.data / "elsewhere")
    second = reconstruct_species(population, run=Run(threads=2))
    for one in second.species:
        np.testing.assert_array_equal(population.maps(one)["half1"], maps[one.id]["half1"])

    for one in second.species:
        for part in one.derived["sums"].values():
            population.objects.path(part["group"]).unlink()
    assert verify(population).ok, "derived objects may be missing"
    with pytest.raises(InputError, match="is gone"):
        reconstruct_species(population, run=Run(threads=2))
    (tiny_world.data / "elsewhere").rename(hidden)
    third = reconstruct_species(population, run=Run(threads=2))
    for one in third.species:
        np.testing.assert_array_equal(population.maps(one)["half1"], maps[one.id]["half1"])


def test_only_what_is_asked_for_is_refined(tiny_world) -> None:
    population = tiny_world.population
    before = {one.name: one for one in population.species().values()}
    chosen, other = sorted(before)
    parameters = RefineParameters(
        iterations=1,
        groups={"image_warp": (2, 2), "stage_angles": False, "poses": False},
        species=(chosen,),
    )
    refine(population, parameters, run=Run(threads=2))
    assert population.one_species(other).version == before[other].version
    one = population.one_species(chosen)
    assert one.particles == before[chosen].particles, "poses were not refined"
    model = population.tilt_series(population.item("TS_01"))
    assert model.grid_movement_x.values.any()
    assert not model.grid_angle_z.values.any()


def test_what_is_not_seen_to_be_off_stays_and_is_named(tiny_world) -> None:
    """A dozen small molecules tell stage angles to a degree or two; 0.3 degrees were planted."""
    population = tiny_world.population
    parameters = RefineParameters(
        iterations=1, groups={"image_warp": None, "poses": False}, species=("asymmetric",)
    )
    (job,) = refine(population, parameters, run=Run(threads=2)).jobs
    assert job.result["series_errors"]["stage_angles_deg"] == 0
    assert "stage angles not seen to be off and kept" in population.repository.show().message
    for item in population.items().values():
        model = population.tilt_series(item)
        assert not any(getattr(model, f"grid_angle_{axis}").values.any() for axis in "xyz")


def test_stage_angles_alone_are_refined_where_they_are_seen_to_be_off(tmp_path: Path) -> None:
    parameters = SimulationParameters(
        series=2,
        tilts=11,
        particles=12,
        image_size=256,
        pixel_size_A=5.0,
        seed=3,
        stage_angle_rms_deg=4.0,
        image_warp_rms_A=1.0,
        pose_shift_rms_A=0.5,
        pose_angle_rms_deg=0.5,
    )
    population, _ = import_simulation(tmp_path / "population", simulate_tilt_series(tmp_path / "data", parameters))
    refine(
        population, RefineParameters(iterations=1, groups={"image_warp": None, "poses": False}), run=Run(threads=2)
    )
    for item in population.items().values():
        model = population.tilt_series(item)
        assert not model.grid_movement_x.values.any()
        planted = np.load(tmp_path / "data" / "truth" / f"{item.name}.npz")["stage_angles_deg"]
        found = np.stack([getattr(model, f"grid_angle_{axis}").values.ravel() for axis in "xyz"], axis=1)
        left = found - planted
        # a turn that all tilts share is one of the particles
        assert np.std(left, axis=0).mean() < 0.6 * np.std(planted, axis=0).mean()


@pytest.fixture(scope="module")
def noise_population(tmp_path_factory: pytest.TempPathFactory) -> Population:
    """Tilt images without particles, and a table that claims some."""
    folder = tmp_path_factory.mktemp("noise")
    parameters = SimulationParameters(
        series=1, tilts=11, particles=12, image_size=256, pixel_size_A=5.0, seed=9, signal=0.0
    )
    summary = simulate_tilt_series(folder / "data", parameters)
    population = Population.init(folder / "population")
    add_source(population, "noise", folder / "data" / "warp_tiltseries.settings")
    for one in summary.species:
        stem = folder / "data" / "species" / one.name
        maps = [f"{stem}_{kind}.mrc" for kind in ("half1", "half2", "mask")]
        table = f"{stem}_particles.star"
        add_species(population, one.name, *maps, table, one.diameter_A, one.symmetry, force=True)
    population.commit("Import")
    return population


def test_nothing_is_committed_where_no_series_shows_a_species(noise_population: Population) -> None:
    imported = noise_population.repository.head
    with pytest.raises(RefinementError, match="none of 1 series shows a signal of any species"):
        refine(noise_population, QUICK, run=Run(threads=2))
    assert noise_population.repository.head == imported


def test_noise_gives_no_resolution(noise_population: Population) -> None:
    """References from elsewhere must not appear in half-maps of pure noise."""
    result = reconstruct_species(noise_population, run=Run(threads=2))
    for one in result.species:
        assert one.resolution_A is None or one.resolution_A > 40
        fsc = noise_population.maps(one)["fsc"]
        shells = fsc.shape[1]
        spread = np.abs(fsc[2, 4:])  # unmasked: independent Fourier components
        assert spread.mean() < 3 / math.sqrt(2 * math.pi * 4**2)
        assert abs(fsc[2, 4:].mean()) < 0.1, shells


@pytest.mark.parametrize("prior", get_args(Prior))
def test_every_prior_refines_tilt_series(tiny_world, prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = denoiser.fitting
    monkeypatch.setattr(
        denoiser, "fitting", lambda *given: whole(*given).model_copy(update={"steps": 5, "width": 4})
    )
    population = tiny_world.population
    imported = population.repository.head
    result = refine(
        population, QUICK.model_copy(update={"prior": prior, "species": ("asymmetric",)}), run=Run(threads=2)
    )
    (job,), (species,) = result.jobs, result.species
    assert job.parameters.get("prior", "fsc") == prior
    assert not job.failed
    assert job.score_before is not None
    assert job.score_after is not None
    assert job.score_after > job.score_before
    assert (species.denoiser_object is not None) == (prior == "denoise")
    evaluation = evaluate(population, tiny_world.data / "truth", str(imported), run=Run(threads=2))
    (found,) = [one for one in evaluation.species if one.name == "asymmetric"]
    assert found.position_rms_A.after < 0.7 * found.position_rms_A.before
    assert verify(population).ok


def test_a_denoiser_goes_on_from_where_it_was(tiny_world, monkeypatch: pytest.MonkeyPatch) -> None:
    population = tiny_world.population
    asked: list[bool] = []
    whole = denoiser.fitting

    def short(options: denoiser.DenoiseOptions, box: int, continued: bool = False) -> denoiser.DenoiseOptions:
        asked.append(continued)
        return whole(options, box, continued).model_copy(update={"steps": 3, "width": 4})

    monkeypatch.setattr(denoiser, "fitting", short)
    refine(
        population,
        QUICK.model_copy(update={"iterations": 2, "prior": "denoise", "species": ("asymmetric",)}),
        run=Run(threads=2),
    )
    assert asked == [False, True]


def test_weights_of_imported_half_maps_are_those_that_a_reconstruction_keeps(tiny_world) -> None:
    population = tiny_world.population
    species = population.one_species("asymmetric")
    lost = raw_images(population, "TS_02")
    imported = half_map_weights(population, species, silent)
    assert not imported.warnings
    reconstruct_species(population, run=Run(threads=2))
    species = population.one_species("asymmetric")
    for path in lost:
        path.unlink()
    kept = half_map_weights(population, species, silent)
    for one, other in zip(imported.halves, kept.halves, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_lost_series_weigh_nothing_before_the_first_iteration(tiny_world) -> None:
    population = tiny_world.population
    raw_images(population, "TS_02")[0].unlink()
    result = refine(population, QUICK.model_copy(update={"prior": "isotropic"}), run=Run(threads=2))
    (job,) = result.jobs
    assert [failure.name for failure in job.failed] == ["TS_02"]
    names = sorted(one.name for one in population.species().values())
    told = [line for line in job.warnings if "could be weighed" in line]
    assert [line.split(", the prior")[0] for line in sorted(told)] == [
        f"TS_02: not all of its views of {name} could be weighed" for name in names
    ]
    assert all("is gone" in line for line in told)
