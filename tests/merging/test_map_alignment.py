"""The rigid motion between two maps of one particle: planted, found, and told apart from none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpop.geometry.symmetry import symmetry_matrices
from mpop.merging.map_alignment import MapAlignment, align_maps, rotation_grid

BOX, PIXEL_A, RESOLUTION_A, RADIUS_A = 48, 3.0, 14.0, 60.0
AXES = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
POINTS = np.random.default_rng(1).normal(size=(40, 3)) * [5.0, 3.5, 7.0]
MASK = (np.sqrt(sum(np.square(axis) for axis in AXES)) < BOX * 0.42).astype(np.float32)


def density(points: np.ndarray, heights: np.ndarray | None = None) -> np.ndarray:
    """Gaussian blobs at points (n, 3), x, y, z in pixels from the origin, each of its own height."""
    z, y, x = AXES
    volume = np.zeros((BOX,) * 3)
    heights = 1 + 0.5 * np.sin(np.arange(len(points))) if heights is None else heights
    for (px, py, pz), height in zip(points, heights, strict=True):
        volume += height * np.exp(-(np.square(x - px) + np.square(y - py) + np.square(z - pz)) / 4)
    return volume.astype(np.float32)


def noisy(volume: np.ndarray, seed: int) -> np.ndarray:
    return volume + np.random.default_rng(seed).normal(scale=0.15, size=volume.shape).astype(np.float32)


def found(turn: Rotation, shift_px: np.ndarray, symmetry: np.ndarray | None) -> tuple[MapAlignment, float, float]:
    """The alignment of a density and itself moved, and how far off it is in degrees and A."""
    moved = density(POINTS @ turn.as_matrix().T + shift_px)
    alignment = align_maps(
        noisy(moved, 2), noisy(density(POINTS), 3), MASK, PIXEL_A, RESOLUTION_A, RADIUS_A, symmetry
    )
    angle = Rotation.from_matrix(alignment.rotation @ turn.as_matrix().T).magnitude()
    return alignment, float(np.rad2deg(angle)), float(np.linalg.norm(alignment.shift_A - shift_px * PIXEL_A))


@pytest.mark.parametrize("rotvec", [(0.0, 0.0, 0.0), (0.03, -0.02, 0.05)])
def test_what_drifted_is_measured(rotvec: tuple[float, float, float]) -> None:
    turn = Rotation.from_rotvec(rotvec)
    alignment, angle, distance = found(turn, np.array([0.5, -0.3, 0.2]), None)
    assert angle < 0.3
    assert distance < 0.2
    assert alignment.correlation > 0.9
    assert alignment.agrees(RESOLUTION_A)


def test_a_map_that_lies_far_off_is_found() -> None:
    alignment, angle, distance = found(
        Rotation.from_rotvec([1.0, 2.0, -0.7]), np.array([3.0, -2.0, 1.0]), np.eye(3)[None]
    )
    assert angle < 0.3
    assert distance < 0.2
    assert not alignment.agrees(RESOLUTION_A)
    assert alignment.displacement_A > RADIUS_A


def test_of_equivalent_alignments_the_nearest_is_found() -> None:
    """What is symmetric by half turns about z and was turned by 170 degrees was turned by 10 the other way."""
    mates = symmetry_matrices("C2")
    symmetric = np.concatenate([POINTS[:20] @ mate.T for mate in mates])
    height = np.tile(1 + 0.5 * np.sin(np.arange(20)), 2)
    turn = Rotation.from_euler("z", 170, degrees=True).as_matrix()
    theirs, ours = density(symmetric, height), density(symmetric @ turn.T, height)
    alignment = align_maps(ours, theirs, MASK, PIXEL_A, RESOLUTION_A, RADIUS_A, mates)
    assert alignment.angle_deg == pytest.approx(10, abs=0.2)
    assert alignment.correlation > 0.99


def test_the_grid_leaves_no_hole() -> None:
    grid = Rotation.from_matrix(np.stack(rotation_grid(15.0)))
    for one in Rotation.random(50, rng=4):
        assert np.rad2deg((grid * one.inv()).magnitude().min()) < 15.0
