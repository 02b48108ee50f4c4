"""Examples: measured as a turned particle is, and restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mpop.maps.directions import centred
from mpop.maps.restoration import restore
from mpop.maps.transfer import TransferModel
from mpop.networks.examples import examples, matrix_of, turned
from mpop.networks.rotations import CUBE_ROTATIONS, turn
from tests.support.uneven_maps import GAP_DEG, frequencies, uneven_maps

BOX = 24
AXIS = np.array([0.2, 0.5, 0.84])


def banded(axis: np.ndarray, box: int = BOX) -> TransferModel:
    """Measured near the plane across an axis (x, y, z)."""
    k = np.fft.fftfreq(box)
    z, y, x = np.meshgrid(k, k, np.arange(box // 2 + 1) / box, indexing="ij")
    amplitude = np.exp(-60 * np.square(axis[0] * x + axis[1] * y + axis[2] * z)).astype(np.float32)
    return TransferModel(amplitude, amplitude / 3, 2 * amplitude + 1, np.ones(box // 2 + 1), box // 2)


@pytest.mark.parametrize("rotation", CUBE_ROTATIONS)
def test_a_model_turned_and_cubes_turned_back_meet(rotation: tuple) -> None:
    model = banded(AXIS)
    found = turned(model, matrix_of(rotation))
    back = turn(torch.from_numpy(centred(found.amplitude, BOX)), rotation).numpy()
    # reversing an axis of even length moves the origin by one
    back = np.roll(back, [int(axis in rotation[1]) for axis in range(3)], axis=(0, 1, 2))
    assert np.allclose(back[1:, 1:, 1:], centred(model.amplitude, BOX)[1:, 1:, 1:], atol=1e-6)


def test_any_rotation_takes_the_axis_along() -> None:
    matrix = Rotation.from_euler("ZYZ", [20, 50, -70], degrees=True).as_matrix()
    found = turned(banded(AXIS), matrix)
    expected = banded(matrix.T @ AXIS)
    k = np.fft.fftfreq(BOX)
    inside = k[:, None, None] ** 2 + k[:, None] ** 2 + (np.arange(BOX // 2 + 1) / BOX) ** 2 < 0.45**2
    assert np.abs(found.amplitude - expected.amplitude)[inside].max() < 0.1
    assert np.abs(found.noise - expected.noise)[inside].max() < 0.2


def test_examples_have_the_density_but_not_in_the_gap() -> None:
    maps = uneven_maps()
    restoration, _ = restore(maps.half1, maps.half2, maps.mask, 22)
    x_for_z = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    upright, lying = examples(maps.truth.astype(np.float32), restoration, maps.mask, [np.eye(3), x_for_z], seed=1)
    assert maps.agreement(upright, poor=False) > 0.95
    # the gap of what was measured lying is around x: directions around z are good there
    assert maps.agreement(upright, poor=True) < maps.agreement(lying, poor=True) - 0.03
    angle, radius = frequencies()
    near_z = (angle < GAP_DEG - 15) & (radius > 4) & (radius < 20)
    spectrum, truth = np.fft.rfftn(lying)[near_z], np.fft.rfftn(maps.truth)[near_z]
    assert np.sum(spectrum * truth.conj()).real > 0.9 * np.linalg.norm(spectrum) * np.linalg.norm(truth)
