"""A simulated stack: what its files say, against its images and maps by other means."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from mpop.errors import InputError
from mpop.formats.images import read_map
from mpop.formats.star import read_star
from mpop.geometry.euler import euler_to_matrix
from mpop.maps.fsc import fsc_report
from mpop.optics.ctf import ctf_images
from mpop.records.tilt_series import CTFModel
from mpop.simulation.stacks import StackParameters, simulate_stack
from mpop.simulation.views import viewing_angles

SMALL = StackParameters(particles=24, box=48, pixel_size_A=4.0, per_micrograph=9, seed=5)


def hashes(directory: Path) -> dict[str, str]:
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack without noise."""
    folder = tmp_path_factory.mktemp("stacks") / "silent"
    simulate_stack(folder, replace(SMALL, signal_to_noise=math.inf))
    return folder


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stacks") / "noisy"
    simulate_stack(folder, SMALL)
    return folder


def images_of(folder: Path) -> np.ndarray:
    with mrcfile.open(folder / "particles.mrcs") as mrc:
        assert mrc.is_image_stack() and mrc.data is not None
        assert mrc.voxel_size.x == pytest.approx(SMALL.pixel_size_A)
        return mrc.data.copy()


def test_images_are_projections_of_the_true_map_with_the_ctf_of_the_table(silent: Path) -> None:
    """Rotation by splines in real space, the sum along z, then shift and CTF in Fourier space."""
    truth, pixel = read_map(silent / "truth" / "map.mrc")
    assert pixel == SMALL.pixel_size_A
    box = len(truth)
    images = images_of(silent)
    table = read_star(silent / "truth" / "particles.star")["particles"]
    k = np.stack(np.meshgrid(np.fft.rfftfreq(box), np.fft.fftfreq(box), indexing="xy"), axis=-1)
    low = np.hypot(k[..., 0], k[..., 1]) < 0.3  # beyond, interpolation of the map in real space is poor
    low[0, 0] = False  # images end where the CTF's tails do not
    for i in range(0, len(table), 5):
        row = table.iloc[i]
        angles = torch.tensor(row[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float))
        turn = euler_to_matrix(angles).numpy()[::-1, ::-1]  # axes of the array are z, y, x
        back = turn.T
        centre = np.full(3, box // 2)
        line = affine_transform(truth, back, centre - back @ centre, order=3).sum(axis=0)
        at = -row[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float) / pixel
        ctf = ctf_images(
            CTFModel(300.0, 2.7, 0.1, 1.0, 0.0, 0.0),
            np.array([(row.rlnDefocusU + row.rlnDefocusV) / 2e4]),
            np.array([(row.rlnDefocusU - row.rlnDefocusV) / 1e4]),
            np.array([row.rlnDefocusAngle]),
            np.zeros(1),
            box,
            pixel,
        )[0]
        expected = np.fft.rfft2(line) * np.exp(-2j * np.pi * (k @ at)) * ctf * low
        found = np.fft.rfft2(images[i]) * low
        assert np.linalg.norm(expected - found) < 0.1 * np.linalg.norm(found)
        along = (found * expected.conj()).real.sum() / np.square(np.abs(expected)).sum()
        assert along == pytest.approx(1.0, abs=0.02)


def test_noise_is_white_and_as_strong_as_asked_for(silent: Path, noisy: Path) -> None:
    truth = json.loads((noisy / "truth" / "truth.json").read_text())
    still = json.loads((silent / "truth" / "truth.json").read_text())
    signal = images_of(silent) * (truth["phase_scale"] / still["phase_scale"])
    noise = images_of(noisy) - signal
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    axis = (np.arange(SMALL.box) - SMALL.box // 2) * SMALL.pixel_size_A
    disc = np.hypot(axis[:, None], axis) <= truth["diameter_A"] / 2
    assert signal[:, disc].var(axis=1).mean() == pytest.approx(SMALL.signal_to_noise, rel=1e-3)
    power = np.square(np.abs(np.fft.rfft2(noise))).mean(axis=0) / SMALL.box**2
    assert power[1:, 1:12].mean() == pytest.approx(power[1:, 12:24].mean(), rel=0.05)
    neighbour = (noise[:-1] * noise[1:]).mean(axis=(1, 2))
    assert np.abs(neighbour).max() < 0.1


def test_planted_errors_and_tables(noisy: Path) -> None:
    summary = json.loads((noisy / "truth" / "truth.json").read_text())
    assert summary["planted_angle_rms_deg"] == pytest.approx(SMALL.pose_angle_rms_deg, rel=0.3)
    assert summary["planted_shift_rms_A"] == pytest.approx(SMALL.pose_shift_rms_A, rel=0.3)
    start = read_star(noisy / "particles.star")
    true = read_star(noisy / "truth" / "particles.star")["particles"]
    table = start["particles"]
    posed = [column for column in table if (table[column] != true[column]).any()]
    assert posed == ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"]
    assert sorted(table["rlnRandomSubset"]) == [1] * 12 + [2] * 12
    assert table["rlnMicrographName"].value_counts().tolist() == [9, 9, 6]
    assert table["rlnImageName"][23] == "000024@particles.mrcs"
    assert start["optics"]["rlnImagePixelSize"].item() == SMALL.pixel_size_A


def test_starting_maps_have_the_resolution_asked_for(noisy: Path) -> None:
    half1, half2, mask = (read_map(noisy / f"{name}.mrc")[0] for name in ("half1", "half2", "mask"))
    resolution = fsc_report(half1, half2, mask, SMALL.pixel_size_A).resolution_A
    assert resolution == pytest.approx(SMALL.initial_resolution_A, rel=0.15)
    reference = read_map(noisy / "reference.mrc")[0]
    np.testing.assert_allclose(reference, (half1 + half2) / 2, atol=1e-6 * np.abs(half1).max())


def test_preferred_views_lie_in_the_cone_and_others_anywhere() -> None:
    chosen = StackParameters(particles=20_000, preferred_spread_deg=30.0, others=0.1)
    angles = viewing_angles(chosen, chosen.particles, np.random.default_rng(0))
    inside = angles[:, 1] < 30.0
    cap = (1 - math.cos(math.radians(30))) / 2
    assert inside.mean() == pytest.approx(0.9 + 0.1 * cap, abs=0.01)
    # a uniform cap has uniform cosines
    cosines = np.cos(np.deg2rad(angles[inside, 1]))
    assert cosines.mean() == pytest.approx((1 + math.cos(math.radians(30))) / 2, abs=1e-3)
    uniform = viewing_angles(StackParameters(), 20_000, np.random.default_rng(0))
    assert np.cos(np.deg2rad(uniform[:, 1])).mean() == pytest.approx(0.0, abs=0.02)


def test_the_same_seed_gives_the_same_bytes(noisy: Path, tmp_path: Path) -> None:
    simulate_stack(tmp_path / "again", SMALL)
    assert hashes(tmp_path / "again") == hashes(noisy)
    simulate_stack(tmp_path / "other", replace(SMALL, seed=6))
    changed = hashes(tmp_path / "other")
    assert {path for path, digest in hashes(noisy).items() if changed[path] == digest} <= {"mask.mrc"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": 20}, "asymmetric is 116 A across, an image 80 A: enlarge the box"),
        ({"box": 33}, "box: 33; it must be even, and 16 or more"),
        ({"others": 1.5}, "others: 1.5; it must be from 0 to 1"),
        ({"signal_to_noise": 0.0}, "signal to noise: 0.0; it must be above 0"),
        ({"initial_resolution_A": 5.0}, "at least three pixels"),
        ({"particles": 1}, "two half-sets"),
    ],
)
def test_wrong_parameters_say_what_is_wrong(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate_stack(tmp_path / "new", replace(SMALL, **change))
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path: Path) -> None:
    start = [sys.executable, "-c", "from mpop.cli.main import main; main()", "-C", str(tmp_path)]
    small = ["--particles", "4", "--box", "32", "--angpix", "4", "--preferred-spread", "20", "--seed", "2"]
    done = subprocess.run(
        [*start, "simulate", "stack", "new", *small, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["particles"] == 4
    assert read_star(tmp_path / "new" / "truth" / "particles.star")["particles"]["rlnAngleTilt"].max() < 20
    again = subprocess.run([*start, "simulate", "stack", "new"], capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "not an empty folder" in again.stderr
