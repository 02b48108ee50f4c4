"""Stacks of extracted particles: from RELION's table into a population, refined there, and back."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from mpop.collisions.finding import find
from mpop.doubts import DoubtfulInputError
from mpop.errors import InputError, StateError
from mpop.formats.stack_tables import read_stack_table
from mpop.formats.star import read_star, write_star
from mpop.importing.relion import item_names
from mpop.jobs import refine_pass
from mpop.jobs.export_stacks import export_relion
from mpop.jobs.halfmaps import SeriesState
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.reproduce import reproduce
from mpop.jobs.verify import verify
from mpop.maps.fsc import fsc_report
from mpop.population import Population
from mpop.records.stack import StackModel
from mpop.refinement.references import prepare_species
from mpop.refinement.series import SeriesScore
from mpop.refinement.stack import PoseSearch, refine_stack
from mpop.requests.check import search_collisions
from mpop.requests.claims import offered_species
from mpop.simulation.stacks import StackParameters, simulate_stack

PIXEL_A, BOX, DIAMETER_A = 4.0, 48, 120.0
PLANTED = StackParameters(
    particles=120, box=BOX, pixel_size_A=PIXEL_A, signal_to_noise=0.5, initial_resolution_A=12.0, per_micrograph=30
)


@dataclass(frozen=True)
class Stack:
    """A simulated stack, and a population with it and one species, committed."""

    data: Path
    population: Population


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("stack")
    simulate_stack(folder / "data", PLANTED)
    population = Population.init(folder / "population")
    add_source(population, "images", folder / "data/particles.star")
    add(population, folder / "data")
    population.commit("Import")
    return Stack(folder / "data", population)


@pytest.fixture
def stack(simulated: Stack, tmp_path: Path) -> Stack:
    """A copy that a test may change."""
    shutil.copytree(simulated.data.parent, tmp_path / "copy")
    return Stack(tmp_path / "copy/data", Population.open(tmp_path / "copy/population"))


def add(population: Population, data: Path, particles: Path | None = None, name: str = "molecule") -> list[str]:
    """Add the simulated species; returns the warnings."""
    maps = [data / f"{name}.mrc" for name in ("half1", "half2", "mask")]
    return add_species(
        population, name, *maps, particles or data / "particles.star", diameter_A=DIAMETER_A
    ).warnings


def test_poses_of_other_images_are_doubted_and_the_right_ones_are_not(stack: Stack) -> None:
    """A table whose rows were sorted without their angles."""
    stack.population.stage([], remove=list(stack.population.species().values()))
    assert add(stack.population, stack.data) == []
    stack.population.stage([], remove=list(stack.population.species().values()))
    blocks = read_star(stack.data / "particles.star")
    table = blocks["particles"]
    poses = [name for name in table.columns if name.startswith(("rlnAngle", "rlnOrigin"))]
    table[poses] = np.roll(table[poses].to_numpy(), 7, axis=0)
    write_star(stack.data / "mixed.star", blocks)
    with pytest.raises(DoubtfulInputError, match=r"fit the maps no better in their poses than in those of others"):
        add(stack.population, stack.data, stack.data / "mixed.star")


def errors(table: Path, truth: Path) -> tuple[float, float]:
    """RMS errors of the poses in a table: degrees and A."""
    found, true = read_stack_table(table), read_stack_table(truth)
    assert np.array_equal(found.image, true.image)
    assert found.angles_deg is not None
    assert true.angles_deg is not None
    a, b = (Rotation.from_euler("ZYZ", angles, degrees=True) for angles in (found.angles_deg, true.angles_deg))
    angle = np.rad2deg((a.inv() * b).magnitude())
    shift = np.linalg.norm(found.origin_A - true.origin_A, axis=1)
    return float(np.sqrt(np.square(angle).mean())), float(np.sqrt(np.square(shift).mean()))


def edited(data: Path, **columns: object) -> Path:
    """A table beside the simulated one, with other values in some columns of its particles; None takes one out."""
    blocks = read_star(data / "particles.star")
    for name, value in columns.items():
        if value is None:
            blocks["particles"] = blocks["particles"].drop(columns=name)
        else:
            blocks["particles"][name] = value
    write_star(data / "edited.star", blocks)
    return data / "edited.star"


def test_a_stack_is_one_item_whose_model_is_the_optics(simulated: Stack) -> None:
    population = simulated.population
    (source,) = population.sources().values()
    (item,) = population.items().values()
    assert (source.type, source.pixel_size_A, source.image_shape) == ("particle-stack", PIXEL_A, (BOX, BOX))
    assert [raw.path for raw in item.raw] == ["../data/particles.mrcs"]
    table, model = read_stack_table(simulated.data / "particles.star"), population.model(item)
    assert np.allclose(model.defocus_um, table.defocus_um)
    assert np.allclose(model.defocus_delta_um, table.defocus_delta_um)
    assert model.optics[0].amplitude_contrast == PLANTED.amplitude_contrast
    (species,) = population.species().values()
    assert np.array_equal(population.particles(species, item.id).half, table.half)
    with pytest.raises(StateError, match="no tilt series"):
        population.tilt_series(item)


def test_what_goes_in_comes_out(simulated: Stack, tmp_path: Path) -> None:
    (written,) = export_relion(simulated.population, tmp_path / "out")
    first, again = read_stack_table(simulated.data / "particles.star"), read_stack_table(written)
    assert (again.files, again.pixel_size_A) == (first.files, first.pixel_size_A)
    for name in ("image", "half", "optics"):
        assert np.array_equal(getattr(again, name), getattr(first, name)), name
    for name in ("angles_deg", "origin_A", "defocus_um", "defocus_delta_um", "defocus_angle_deg"):
        assert np.abs(getattr(again, name) - getattr(first, name)).max() < 2e-6, name
    assert again.extra["rlnMicrographName"] == first.extra["rlnMicrographName"]


def test_refinement_finds_the_planted_poses_and_can_be_run_again(stack: Stack, tmp_path: Path) -> None:
    truth = stack.data / "truth/particles.star"
    start = errors(stack.data / "particles.star", truth)
    before = {one.name: one for one in stack.population.species().values()}["molecule"]
    result = refine(stack.population, RefineParameters(iterations=2, search_deg=4.0, search_A=4.0))
    (written,) = export_relion(stack.population, tmp_path / "out")
    angle, shift = errors(written, truth)
    assert result.doubts == []
    assert start[0] > 2.5
    assert angle < 0.75 * start[0]
    assert shift < 0.5 * start[1]
    after = {one.name: one for one in stack.population.species().values()}["molecule"]
    (item,) = stack.population.items().values()
    assert after.item_versions == {item.id: item.version}
    assert result.jobs[0].parameters["search_deg"] == 4.0
    off = result.jobs[0].result["pose_errors"]["molecule"]
    assert off["angle_deg"] == pytest.approx(PLANTED.pose_angle_rms_deg / np.sqrt(3), rel=0.15)
    assert off["shift_A"] == pytest.approx(PLANTED.pose_shift_rms_A / np.sqrt(2), rel=0.15)
    assert "prior" not in result.jobs[0].parameters  # as it always was
    was, now = (stack.population.particles(one, item.id) for one in (before, after))
    assert np.array_equal(was.id, now.id)
    assert np.array_equal(was.half, now.half)
    assert verify(stack.population).ok
    assert reproduce(stack.population, result.commits[0]).is_identical


def test_poses_that_make_half_maps_worse_are_not_committed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def scatter(population: Population, state: SeriesState, *_: object) -> tuple[SeriesState, SeriesScore]:
        rng, moved = np.random.default_rng(1), {}
        for species, particles in state.particles.items():
            turned = particles.angles_deg + rng.normal(0, 30, particles.angles_deg.shape)
            moved[species] = replace(particles, angles_deg=turned)
        objects = {species: population.write_particles(particles) for species, particles in moved.items()}
        return replace(state, particles=moved, particle_objects=objects), SeriesScore([100.0], [200.0], 1)

    imported = stack.population.repository.head
    monkeypatch.setattr(refine_pass, "move_stack", scatter)
    with pytest.raises(DoubtfulInputError, match=r"species molecule: .*(standard errors below|at no resolution)"):
        refine(stack.population, RefineParameters(iterations=1))
    assert stack.population.repository.head == imported


def test_a_particle_sees_its_own_half_map_only(simulated: Stack) -> None:
    population = simulated.population
    (item,), (species,) = population.items().values(), population.species().values()
    model, particles, maps = (
        population.model(item),
        population.particles(species, item.id),
        population.maps(species),
    )
    assert isinstance(model, StackModel)
    report = fsc_report(maps["half1"], maps["half2"], maps["mask"], PIXEL_A)
    reference = prepare_species(maps["half1"], maps["half2"], maps["mask"], report, DIAMETER_A, PIXEL_A)
    assert reference is not None
    first, second = reference.halves
    other = replace(reference, halves=(first, replace(second, values=-second.values[:, ::-1].copy())))
    load, search = population.image_loader(item, model), PoseSearch(4.0, 4.0)
    found = [
        refine_stack(load, model, particles, one, 1.0, PIXEL_A, particles, search).particles.angles_deg
        for one in (reference, other)
    ]
    assert np.array_equal(found[0][particles.half == 1], found[1][particles.half == 1])
    assert not np.allclose(found[0][particles.half == 2], found[1][particles.half == 2])


def test_missing_half_sets_follow_from_the_images(stack: Stack) -> None:
    table = edited(stack.data, rlnRandomSubset=None)
    stack.population.stage([], remove=list(stack.population.species().values()))
    warnings = add(stack.population, stack.data, table)
    assert "no half-sets" in warnings[0]
    (species,) = stack.population.species().values()
    (item,) = stack.population.items().values()
    half = stack.population.particles(species, item.id).half
    assert 0.3 < (half == 1).mean() < 0.7


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"rlnRandomSubset": 2}, "all particles are in half-set 2"),
        ({"rlnRandomSubset": 3}, "_rlnRandomSubset is 3 in row 1, expected 1 or 2"),
        ({"rlnAngleRot": None}, "has no column _rlnAngleRot"),
        (
            {"rlnAngleRot": None, "rlnAngleTilt": None, "rlnAnglePsi": None},
            "no _rlnAngleRot, _rlnAngleTilt, _rlnAnglePsi; refine its images first",
        ),
        ({"rlnAngleTilt": float("nan")}, "_rlnAngleTilt is not a number in rows 1, 2"),
        (
            {"rlnImageName": [f"{n + 501:06d}@particles.mrcs" for n in range(120)]},
            "120 of 120 images are in no stack",
        ),
    ],
)
def test_wrong_particles_are_one_clear_line(stack: Stack, columns: dict[str, object], message: str) -> None:
    table = edited(stack.data, **columns)
    with pytest.raises(InputError, match=message) as refused:
        add(stack.population, stack.data, table, "other")
    assert "\n" not in str(refused.value)
    assert stack.population.repository.is_clean


def test_optics_groups_that_differ_in_all_but_the_pixel_size_come_back(stack: Stack, tmp_path: Path) -> None:
    """As RELION has them: by number, in any order, with a group that no image uses."""
    blocks = read_star(stack.data / "particles.star")
    blocks["optics"] = pd.concat([blocks["optics"]] * 3, ignore_index=True).assign(
        rlnOpticsGroup=[7, 2, 4], rlnVoltage=[300.0, 200.0, 300.0], rlnAmplitudeContrast=[0.1, 0.1, 0.07]
    )
    group = np.resize([2, 7, 7], len(blocks["particles"]))
    blocks["particles"] = blocks["particles"].assign(rlnOpticsGroup=group, rlnHelicalTubeID=3)
    write_star(stack.data / "edited.star", blocks)
    population = Population.init(tmp_path / "other")
    add_source(population, "images", stack.data / "edited.star")
    add(population, stack.data, stack.data / "edited.star")
    population.commit("Import")
    (written,) = export_relion(population, tmp_path / "out")
    again = read_stack_table(written)
    assert np.array_equal(again.optics[:, 0], np.where(group == 2, 200.0, 300.0))
    assert again.extra["rlnHelicalTubeID"] == [3] * len(again)


def test_images_of_several_pixel_sizes_are_a_source_each(stack: Stack, tmp_path: Path) -> None:
    blocks = read_star(stack.data / "particles.star")
    blocks["optics"] = pd.concat([blocks["optics"]] * 2, ignore_index=True).assign(
        rlnOpticsGroup=[1, 2], rlnImagePixelSize=[4.0, 4.1]
    )
    blocks["particles"]["rlnOpticsGroup"] = np.resize([1, 2], len(blocks["particles"]))
    write_star(stack.data / "edited.star", blocks)
    population = Population.init(stack.data.parent / "other")
    with pytest.raises(InputError, match=r"images of 4 and of 4\.1 A/px; add a source for each"):
        add_source(population, "images", stack.data / "edited.star")
    for name in ("1", "2"):
        assert add_source(population, name, stack.data / "edited.star", optics_groups=[name]).images == 60
    assert [population.source(name).pixel_size_A for name in ("1", "2")] == [4.0, 4.1]
    first, second = population.items().values()
    assert first.id != second.id
    assert first.raw[0].hash == second.raw[0].hash  # parts of one file
    assert add(population, stack.data, stack.data / "edited.star") == []
    (species,) = population.species().values()
    assert sorted(len(population.particles(species, item)) for item in (first.id, second.id)) == [60, 60]
    population.commit("Import")
    assert verify(population).ok
    (written,) = export_relion(population, tmp_path / "out")
    again, before = read_stack_table(written), read_stack_table(stack.data / "edited.star")
    order = np.argsort(again.image)
    assert np.array_equal(again.optics_group[order], before.optics_group)
    assert np.allclose(again.origin_A[order], before.origin_A, atol=2e-6)


def test_names_of_images_count_from_the_project(stack: Stack) -> None:
    """RELION's names do, wherever in it the table is."""
    job = stack.data / "Refine3D/job012"
    job.mkdir(parents=True)
    table = edited(stack.data)
    table.rename(job / "run_data.star")
    population = Population.init(stack.data.parent / "other")
    assert add_source(population, "images", job / "run_data.star").images == PLANTED.particles


