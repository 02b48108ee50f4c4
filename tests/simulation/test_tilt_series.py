"""A whole simulated project, read back through the formats and the geometry that refinement uses."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import torch

from mpop.errors import InputError
from mpop.formats.images import read_image, read_map
from mpop.formats.tomostar import read_tomostar
from mpop.formats.warp_settings import read_settings
from mpop.formats.warp_xml import read_notes, read_tilt_series
from mpop.geometry.euler import euler_to_matrix
from mpop.geometry.tilt import TiltGeometry
from mpop.records.tilt_series import TiltSeriesModel
from mpop.run import Run
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import SimulationSummary, simulate_tilt_series


def hashes(directory: Path) -> dict[str, str]:
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def image_paths(directory: Path, series: str) -> list[Path]:
    movies = read_tomostar(directory / "tomostar" / f"{series}.tomostar").movies
    return [(directory / "tomostar" / m).resolve().parent / "average" / Path(m).name for m in movies]


def model_of(directory: Path, series: str) -> TiltSeriesModel:
    content = (directory / "warp_tiltseries" / f"{series}.xml").read_bytes()
    return read_tilt_series(content, series, (1.0, 1.0), (1.0, 1.0, 1.0))


def test_the_same_seed_gives_the_same_bytes(
    project: SimulationSummary, small: SimulationParameters, tmp_path: Path
) -> None:
    again = simulate_tilt_series(tmp_path / "again", small)
    assert hashes(again.directory) == hashes(project.directory)
    assert again.planted_position_rms_A == project.planted_position_rms_A
    other = simulate_tilt_series(tmp_path / "other", replace(small, seed=4, series=1))
    changed = hashes(other.directory)
    same = {path for path, digest in hashes(project.directory).items() if changed.get(path) == digest}
    assert same <= {
        "warp_tiltseries.settings",
        *(f"truth/{s.name}_map.mrc" for s in project.species),
        *(f"species/{s.name}_mask.mrc" for s in project.species),
    }


def test_files_are_those_of_warp(project: SimulationSummary, small: SimulationParameters) -> None:
    directory = project.directory
    settings = read_settings(directory / "warp_tiltseries.settings")
    assert settings.pixel_size_A == small.pixel_size_A
    assert (settings.data_folder, settings.processing_folder) == ("tomostar", "warp_tiltseries")
    assert settings.volume_dims_px == (192, 192, 200)
    for series in project.series:
        model = model_of(directory, series)
        table = read_tomostar(directory / "tomostar" / f"{series}.tomostar")
        np.testing.assert_allclose(table.table["wrpAngleTilt"], model.angles_deg, atol=1e-6)
        np.testing.assert_allclose(table.table["wrpDose"], model.exposure, atol=1e-6)
        assert sorted(model.exposure) == [small.exposure * i for i in range(small.tilts)]
        assert model.image_dims_A == (960.0, 960.0)
        assert not model.grid_movement_x.values.any() and not model.grid_angle_y.values.any()
        xml = (directory / "warp_tiltseries" / f"{series}.xml").read_bytes()
        assert read_notes(xml, series).movies == table.movies
        for path in image_paths(directory, series):
            assert read_image(path).shape == (192, 192)
            with mrcfile.open(path, header_only=True) as mrc:
                assert mrc.voxel_size.x == pytest.approx(small.pixel_size_A)


def test_nominal_files_mean_to_the_geometry_package_what_the_truth_says(project: SimulationSummary) -> None:
    """STAR and XML, read back and projected by the code that refinement uses, against the simulator's own."""
    for series in project.series:
        truth = np.load(project.directory / "truth" / f"{series}.npz")
        model = model_of(project.directory, series)
        for species in project.species:
            star = project.directory / "species" / f"{species.name}_particles.star"
            blocks = starfile.read(star, always_dict=True)
            rows = blocks["particles"][blocks["particles"].rlnMicrographName == f"{series}.tomostar"]
            pixel = float(blocks["optics"].rlnImagePixelSize.iloc[0])
            position = rows[[f"rlnCoordinate{axis}" for axis in "XYZ"]].to_numpy() * pixel
            angles = rows[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
            pose = euler_to_matrix(torch.as_tensor(angles)[:, None])
            seen = TiltGeometry(model).project(torch.as_tensor(position)[:, None], pose)
            error = seen.position_A.numpy() - truth[f"{species.name}/nominal_projected_A"]
            assert np.abs(error).max() < 1e-4
            # true rotations differ from nominal ones by the planted 2.5 and 0.3 degrees and nothing else
            turned = seen.rotation.numpy() @ np.swapaxes(truth[f"{species.name}/rotation"], -1, -2)
            cosine = (np.trace(turned, axis1=2, axis2=3) - 1) / 2
            assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).max() < 10.0


