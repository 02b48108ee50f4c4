"""Directional resolution as a job: what it says about maps whose directions are known, files, and a commit."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch
from example_population import make_population
from noisy_directions import half_maps

from mpop.errors import InputError
from mpop.formats.star import read_star
from mpop.geometry.euler import euler_to_matrix
from mpop.jobs.maps.directional import (
    by_shell,
    directional_resolution,
    directional_resolution_of_species,
    finding,
    numbers,
    verdict,
    write_files,
    write_star_file,
)
from mpop.jobs.maps.fsc import finding as fsc_finding
from mpop.jobs.maps.fsc import half_map_fsc
from mpop.jobs.maps.input import HalfMaps, from_species
from mpop.jobs.verify import verify
from mpop.maps.fsc import fsc


def maps(seed: int, noise_along_z: float, masked: bool = True) -> HalfMaps:
    half1, half2, mask = half_maps(seed, noise_along_z)
    return HalfMaps("ball", half1, half2, mask if masked else None, 2.0)


def test_isotropic_maps_are_told_to_be() -> None:
    result = directional_resolution(maps(1, 1.0))
    said, found = verdict(result), numbers(result)
    assert said.tone == "good"
    assert said.sentence.startswith("No significant anisotropy: ")
    assert not found["significant"]
    assert found["area_ratio"] > 0.85
    assert found["sphericity"] > 0.95
    best, worst = found["by_chance_A"]
    assert 0.9 * best < found["by_direction"]["best_A"] < found["resolution_A"]
    assert found["resolution_A"] < found["by_direction"]["worst_A"] < 1.1 * worst


def test_poor_directions_are_found_and_named() -> None:
    result = directional_resolution(maps(1, 30.0))
    said, found = verdict(result), numbers(result)
    assert said.tone == "bad"
    assert said.sentence.startswith("Strong anisotropy: ")
    assert found["significant"]
    assert abs(found["by_direction"]["worst_direction_xyz"][2]) > 0.7
    assert abs(found["by_direction"]["best_direction_xyz"][2]) < 0.7
    assert found["area_ratio"] < 0.5
    assert found["sphericity"] < 0.9
    assert found["bingham_uneven_from_A"] is not None
    json.dumps(found, allow_nan=False)


def test_a_little_more_noise_is_slight() -> None:
    result = directional_resolution(maps(1, 2.0))
    assert verdict(result).sentence.startswith("Slight anisotropy: ")
    assert verdict(result).tone == "warn"


def test_noise_has_no_direction() -> None:
    random = np.random.default_rng(0)
    halves = random.standard_normal((2, 32, 32, 32), dtype=np.float32)
    result = directional_resolution(HalfMaps("noise", halves[0], halves[1], None, 2.0))
    assert verdict(result).sentence.startswith("No signal: ")
    assert "resolution_A" not in numbers(result)
    assert any("no mask" in warning for warning in numbers(result)["warnings"])


@pytest.mark.parametrize(
    ("mask", "warning"),
    [
        (np.ones((32, 32, 32), dtype=np.float32), "mask of noise: keeps 100 % of the box: it masks nothing"),
        (np.pad(np.ones((4, 4, 4), dtype=np.float32), 14), "mask of noise: is above one half in 64 voxels only"),
    ],
)
def test_masks_that_are_of_no_use_are_named_by_both_commands(mask: np.ndarray, warning: str) -> None:
    first, second = np.random.default_rng(0).standard_normal((2, 32, 32, 32), dtype=np.float32)
    given = HalfMaps("noise", first, second, mask, 2.0)
    for warnings in (
        numbers(directional_resolution(given))["warnings"],
        fsc_finding(half_map_fsc(given)).numbers["warnings"],
    ):
        assert any(one.startswith(warning) for one in warnings)
    assert not any("mask" in one for one in numbers(directional_resolution(maps(1, 1.0)))["warnings"])


def test_over_all_directions_it_is_the_fsc() -> None:
    given = maps(2, 3.0)
    assert given.mask is not None
    result = directional_resolution(given)
    expected = fsc(given.half1 * given.mask, given.half2 * given.mask, 2.0)
    # the last shell lacks the Nyquist planes here
    np.testing.assert_allclose(result.conical.whole[:-1], expected.correlation[:-1], atol=1e-5)
    np.testing.assert_allclose(by_shell(result)["frequency_1_per_A"], expected.frequency)


def test_files_hold_the_volume_and_the_curves(tmp_path: Path) -> None:
    result = directional_resolution(maps(1, 3.0))
    assert [path.name for path in write_files(finding(result), tmp_path)] == [
        "fsc3d.mrc",
        "directions.csv",
        "shells.csv",
    ]
    with mrcfile.open(tmp_path / "fsc3d.mrc") as mrc:
        assert mrc.data is not None
        assert mrc.data.shape == (48, 48, 48)
        assert float(mrc.voxel_size.x) == pytest.approx(2.0)
        assert mrc.data[24, 24, 24] == 1.0
        mirrored = mrc.data[:0:-1, :0:-1, :0:-1]
        np.testing.assert_allclose(mrc.data[1:, 1:, 1:], mirrored, atol=1e-6)
        assert mrc.data[24, 24, 44] > mrc.data[44, 24, 24]  # x is better than z
    directions = pd.read_csv(tmp_path / "directions.csv")
    np.testing.assert_allclose(directions.filter(like="fsc_"), result.conical.correlation, atol=1e-5)
    np.testing.assert_allclose(directions["resolution_A"], 1 / result.crossings, rtol=1e-5)
    shells = pd.read_csv(tmp_path / "shells.csv")
    assert list(shells["occupancy"][:3]) == [1, 1, 1]
    assert len(shells) == 25


def test_the_star_file_has_the_angles_that_relion_turns_by(tmp_path: Path) -> None:
    result = directional_resolution(maps(1, 3.0), volume=False)
    tables = read_star(write_star_file(finding(result), tmp_path))
    curve, directions = tables["fsc"], tables["directions"]
    np.testing.assert_allclose(curve["rlnFourierShellCorrelationMaskedMaps"], result.conical.whole, atol=1e-6)
    np.testing.assert_allclose(curve["rlnAngstromResolution"][1:], 1 / result.conical.frequency[1:], rtol=1e-5)
    angles = torch.tensor(directions.assign(psi=0.0)[["rlnAngleRot", "rlnAngleTilt", "psi"]].to_numpy())
    views = euler_to_matrix(angles)[:, 2]  # what images of these angles look along
    np.testing.assert_allclose(views, result.conical.rings.directions, atol=1e-5)
    np.testing.assert_allclose(directions["rlnAngstromResolution"], 1 / result.crossings, atol=1e-5)


def test_a_species_gets_a_commit_once(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    species = next(iter(population.species().values()))
    _, commit = directional_resolution_of_species(population, from_species(population, species.name))
    assert commit == population.repository.head
    job = next(one for one in population.jobs().values() if one.verb == "fsc3d")
    assert job.result["half_angle_deg"] == 20.0
    assert job.result_object is not None
    assert population.read_group(job.result_object)["fsc3d"].shape[0] == job.result["box"]
    assert verify(population).problems == []
    _, again = directional_resolution_of_species(population, from_species(population, species.name))
    assert again is None


@pytest.mark.parametrize("angle", [0.0, 91.0, float("nan")])
def test_an_angle_that_is_none_is_refused(angle: float) -> None:
    with pytest.raises(InputError, match="a cone's half angle must be from 1 to 90 degrees"):
        directional_resolution(maps(1, 1.0), angle)


def test_a_box_that_is_too_small_is_refused() -> None:
    first, second = np.random.default_rng(0).standard_normal((2, 4, 4, 4), dtype=np.float32)
    with pytest.raises(InputError, match="tiny: a box of 4 voxels has too few Fourier shells"):
        directional_resolution(HalfMaps("tiny", first, second, None, 2.0))
