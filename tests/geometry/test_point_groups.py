"""Point groups: what a group must be, and that its axes lie where RELION puts them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mpop.errors import InputError
from mpop.geometry.euler import euler_to_matrix
from mpop.geometry.symmetry import NAMES, symmetry_matrices

ORDER = {"C1": 1, "C3": 3, "D1": 2, "D2": 4, "D7": 14, "T": 12, "O": 24}
ORDER |= {name: 60 for name in ("I", "I1", "I2", "I3", "I4")}

# (rot, tilt, psi) of operators that generate the group between them, as printed by
# `relion_refine --sym NAME --print_symmetry_ops` (RELION 3.1.3)
RELION_OPERATORS = {
    "C3": [(0, 0, 120)],
    "D2": [(0, 0, -180), (0, 180, 180)],
    "D7": [(0, 0, -154.286), (0, 180, -128.571)],
    "T": [(0, 0, 120), (90, 109.471, 90), (-30, 109.471, 90)],
    "O": [(0, 90, 90), (90, 90, 180), (0, 0, 90)],
    "I": [(0, 0, -180), (-58.2825, 36, 121.717), (20.9052, 60, -159.095)],
    "I1": [(0, 180, 180), (-148.283, 108, 31.7175), (110.905, 60, -69.0948)],
    "I2": [(0, 0, -180), (-58.2825, 36, 121.717), (20.9052, 60, -159.095)],
    "I3": [(180, 63.4349, 0), (0, 0, 72), (108, 63.4349, 0)],
    "I4": [(0, 63.4349, 180), (-72, 63.4349, 108), (36, 116.565, -144)],
}


def distance_to_group(matrices: np.ndarray, group: np.ndarray) -> float:
    """Largest distance of any matrix to the element of the group that is next to it."""
    return float(np.abs(matrices[:, None] - group[None]).max(axis=(2, 3)).min(axis=1).max())


@pytest.mark.parametrize(("name", "order"), ORDER.items())
def test_is_a_group_of_rotations(name: str, order: int) -> None:
    group = symmetry_matrices(name)
    assert group.shape == (order, 3, 3)
    np.testing.assert_array_equal(group[0], np.eye(3))
    np.testing.assert_allclose(
        group @ group.transpose(0, 2, 1), np.broadcast_to(np.eye(3), group.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(group), 1.0, atol=1e-12)
    products = (group[:, None] @ group[None]).reshape(-1, 3, 3)
    assert distance_to_group(products, group) < 1e-10
    different = np.abs(group[:, None] - group[None]).max(axis=(2, 3)) + 9 * np.eye(order)
    assert different.min() > 0.1


@pytest.mark.parametrize("name", RELION_OPERATORS)
def test_holds_the_operators_of_relion(name: str) -> None:
    operators = euler_to_matrix(torch.tensor(RELION_OPERATORS[name], dtype=torch.float64)).numpy()
    assert distance_to_group(operators, symmetry_matrices(name)) < 1e-5


@pytest.mark.parametrize(
    ("name", "fold", "axis"),
    [
        ("D7", 2, (1, 0, 0)),
        ("T", 3, (0, 0, 1)),
        ("T", 2, (0, np.sqrt(2 / 3), np.sqrt(1 / 3))),
        ("O", 4, (1, 0, 0)),
        ("O", 4, (0, 0, 1)),
        ("O", 3, (1, 1, 1)),
        ("I1", 2, (0, 0, 1)),
        ("I1", 5, (0, 1, 1.618034)),
        ("I2", 2, (0, 0, 1)),
        ("I2", 5, (1, 0, 1.618034)),
        ("I3", 5, (0, 0, 1)),
        ("I3", 5, (-2, 0, 1)),
        ("I4", 5, (0, 0, 1)),
        ("I4", 5, (2, 0, 1)),
    ],
)
def test_axes(name: str, fold: int, axis: tuple[float, float, float]) -> None:
    """Exactly `fold` operators of the group leave the axis where it is."""
    unit = np.array(axis) / np.linalg.norm(axis)
    fixed = np.abs(symmetry_matrices(name) @ unit - unit).max(axis=1) < 1e-6
    assert fixed.sum() == fold


def test_i3_and_i4_differ() -> None:
    assert distance_to_group(symmetry_matrices("I3"), symmetry_matrices("I4")) > 0.1


def test_names_do_not_care_for_case_or_blanks() -> None:
    np.testing.assert_array_equal(symmetry_matrices(" d7 "), symmetry_matrices("D7"))


@pytest.mark.parametrize("name", ["", "C", "C0", "D-1", "C1.5", "X", "I5", "TD", "OH", "C2v"])
def test_unknown_names_are_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(InputError, match="is not known; use one of") as caught:
        symmetry_matrices(name)
    assert NAMES in str(caught.value)


@given(order=st.integers(1, 60))
def test_cyclic_groups_turn_by_equal_angles(order: int) -> None:
    group = symmetry_matrices(f"C{order}")
    steps = np.arange(order) * 2 * np.pi / order
    np.testing.assert_allclose(group[:, 0, 0], np.cos(steps), atol=1e-12)
    np.testing.assert_allclose(group[:, 1, 0], np.sin(steps), atol=1e-12)
    np.testing.assert_array_equal(group[:, :, 2], np.tile([0.0, 0.0, 1.0], (order, 1)))
