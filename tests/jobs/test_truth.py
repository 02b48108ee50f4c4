"""Distances between parameters and truth: what they ignore, and what they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpop.errors import InputError
from mpop.jobs.truth import position_rms, read_truth, rotation_rms


@pytest.fixture
def rotations() -> np.ndarray:
    """(500, 3, 3) in all directions."""
    return Rotation.random(500, rng=4).as_matrix()


def test_a_shift_of_the_map_frame_is_no_error(rotations: np.ndarray) -> None:
    rows = rotations[:, :2]
    true = np.random.default_rng(0).uniform(0, 2000, (500, 2))
    shift = np.array([3.0, -2.0, 5.0])
    assert position_rms(true + rows @ shift, true, rows) < 1e-9


def test_a_shift_in_the_images_is_an_error(rotations: np.ndarray) -> None:
    """The same shift in every image is none of the map: particles look in all directions."""
    true = np.zeros((500, 2))
    assert position_rms(true + np.array([3.0, 4.0]), true, rotations[:, :2]) == pytest.approx(5.0, rel=0.02)


def test_position_noise_is_measured(rotations: np.ndarray) -> None:
    rows = rotations[:, :2]
    noise = np.random.default_rng(1).normal(0, 2.0, (500, 2))
    measured = position_rms(noise + rows @ np.array([10.0, 0.0, -7.0]), np.zeros((500, 2)), rows)
    assert measured == pytest.approx(2.0 * np.sqrt(2), rel=0.05)


def test_a_turn_of_the_map_frame_is_no_error(rotations: np.ndarray) -> None:
    turn = Rotation.from_rotvec([10.0, -20.0, 5.0], degrees=True).as_matrix()
    assert rotation_rms((rotations @ turn)[:, :2], rotations[:, :2]) < 1e-5


def test_rotation_noise_is_measured(rotations: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    axes = rng.normal(size=(500, 3))
    angles = rng.normal(0, 2.5, 500)
    noise = Rotation.from_rotvec(angles[:, None] * axes / np.linalg.norm(axes, axis=1)[:, None], degrees=True)
    measured = rotation_rms((rotations @ noise.as_matrix())[:, :2], rotations[:, :2])
    assert measured == pytest.approx(np.sqrt(np.mean(angles**2)), rel=0.01)


def test_a_folder_without_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"TS_01\.npz: no such file; is .* the truth folder"):
        read_truth(tmp_path, ["TS_01"])
