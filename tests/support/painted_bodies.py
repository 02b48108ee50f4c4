"""Overlaps by painting: both masks are drawn, voxel by voxel, into one fine grid of the tomogram.

Slow and independent of `mpop.collisions`: rotations are written out, nothing is sampled at random.
"""

from __future__ import annotations

import numpy as np


def relion_matrix(rot: float, tilt: float, psi: float) -> np.ndarray:
    """A = Rz(psi) Ry(tilt) Rz(rot), passive rotations, as docs/architecture.md has it: x_tomogram = A x_map."""
    a, b, c = np.deg2rad([rot, tilt, psi])

    def about_z(t: float) -> np.ndarray:
        return np.array([[np.cos(t), np.sin(t), 0], [-np.sin(t), np.cos(t), 0], [0, 0, 1]])

    about_y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    return about_z(c) @ about_y @ about_z(a)


def paint(
    mask: np.ndarray, pixel_A: float, position_A: np.ndarray, angles_deg: np.ndarray, points_A: np.ndarray
) -> np.ndarray:
    """Which points (n, 3) of the tomogram lie in an oriented mask (z, y, x), nearest voxel."""
    in_map = (points_A - position_A) @ relion_matrix(*angles_deg)  # rows: A^T x
    index = np.rint(in_map / pixel_A).astype(int)[:, ::-1] + np.array(mask.shape) // 2
    inside = ((index >= 0) & (index < mask.shape)).all(axis=1)
    painted = np.zeros(len(points_A), bool)
    painted[inside] = mask[tuple(index[inside].T)] >= 0.5
    return painted


def painted_overlap(
    masks: tuple[np.ndarray, np.ndarray],
    pixels_A: tuple[float, float],
    positions_A: np.ndarray,
    angles_deg: np.ndarray,
    step_A: float,
) -> float:
    """Shared volume of two oriented masks as a fraction of the smaller one."""
    reach = [np.sqrt(3) / 2 * mask.shape[0] * pixel for mask, pixel in zip(masks, pixels_A, strict=True)]
    low = np.min([position - r for position, r in zip(positions_A, reach, strict=True)], axis=0)
    high = np.max([position + r for position, r in zip(positions_A, reach, strict=True)], axis=0)
    axes = [np.arange(a, b, step_A) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    first, second = (paint(*one, points) for one in zip(masks, pixels_A, positions_A, angles_deg, strict=True))
    return float((first & second).sum() / min(first.sum(), second.sum()))


def ellipsoid(
    box: int, half_axes_px: tuple[float, float, float], centre_px: tuple[float, float, float]
) -> np.ndarray:
    """A mask (z, y, x) with an ellipsoid of half axes x, y, z about a centre x, y, z from the origin voxel."""
    z, y, x = np.indices((box,) * 3, dtype=np.float64) - box // 2
    scaled = [(c - at) / half for c, at, half in zip((x, y, z), centre_px, half_axes_px, strict=True)]
    return (sum(np.square(c) for c in scaled) <= 1).astype(np.float32)
