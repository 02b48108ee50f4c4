"""Masks: where they are 1, where 0, and how they fall."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.masks import soft_edge, soft_sphere


def test_sphere_by_hand() -> None:
    """Pixels of 2 A, radius 10 A, edge 8 A: 1 to voxel 5, 1/2 at 7, 0 from 9 on."""
    mask = soft_sphere(32, 2.0, 10.0, 8.0)
    assert mask.shape == (32, 32, 32)
    assert mask.dtype == np.float32
    line = [1.0] * 6 + [0.5 + 0.5 * np.cos(np.pi / 4), 0.5, 0.5 - 0.5 * np.cos(np.pi / 4)] + [0.0] * 3
    np.testing.assert_allclose(mask[16, 16, 16:28], line, atol=1e-6)
    np.testing.assert_array_equal(mask[16, 16, 16:28], mask[16:28, 16, 16])
    np.testing.assert_array_equal(mask[1:], mask[:0:-1])  # symmetric about the origin voxel


def test_sphere_has_its_volume() -> None:
    mask = soft_sphere(64, 1.5, 30.0, 1e-6)
    assert mask.sum() * 1.5**3 == pytest.approx(4 / 3 * np.pi * 30.0**3, rel=0.01)


def test_soft_edge_leaves_the_inside_and_falls_over_its_width() -> None:
    binary = np.zeros((20, 20, 20), dtype=bool)
    binary[:, :, :8] = True
    mask = soft_edge(binary, 3.0, 12.0)
    assert mask.dtype == np.float32
    line = [1.0] * 8 + [0.5 + 0.5 * np.cos(np.pi * part) for part in (0.25, 0.5, 0.75)] + [0.0] * 9
    np.testing.assert_allclose(mask[4, 9], line, atol=1e-6)