def test_particles_are_dark_where_the_truth_says_and_as_strong_as_noise_allows(
    project: SimulationSummary, small: SimulationParameters
) -> None:
    """Mean over all particles and tilts of the image around the true place, against places at random."""
    pixel, radius = small.pixel_size_A, 8
    around: list[float] = []
    elsewhere: list[float] = []
    rng = np.random.default_rng(0)
    for series in project.series:
        truth = np.load(project.directory / "truth" / f"{series}.npz")
        images = [read_image(path) for path in image_paths(project.directory, series)]
        for tilt, image in enumerate(images):
            scaled = (image - image.mean()) / image.std()
            assert image.mean() == pytest.approx(image.var(), rel=0.1)  # counting noise
            true = truth["asymmetric/projected_A"][:, tilt] / pixel
            for places, values in ((true, around), (rng.uniform(radius, 192 - radius, true.shape), elsewhere)):
                for x, y in np.rint(places).astype(int):
                    if radius <= min(x, y) and max(x, y) < 192 - radius:
                        values.append(float(scaled[y - radius : y + radius, x - radius : x + radius].mean()))
    sigma = 1 / (2 * radius)
    assert np.mean(around) < -5 * sigma / np.sqrt(len(around))
    assert np.mean(around) > -4 * sigma  # a single image stays mostly noise
    assert np.mean(elsewhere) - np.mean(around) > 4 * sigma / np.sqrt(len(around))


def test_without_signal_there_is_noise_only(small: SimulationParameters, tmp_path: Path) -> None:
    summary = simulate_tilt_series(tmp_path / "noise", replace(small, signal=0.0, series=1, tilts=3))
    for path in image_paths(summary.directory, "TS_01"):
        image = read_image(path)
        power = np.square(np.abs(np.fft.rfft2(image - image.mean()))) / image.size / image.var()
        k = np.hypot(np.fft.fftfreq(192)[:, None], np.fft.rfftfreq(192))
        for low, high in ((0.01, 0.1), (0.1, 0.3), (0.3, 0.5)):
            ring = power[(k > low) & (k <= high)]
            assert ring.mean() == pytest.approx(1.0, abs=5 / np.sqrt(len(ring)))


def test_truth_is_complete(project: SimulationSummary, small: SimulationParameters) -> None:
    summary = json.loads((project.directory / "truth" / "truth.json").read_text())
    assert summary["parameters"]["seed"] == small.seed
    assert summary["planted_position_rms_A"] == pytest.approx(project.planted_position_rms_A)
    assert [s["name"] for s in summary["species"]] == ["ferritin-like", "asymmetric"]
    truth = np.load(project.directory / "truth" / "TS_01.npz")
    assert truth["image_warp_A"].shape == (7, 5, 5, 2)
    assert truth["stage_angles_deg"].shape == (7, 3)
    assert truth["asymmetric/projected_A"].shape == (6, 7, 2)
    assert truth["asymmetric/rotation"].shape == (6, 7, 3, 3)
    assert truth["asymmetric/defocus_um"].shape == (6, 7)
    volume, pixel_size = read_map(project.directory / "truth" / "asymmetric_map.mrc")
    assert pixel_size == pytest.approx(5.0) and volume.max() > 3.0  # volts over the solvent


def test_a_folder_with_something_in_it_is_left_alone(small: SimulationParameters, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        simulate_tilt_series(tmp_path, small)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_simulation_leaves_nothing(small: SimulationParameters, tmp_path: Path) -> None:
    def interrupt(task: str, done: int, total: int) -> None:
        if task == "tilt images" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_tilt_series(tmp_path / "new", small, Run(progress=interrupt))
    assert os.listdir(tmp_path) == []
