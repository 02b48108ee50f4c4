"""Masks with soft edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def soft_sphere(box: int, pixel_size_A: float, radius_A: float, edge_A: float) -> NDArray[np.float32]:
    """1 inside a radius, falling to 0 over `edge_A` outside of it as a raised cosine."""
    axis = np.square((np.arange(box) - box // 2) * pixel_size_A)
    distance = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis)
    return _edge(distance - radius_A, edge_A)


def soft_edge(binary: NDArray[np.bool_], pixel_size_A: float, edge_A: float) -> NDArray[np.float32]:
    """1 where `binary`, falling to 0 over `edge_A` outside of it as a raised cosine."""
    outside = np.asarray(distance_transform_edt(~binary)) * pixel_size_A
    return _edge(outside, edge_A)


def _edge(distance: NDArray[np.floating], edge_A: float) -> NDArray[np.float32]:
    phase = np.clip(distance / edge_A, 0.0, 1.0)
    return (0.5 + 0.5 * np.cos(np.pi * phase)).astype(np.float32)