def test_particles_of_a_stack_do_not_collide(simulated: Stack) -> None:
    assert find(simulated.population).items == []
    (item,) = simulated.population.items().values()
    with pytest.raises(InputError, match="none can collide"):
        find(simulated.population, items=[item.name])


def test_an_offer_of_a_stack_brings_no_collisions(stack: Stack) -> None:
    """Though all its particles are near the middle of an image."""
    population = stack.population
    before = population.repository.head
    add(population, stack.data, edited(stack.data, rlnOriginXAngst=0.0), "again")
    after = population.commit("Offer the same as another species")
    assert before is not None
    offer = offered_species(population, "again", after, before)
    assert [one.particles for one in offer.series] == [PLANTED.particles]
    assert not search_collisions(population, after, before, [offer]).report.items


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"rlnBeamTiltX": 0.3}, "beam tilt, which mpop does not model; use --ignore-aberrations"),
        ({"rlnImageName": "000500@particles.mrcs"}, "is in several rows"),
        ({"rlnImageName": "particles.mrcs"}, "expected NUMBER@FILE"),
        ({"rlnDefocusU": None}, "has a column _rlnDefocusU"),
        ({"rlnCtfDataArePhaseFlipped": 1}, "phase-flipped"),
        ({"rlnCoordinateZ": 4.0}, "lie in tomograms"),
        ({"rlnImageName": [f"{n + 2:06d}@particles.mrcs" for n in range(120)]}, "image 121 of .* that holds 120"),
        ({"rlnDefocusAngle": "none"}, "_rlnDefocusAngle is not a number in rows 1, 2"),
    ],
)
def test_a_wrong_table_is_one_clear_line(stack: Stack, columns: dict[str, object], message: str) -> None:
    population = Population.init(stack.data.parent / "other")
    with pytest.raises(InputError, match=message):
        add_source(population, "images", edited(stack.data, **columns))
    assert not population.sources()


def test_images_that_are_not_there_are_named(stack: Stack) -> None:
    population = Population.init(stack.data.parent / "other")
    (stack.data / "particles.mrcs").rename(stack.data / "elsewhere.mrcs")
    with pytest.raises(InputError, match=r"no file particles\.mrcs in .*--images"):
        add_source(population, "images", stack.data / "particles.star")


def test_a_changed_stack_is_not_refined(stack: Stack) -> None:
    with (stack.data / "particles.mrcs").open("r+b") as file:
        file.seek(5000)
        file.write(b"\x00" * 64)
    with pytest.raises(InputError, match="has changed since it was imported"):
        refine(stack.population, RefineParameters(iterations=1))


def test_names_of_stacks_differ() -> None:
    assert item_names(["a/x.mrcs", "a/y.mrcs"]) == ["x", "y"]
    assert item_names(["a/x.mrcs", "b/x.mrcs"]) == ["a-x", "b-x"]
