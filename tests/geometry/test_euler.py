"""Euler angles against the matrix written out, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from mpop.geometry.euler import axis_rotation, euler_to_matrix, matrix_to_euler, unwound, vector_rotation

degrees = st.floats(-720, 720, allow_nan=False, width=32)


def written_out(rot: float, tilt: float, psi: float) -> Tensor:
    """RELION's A, element by element."""
    ca, cb, cg = (math.cos(math.radians(angle)) for angle in (rot, tilt, psi))
    sa, sb, sg = (math.sin(math.radians(angle)) for angle in (rot, tilt, psi))
    return torch.tensor(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ],
        dtype=torch.float64,
    )


@given(rot=degrees, tilt=degrees, psi=degrees)
def test_matrix_is_relions(rot: float, tilt: float, psi: float) -> None:
    found = euler_to_matrix(torch.tensor([rot, tilt, psi], dtype=torch.float64))
    torch.testing.assert_close(found, written_out(rot, tilt, psi), rtol=0, atol=1e-12)


@given(rot=degrees, tilt=degrees, psi=degrees)
def test_angles_of_a_matrix_give_the_matrix(rot: float, tilt: float, psi: float) -> None:
    matrix = written_out(rot, tilt, psi)
    angles = matrix_to_euler(matrix)
    assert 0 <= angles[1] <= 180
    torch.testing.assert_close(euler_to_matrix(angles), matrix, rtol=0, atol=3e-9)  # next to a pole rot is 0


@given(rot=st.floats(-179, 179), tilt=st.floats(1, 179), psi=st.floats(-179, 179))
def test_angles_away_from_the_poles_come_back(rot: float, tilt: float, psi: float) -> None:
    angles = torch.tensor([rot, tilt, psi], dtype=torch.float64)
    torch.testing.assert_close(matrix_to_euler(euler_to_matrix(angles)), angles, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("angles", "expected"),
    [((30.0, 0.0, 25.0), (0.0, 0.0, 55.0)), ((30.0, 180.0, 25.0), (0.0, 180.0, -5.0))],
)
def test_poles(angles: tuple[float, ...], expected: tuple[float, ...]) -> None:
    matrix = euler_to_matrix(torch.tensor(angles, dtype=torch.float64))
    wanted = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(matrix_to_euler(matrix), wanted, rtol=0, atol=1e-6)


def test_any_leading_dimensions_and_dtype() -> None:
    angles = torch.rand(2, 5, 3, dtype=torch.float32) * 100
    matrices = euler_to_matrix(angles)
    assert matrices.shape == (2, 5, 3, 3)
    assert matrices.dtype == torch.float32
    torch.testing.assert_close(matrices[1, 3], euler_to_matrix(angles[1, 3]))
    assert matrix_to_euler(matrices).shape == (2, 5, 3)


@given(seed=st.integers(0, 10**6), samples=st.integers(1, 12))
def test_a_trajectory_comes_back_from_its_matrices_across_poles_and_turns(seed: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.uniform([-180, 1, -180], [180, 179, 180], (4, 1, 3))
    planted = np.concatenate([first, first + rng.uniform(-40, 40, (4, samples, 3)).cumsum(1)], axis=1)
    for angles in (planted, torch.as_tensor(planted)):
        found = unwound(matrix_to_euler(euler_to_matrix(angles)))
        np.testing.assert_allclose(np.asarray(found), planted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("step", "expected"), [(179.8, 179.8), (180.3, -179.7), (-179.8, -179.8), (539.9, 179.9)])
def test_an_angle_takes_the_shorter_way_to_within_a_fraction_of_a_degree(step: float, expected: float) -> None:
    trajectory = np.array([[[0.0, 90.0, 0.0], [step, 90.0, 0.0]]])
    np.testing.assert_allclose(unwound(trajectory)[0, 1], [expected, 90.0, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    ("axis", "before", "after"),
    [(0, (0, 1, 0), (0, 0, 1)), (1, (0, 0, 1), (1, 0, 0)), (2, (1, 0, 0), (0, 1, 0))],
)
def test_axis_rotation_is_active_and_right_handed(axis: int, before: tuple, after: tuple) -> None:
    quarter = axis_rotation(axis, torch.tensor(90.0, dtype=torch.float64))
    turned = quarter @ torch.tensor(before, dtype=torch.float64)
    torch.testing.assert_close(turned, torch.tensor(after, dtype=torch.float64), rtol=0, atol=1e-15)


@given(length=st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 90.0, 180.0, 500.0]), seed=st.integers(0, 99))
def test_rotation_about_a_vector_is_scipys(length: float, seed: int) -> None:
    direction = np.random.default_rng(seed).normal(size=3)
    vector = length * direction / np.linalg.norm(direction)
    expected = torch.as_tensor(Rotation.from_rotvec(vector, degrees=True).as_matrix())
    torch.testing.assert_close(vector_rotation(torch.as_tensor(vector)), expected, rtol=0, atol=1e-14)


def test_gradients() -> None:
    angles = torch.tensor([[10.0, 20.0, 30.0], [-50.0, 170.0, 80.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(euler_to_matrix, angles, eps=1e-4, atol=1e-8)
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda angle: axis_rotation(1, angle), zero, eps=1e-4, atol=1e-8)
    vectors = torch.tensor([[0.0, 0.0, 0.0], [1e-6, 0.0, 0.0], [20.0, -90.0, 5.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(vector_rotation, vectors.requires_grad_(), eps=1e-4, atol=1e-8)
