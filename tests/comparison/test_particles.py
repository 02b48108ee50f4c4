"""Shifts and rotations of particles: planted ones are found, equivalent orientations are the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from example_population import particle_set
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpop.comparison import compare_particles, summarise
from mpop.comparison.particles import rotation_between
from mpop.errors import InputError
from mpop.geometry.euler import euler_to_matrix, matrix_to_euler
from mpop.geometry.symmetry import symmetry_matrices
from mpop.records import ParticleSet

ANGLES = st.tuples(st.floats(-180, 180), st.floats(0, 180), st.floats(-180, 180)).map(np.array)
GROUPS = st.sampled_from(["C1", "C2", "C5", "D2", "D7", "T", "O", "I1", "I3"])


def turned(angles_deg: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Orientations A by, with `by` (3, 3) in the frame of the map."""
    return matrix_to_euler(euler_to_matrix(torch.as_tensor(angles_deg)) @ torch.as_tensor(by)).numpy()


def with_angles(particles: ParticleSet, angles_deg: np.ndarray) -> ParticleSet:
    return replace(particles, angles_deg=angles_deg)


def test_planted_shift_and_rotation_are_found() -> None:
    before = particle_set(0, 101)
    by = Rotation.from_rotvec(np.deg2rad(3.0) * np.array([0.6, 0.0, 0.8])).as_matrix()
    after = replace(
        before, position_A=before.position_A + np.array([3.0, 0.0, -4.0]), angles_deg=turned(before.angles_deg, by)
    )
    change = summarise([compare_particles(before, after, "C1")])
    assert (change.before, change.after, change.moved, change.added, change.removed) == (101, 101, 101, 0, 0)
    assert change.shift_A is not None and change.rotation_deg is not None
    assert change.shift_A.median == pytest.approx(5.0) and change.shift_A.largest == pytest.approx(5.0)
    assert change.rotation_deg.median == pytest.approx(3.0) and change.rotation_deg.largest == pytest.approx(3.0)


def test_median_and_largest_are_of_those_that_moved() -> None:
    before = particle_set(1, 10)
    shift = np.zeros((10, 1, 3))
    shift[[2, 5, 7], 0, 1] = [1.0, 2.0, 9.0]
    change = summarise([compare_particles(before, replace(before, position_A=before.position_A + shift), "C1")])
    assert change.moved == 3 and change.shift_A is not None
    assert (change.shift_A.median, change.shift_A.largest) == pytest.approx((2.0, 9.0))


def test_rows_are_matched_by_id_not_by_order() -> None:
    before = particle_set(2, 20)
    order = np.random.default_rng(0).permutation(20)[3:]
    columns = {name: getattr(before, name)[order] for name in ("id", "half", "position_A", "angles_deg")}
    columns["half"][0] = 3 - columns["half"][0]
    change = summarise([compare_particles(before, ParticleSet(**columns), "C1")])
    assert (change.moved, change.removed, change.added, change.changed_half) == (0, 3, 0, 1)
    assert not change.is_none


def test_a_series_may_appear_and_vanish() -> None:
    particles = particle_set(3, 6)
    parts = [compare_particles(None, particles, "C1"), compare_particles(particles, None, "C1")]
    change = summarise(parts)
    assert (change.added, change.removed, change.before, change.after) == (6, 6, 6, 6)
    assert change.shift_A is None and summarise([]).is_none


def test_trajectories_of_different_length_meet_in_the_middle() -> None:
    before = particle_set(4, 5)
    path = before.position_A + np.arange(-1.0, 2.0)[None, :, None] * [2.0, 0, 0]
    after = replace(before, position_A=path, angles_deg=np.repeat(before.angles_deg, 3, axis=1))
    assert summarise([compare_particles(before, after, "C1")]).moved == 0
    bent = replace(after, position_A=path + np.array([0.0, 0.0, 7.0])[None, :, None])
    found = summarise([compare_particles(after, bent, "C1")])
    assert found.shift_A is not None and found.shift_A.median == pytest.approx(7 * 3**0.5)


@given(ANGLES, GROUPS, st.data())
def test_symmetry_mates_are_no_rotation(angles: np.ndarray, group: str, data: st.DataObject) -> None:
    mate = data.draw(st.sampled_from(list(symmetry_matrices(group))))
    assert rotation_between(angles, turned(angles, mate), group) == pytest.approx(0.0, abs=1e-5)


@given(ANGLES, GROUPS, st.data(), st.floats(0.0, 15.0), ANGLES)
def test_a_small_turn_is_measured_past_any_mate(
    angles: np.ndarray, group: str, data: st.DataObject, degrees: float, direction: np.ndarray
) -> None:
    mate = data.draw(st.sampled_from(list(symmetry_matrices(group))))
    axis = Rotation.from_euler("ZYZ", direction, degrees=True).apply([0.0, 0.0, 1.0])
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * axis).as_matrix()
    assert rotation_between(angles, turned(angles, turn @ mate), group) == pytest.approx(degrees, abs=1e-5)


@given(ANGLES, ANGLES, GROUPS)
def test_rotation_is_symmetric_and_least_for_larger_groups(one: np.ndarray, other: np.ndarray, group: str) -> None:
    there, back = rotation_between(one, other, group), rotation_between(other, one, group)
    assert there == pytest.approx(back, abs=1e-6)
    assert there <= rotation_between(one, other, "C1") + 1e-9


def test_matrices_are_those_of_the_rest_of_mpop() -> None:
    angles = np.random.default_rng(5).uniform(-180, 180, (50, 2, 3))
    one, other = euler_to_matrix(torch.as_tensor(angles)).unbind(1)
    cosine = ((one * other).sum((-1, -2)) - 1) / 2
    expected = torch.rad2deg(torch.arccos(cosine)).numpy()
    assert rotation_between(angles[:, 0], angles[:, 1], "C1") == pytest.approx(expected, abs=1e-6)


def test_unknown_symmetry_is_refused() -> None:
    with pytest.raises(InputError, match="symmetry 'X9'"):
        compare_particles(particle_set(0), particle_set(0), "X9")
