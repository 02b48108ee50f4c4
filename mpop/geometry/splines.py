"""Spline grids: how Warp and M describe anything that varies smoothly over an image stack.

A grid holds values on equidistant nodes that span [0, 1] along each axis. Between them runs the natural
cubic spline: the piecewise cubic through all nodes with continuous second derivative that vanishes at both
ends; several axes combine as a tensor product. With one node an axis is constant, with two it is linear.

With h = 1/(n-1), x = u/h, f = x - i and the moments M = h^2 s'' (M_0 = M_{n-1} = 0,
M_{i-1} + 4 M_i + M_{i+1} = 6 (y_{i-1} - 2 y_i + y_{i+1})), the spline in [i, i+1] is

    s(u) = (1-f) y_i + f y_{i+1} + ((1-f)^3 - (1-f))/6 M_i + (f^3 - f)/6 M_{i+1}.

It is linear in y, so that here it is kept as a matrix: s = basis(u, n) @ y. Of numpy's arrays or torch's tensors,
and differentiable in u and in the nodes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mpop.geometry.namespaces import Array, as_one_of, namespace
from mpop.records.tilt_series import LinearGrid4D, SplineGrid


@lru_cache(maxsize=64)
def _moment_matrix(nodes: int) -> np.ndarray:
    """(nodes, nodes) matrix that takes node values y to the moments M."""
    moments = np.zeros((nodes, nodes))
    if nodes > 2:
        inner = nodes - 2
        system = 4 * np.eye(inner) + np.eye(inner, k=1) + np.eye(inner, k=-1)
        second_difference = np.eye(inner, nodes) - 2 * np.eye(inner, nodes, k=1) + np.eye(inner, nodes, k=2)
        moments[1:-1] = np.linalg.solve(system, 6 * second_difference)
    return moments


def spline_basis(u: Array, nodes: int) -> Array:
    """Weights of each node for the natural cubic spline at u.

    u: (...), clamped to [0, 1]. Returns (..., nodes).
    """
    if nodes == 1:
        return namespace(u).ones_like(u)[..., None]
    x = u.clip(0.0, 1.0)[..., None] * (nodes - 1)
    interval = namespace(u).floor(x).clip(0, nodes - 2)
    f = x - interval
    index = as_one_of(u, range(nodes))
    left, right = as_one_of(u, index == interval), as_one_of(u, index == interval + 1)
    moments = as_one_of(u, _moment_matrix(nodes))
    cubic = ((1 - f) ** 3 - (1 - f)) / 6 * left + (f**3 - f) / 6 * right
    return (1 - f) * left + f * right + cubic @ moments


def linear_basis(u: Array, nodes: int) -> Array:
    """Weights of each node for linear interpolation at u in [0, 1]. Shapes as `spline_basis`."""
    if nodes == 1:
        return namespace(u).ones_like(u)[..., None]
    x = u.clip(0.0, 1.0)[..., None] * (nodes - 1)
    return namespace(u).clip(1 - abs(x - as_one_of(u, range(nodes))), 0.0, None)


def evaluate_grid(
    values: Array,
    x: Array,
    y: Array,
    z: Array,
    margin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Array:
    """Value of a spline grid at points.

    values: (n_z, n_y, n_x). x, y, z: (...) in [0, 1], broadcast together; margin as in `SplineGrid`.
    Returns their broadcast shape.
    """
    n_z, n_y, n_x = values.shape
    along = [
        spline_basis(u * (1 - 2 * m) + m if n > 1 else u, n)
        for u, n, m in zip((x, y, z), (n_x, n_y, n_z), margin, strict=True)
    ]
    plane = along[1][..., :, None] * along[0][..., None, :]
    rows = along[2] @ values.reshape(n_z, n_y * n_x)
    return namespace(rows).sum(rows * plane.reshape((*plane.shape[:-2], n_y * n_x)), axis=-1)


def evaluate_grid_4d(values: Array, x: Array, y: Array, z: Array, exposure: Array) -> Array:
    """Value of a 4-D linear grid (M's volume warp) at points.

    values: (n_exposure, n_z, n_y, n_x); coordinates (...) in [0, 1]. Returns their broadcast shape.
    """
    n_e, n_z, n_y, n_x = values.shape
    space = (
        linear_basis(z, n_z)[..., :, None, None]
        * linear_basis(y, n_y)[..., None, :, None]
        * linear_basis(x, n_x)[..., None, None, :]
    )
    rows = linear_basis(exposure, n_e) @ values.reshape(n_e, n_z * n_y * n_x)
    return namespace(rows).sum(rows * space.reshape((*space.shape[:-3], n_z * n_y * n_x)), axis=-1)


def resample_grid(grid: SplineGrid, n_x: int, n_y: int, n_z: int) -> SplineGrid:
    """The grid with other numbers of nodes, its spline sampled at the new nodes; margin becomes 0."""
    z, y, x = (np.linspace(0.0, 1.0, n) for n in (n_z, n_y, n_x))
    values = evaluate_grid(
        grid.values,
        x[None, None, :],
        y[None, :, None],
        z[:, None, None],
        grid.margin,
    )
    return SplineGrid(np.broadcast_to(values, (n_z, n_y, n_x)).copy())


def is_zero(grid: SplineGrid | LinearGrid4D) -> bool:
    """True for a grid that changes nothing."""
    return not np.any(grid.values)
