"""Rotations: the 24 are exact, the others right to what interpolation allows, and gradients flow through both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mpop.networks.rotations import CUBE_ROTATIONS, rotate, turn


def matrix(order: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    """In x, y, z: where `turn` moves a density at r, found by turning coordinates themselves."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(-1.0, 2.0)] * 3, indexing="ij"))
    came_from = turn(grid, (order, axes))  # z, y, x of where each voxel's value was
    columns = [came_from[:, 1, 1, 2], came_from[:, 1, 2, 1], came_from[:, 2, 1, 1]]
    inverse = np.array([column.flip(0).numpy() for column in columns]).T
    return inverse.T


def test_there_are_24_different_ones() -> None:
    matrices = np.array([matrix(*rotation) for rotation in CUBE_ROTATIONS])
    assert len(np.unique(matrices, axis=0)) == 24
    np.testing.assert_allclose(matrices @ matrices.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (24, 3, 3)))
    np.testing.assert_allclose(np.linalg.det(matrices), 1)


@pytest.mark.parametrize("edge", [6, 7])
def test_interpolated_rotations_agree_with_the_exact_ones(edge: int) -> None:
    cube = torch.randn(1, 2, edge, edge, edge, dtype=torch.float64)
    for rotation in CUBE_ROTATIONS:
        rotated, _ = rotate(cube, torch.tensor(matrix(*rotation))[None].to(cube))
        torch.testing.assert_close(rotated, turn(cube, rotation))


def test_any_rotation_moves_a_blob_to_where_it_belongs() -> None:
    edge, middle = 32, 15.5
    axes = np.meshgrid(*[np.arange(edge) - middle] * 3, indexing="ij")[::-1]  # x, y, z

    def blobs(centres: np.ndarray) -> np.ndarray:
        squares = [sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True)) for centre in centres]
        return sum(np.exp(-square / (2 * 1.5**2)) for square in squares)

    centres = np.array([[4.0, 0, 2], [-3, 5, -6], [0, -7, 3]])
    rotations = Rotation.random(4, rng=np.random.default_rng(2))
    cubes = torch.from_numpy(blobs(centres))[None, None].expand(4, 1, edge, edge, edge)
    rotated, trusted = rotate(cubes, torch.from_numpy(rotations.as_matrix()))
    for number, rotation in enumerate(rotations):
        difference = rotated[number, 0].numpy() - blobs(rotation.apply(centres))
        assert np.abs(difference * trusted[number, 0].numpy()).max() < 0.04
    share = trusted.mean(dim=(1, 2, 3, 4))
    assert ((share > 0.5) & (share < 1)).all()


def test_what_is_trusted_comes_from_within_the_cube() -> None:
    """Change the outermost voxels only: after rotation nothing changes where it is trusted."""
    edge = 16
    cube = torch.zeros(3, 1, edge, edge, edge, dtype=torch.float64)
    cube[:, :, 1:-1, 1:-1, 1:-1] = 1
    rotated, trusted = rotate(
        1 - cube, torch.from_numpy(Rotation.random(3, rng=np.random.default_rng(0)).as_matrix())
    )
    worst = (rotated.abs() * trusted).max()
    assert worst < 0.15 * rotated.abs().max()


def test_gradients_are_those_of_finite_differences() -> None:
    cube = torch.randn(1, 1, 6, 6, 6, dtype=torch.float64, requires_grad=True)
    R = torch.from_numpy(Rotation.random(1, rng=np.random.default_rng(1)).as_matrix())
    assert torch.autograd.gradcheck(lambda cube: rotate(cube, R)[0], (cube,))
    assert torch.autograd.gradcheck(lambda cube: turn(cube, CUBE_ROTATIONS[7]), (cube,))
