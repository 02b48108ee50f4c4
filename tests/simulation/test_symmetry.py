"""Point groups and finding RELION's frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpop.errors import InputError
from mpop.geometry.symmetry import symmetry_matrices
from mpop.simulation.symmetry import group_rotations, orientation

ORDERS = {"C1": 1, "C7": 7, "D2": 4, "D7": 14, "T": 12, "O": 24, "I": 60, "I1": 60, "I2": 60}


def same_set(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    distance = np.abs(a[:, None] - b[None]).max(axis=(2, 3))
    return len(a) == len(b) and bool((distance.min(axis=1) < tolerance).all())


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_groups_have_their_order_and_agree_with_the_geometry_package(name: str, order: int) -> None:
    group = group_rotations(name)
    assert len(group) == order
    assert np.array_equal(group[0], np.eye(3))
    np.testing.assert_allclose(np.linalg.det(group), 1.0, atol=1e-12)
    assert same_set(group, symmetry_matrices(name), 1e-9)


@pytest.mark.parametrize("name", ["", "C0", "X", "D", "I5", "O2"])
def test_unknown_groups_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be simulated"):
        group_rotations(name)


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(sorted(ORDERS)), seed=st.integers(0, 2**32 - 1))
def test_a_turned_group_is_brought_back(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn = Rotation.random(rng=rng).as_matrix()
    group = group_rotations(name)
    wobble = Rotation.from_rotvec(rng.normal(0, np.deg2rad(0.1), (len(group), 3))).as_matrix()
    found = rng.permutation(turn @ (wobble @ group) @ turn.T)
    back = orientation(found, name)
    np.testing.assert_allclose(back @ back.T, np.eye(3), atol=1e-9)
    assert same_set(back @ found @ back.T, group, 0.03)


def test_copies_that_are_not_the_group_are_refused() -> None:
    with pytest.raises(InputError, match="not arranged as D2"):
        orientation(group_rotations("C4"), "D2")
