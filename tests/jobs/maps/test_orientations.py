"""Viewing directions of tables and species, and what is wrong with a table in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_population import make_population, model, particle_set
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.formats.star import read_star, write_star
from mpop.jobs.maps.orientations import (
    Geometry,
    measure,
    orientations_of_species,
    orientations_of_table,
    series_views,
    table_views,
)
from mpop.jobs.verify import verify
from mpop.maps.sampling import Views, fibonacci_sphere
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel, ParticleSet

PARTICLE = Geometry(150.0, 5.0, "C1")


def table(path: Path, **columns: object) -> Path:
    n = 40
    random = np.random.default_rng(2)
    angles = {"rlnAngleRot": random.uniform(-180, 180, n), "rlnAngleTilt": random.uniform(0, 180, n)}
    rows = pd.DataFrame({**angles, "rlnAnglePsi": np.zeros(n), **columns})
    write_star(path, {"particles": rows.drop(columns=[name for name, value in columns.items() if value is None])})
    return path


def unturned(n: int = 3) -> ParticleSet:
    """Particles whose axes are those of the tomogram."""
    return dataclasses.replace(particle_set(1, n), angles_deg=np.zeros((n, 1, 3)))


def normals(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    return direction * np.sign(direction[:, 2:])


def test_a_tilt_series_is_a_fan_about_the_tilt_axis() -> None:
    found = series_views(model(), unturned(), 0.1)
    assert len(found) == 9
    tilts = np.rad2deg(np.arccos(np.clip(np.abs(found.direction[:, 2]), 0, 1)))
    assert np.allclose(np.sort(tilts), [0, 0, 0, 30, 30, 30, 30, 30, 30], atol=1e-6)
    fan = normals(found.direction)
    axis = np.cross(fan[0], fan[2])
    assert np.allclose(fan @ axis, 0, atol=1e-9)
    # stage rotation about y, then the image is turned: the axis is y in the tomogram
    assert np.allclose(np.abs(axis) / np.linalg.norm(axis), [0, 1, 0], atol=1e-9)


def test_a_particle_turned_with_the_stage_is_seen_alike() -> None:
    """Turning the particle turns its views, all by one rotation: angles among them stay."""
    turned = dataclasses.replace(unturned(), angles_deg=np.full((3, 1, 3), [20.0, 50.0, -70.0]))
    before, after = (series_views(model(), one, 0.1).direction for one in (unturned(), turned))
    assert not np.allclose(before, after, atol=0.1)
    assert np.allclose(before @ before.T, after @ after.T)


def test_unused_tilts_do_not_count_and_exposure_does() -> None:
    without = dataclasses.replace(model(), use=np.array([True, False, True]))
    assert len(series_views(without, unturned(), 0.1)) == 6
    weights = series_views(model(), unturned(1), 0.1).weight
    # exposures 3, 0 and 6 e/A^2 with B = 4 A^2 each, at 10 A; the square of an amplitude, and of cos 30 degrees
    expected = np.array([0.75 * np.exp(-2 * 3 * 0.01), 1.0, 0.75 * np.exp(-2 * 6 * 0.01)])
    assert weights == pytest.approx(expected)
    fine = series_views(model(), unturned(1), 0.3).weight
    assert fine[2] / fine[0] < weights[2] / weights[0]


def test_a_particle_of_a_stack_is_seen_once_along_its_own_direction() -> None:
    held = dataclasses.replace(particle_set(1, 2), angles_deg=np.array([[[0, 0, 5]], [[90, 90, 5.0]]]))
    zero, indices = np.zeros(2), np.arange(2)
    optics = (CTFModel(),)
    stack = StackModel(
        "a.mrcs", indices, held.id, zero, zero, zero, zero, zero, zero + 1, zero.astype(int), optics, (64.0, 64.0)
    )
    found = series_views(stack, held, 0.1)
    assert np.allclose(found.direction, [[0, 0, 1], [0, 1, 0]])
    assert np.array_equal(found.weight, [1, 1])


def test_a_species_takes_all_its_tilt_images_and_is_committed(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    done, commit = orientations_of_species(population, "ribosome")
    assert commit == population.repository.head
    assert done.numbers["images"] == 8 * 3
    assert np.count_nonzero(done.arrays["views_on_sphere"]) > 1
    job = next(iter(population.jobs().values()))
    assert (job.verb, job.result["images"], job.result["particles"]) == ("orientations", 24, 8)
    assert job.result_object is not None
    arrays = population.read_group(job.result_object)
    assert arrays["sampling"].shape == (len(arrays["sampling_direction"]),)
    assert verify(population).problems == []
    again, nothing = orientations_of_species(population, "ribosome")
    assert nothing is None
    assert again.numbers == done.numbers
    assert population.repository.head == commit, "the same figures are not committed twice"


def test_a_table_gives_the_figures_of_its_directions(tmp_path: Path) -> None:
    path = table(tmp_path / "few.star")
    found = orientations_of_table(path, PARTICLE).numbers()
    assert (found["name"], found["images"], found["particles"], found["shell_A"]) == ("few", 40, 40, 5.0)
    assert found == measure("few", table_views(read_star(path), path), 40, PARTICLE).numbers()
    assert not found["even"]
    assert found["verdict"].startswith("Views are missing: ")
    assert found["sampling_lowest"] == 0


def test_verdicts() -> None:
    even = measure("even", Views(fibonacci_sphere(5000), np.ones(5000)), 5000, PARTICLE)
    assert even.even
    assert even.verdict == "Views cover all directions (SCF* 1.00)."
    crowded = np.concatenate([fibonacci_sphere(2000), np.tile([[0.0, 0.0, 1.0]], (20_000, 1))])
    uneven = measure("crowded", Views(crowded, np.ones(len(crowded))), len(crowded), PARTICLE)
    assert not uneven.even
    assert uneven.verdict.startswith("Uneven: the least sampled direction has ")
    _, tilt = uneven.numbers()["psf_worst_direction"]
    assert tilt < 5 or tilt > 175, "a point is drawn out along the view that all share"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"rlnAngleTilt": None}, "no block with the columns _rlnAngleRot and _rlnAngleTilt"),
        ({"rlnAngleRot": None}, "no block with the columns _rlnAngleRot and _rlnAngleTilt"),
        ({"rlnTomoName": "TS_1"}, "its rows are particles in tomograms, and the tilts that show them are not"),
        ({"rlnAngleRot": [*[1.0] * 39, "x"]}, "_rlnAngleRot or _rlnAngleTilt is not a number in row 40"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, columns: dict, message: str) -> None:
    path = table(tmp_path / "p.star", **columns)
    with pytest.raises(InputError, match=f"p.star: {message}"):
        table_views(read_star(path), path)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1.0, 5.0, "C1"), "--diameter -1: give a number greater than 0"),
        ((150.0, 0.0, "C1"), "--resolution 0: give a number greater than 0"),
        ((150.0, 5.0, "C1", float("nan")), "--b-factor nan: give a number greater than 0"),
        ((150.0, 100.0, "C1"), "a resolution of 100 A hardly resolves a particle of 150 A"),
    ],
)
def test_what_is_wrong_with_the_geometry_is_named(numbers: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Geometry(*numbers)


@pytest.mark.parametrize(("pixel_A", "shell_A"), [(None, 3.0), (1.0, 3.0), (4.0, 8.0)])
def test_without_a_resolution_the_shell_is_one_that_the_images_reach(
    tmp_path: Path, pixel_A: float | None, shell_A: float
) -> None:
    particles = pd.DataFrame({"rlnAngleRot": [0.0, 90.0], "rlnAngleTilt": [90.0, 90.0]})
    blocks = {"particles": particles}
    if pixel_A is not None:
        blocks = {"optics": pd.DataFrame({"rlnImagePixelSize": [pixel_A]})} | blocks
    write_star(tmp_path / "p.star", blocks)
    geometry = Geometry(150.0, None, "C1")
    assert orientations_of_table(tmp_path / "p.star", geometry).numbers()["shell_A"] == pytest.approx(shell_A)
    asked = dataclasses.replace(geometry, resolution_A=5.0)
    assert orientations_of_table(tmp_path / "p.star", asked).numbers()["shell_A"] == 5.0
