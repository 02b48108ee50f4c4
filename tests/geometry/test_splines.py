"""Spline grids against Warp's own, scipy's natural spline, and what a spline must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline, RegularGridInterpolator

from mpop.geometry.splines import (
    evaluate_grid,
    evaluate_grid_4d,
    is_zero,
    linear_basis,
    resample_grid,
    spline_basis,
)
from mpop.records.tilt_series import LinearGrid4D, SplineGrid, constant_grid

WARP_TOLERANCE = 1e-6
"""Warp computes in float32 and writes 7 to 8 digits; values are of order 1."""


def tensor(values: object) -> torch.Tensor:
    return torch.tensor(np.array(values, dtype=np.float64))


def test_one_axis_agrees_with_warp(test_data: Path) -> None:
    blocks = starfile.read(test_data / "warp" / "reference1d.star")
    nodes = tensor(blocks["grid"]["value"])[None, None]
    assert nodes.shape == (1, 1, 10)
    zero = torch.zeros(1, dtype=torch.float64)
    found = evaluate_grid(nodes, tensor(blocks["eval"]["x"]), zero, zero)
    assert (found - tensor(blocks["eval"]["value"])).abs().max() < WARP_TOLERANCE


def test_two_axes_agree_with_warp(test_data: Path) -> None:
    blocks = starfile.read(test_data / "warp" / "reference2d.star")
    grid, points = blocks["grid"], blocks["eval"]
    nodes = tensor(grid["value"]).reshape(1, grid["iy"].max() + 1, grid["ix"].max() + 1)
    assert nodes.shape == (1, 6, 10)
    zero = torch.zeros(1, dtype=torch.float64)
    found = evaluate_grid(nodes, tensor(points["x"]), tensor(points["y"]), zero)
    assert len(found) == 2500
    assert (found - tensor(points["value"])).abs().max() < WARP_TOLERANCE


@given(nodes=st.integers(3, 12), seed=st.integers(0, 2**31))
def test_is_the_natural_spline(nodes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, u = rng.normal(size=nodes), rng.uniform(size=50)
    expected = CubicSpline(np.linspace(0, 1, nodes), y, bc_type="natural")(u)
    np.testing.assert_allclose(spline_basis(tensor(u), nodes) @ tensor(y), expected, atol=1e-12)


@given(nodes=st.integers(1, 20))
def test_is_exact_at_its_nodes(nodes: int) -> None:
    at_nodes = torch.arange(nodes, dtype=torch.float64) / max(nodes - 1, 1)
    identity = torch.eye(nodes, dtype=torch.float64)
    torch.testing.assert_close(spline_basis(at_nodes, nodes), identity, rtol=0, atol=1e-12)
    torch.testing.assert_close(linear_basis(at_nodes, nodes), identity, rtol=0, atol=1e-12)


@given(nodes=st.integers(2, 10), u=st.floats(0, 1))
def test_reproduces_straight_lines(nodes: int, u: float) -> None:
    line = 3 - 2 * torch.linspace(0, 1, nodes, dtype=torch.float64)
    for basis in (spline_basis, linear_basis):
        assert float(basis(tensor(u), nodes) @ line) == pytest.approx(3 - 2 * u, abs=1e-12)


def test_stays_at_the_border_value_outside() -> None:
    y = tensor([1.0, 5.0, -2.0, 4.0])
    torch.testing.assert_close(spline_basis(tensor([-0.3, 1.7]), 4) @ y, tensor([1.0, 4.0]))

    line = tensor([1.0, 3.0])
    torch.testing.assert_close(linear_basis(tensor([-0.3, 1.7]), 2) @ line, tensor([1.0, 3.0]))


@pytest.mark.parametrize("border", [0.0, 1.0])
@pytest.mark.parametrize("nodes", [2, 3, 6])
def test_slope_at_a_border_is_that_of_the_curve_inside(nodes: int, border: float) -> None:
    y = np.random.default_rng(nodes).normal(size=nodes)
    u = tensor(border).requires_grad_()
    (spline_basis(u, nodes) @ tensor(y)).backward()
    axis = np.linspace(0, 1, nodes)
    expected = CubicSpline(axis, y, bc_type="natural")(border, 1) if nodes > 2 else y[1] - y[0]
    assert u.grad is not None
    assert float(u.grad) == pytest.approx(expected, abs=1e-10)


def test_three_axes_are_a_tensor_product() -> None:
    rng = np.random.default_rng(0)
    values, points = rng.normal(size=(5, 4, 3)), rng.uniform(size=(3, 7))
    x, y, z = points
    expected = []
    for u, v, w in zip(x, y, z, strict=True):
        rows = CubicSpline(np.linspace(0, 1, 3), values, axis=2, bc_type="natural")(u)
        columns = CubicSpline(np.linspace(0, 1, 4), rows, axis=1, bc_type="natural")(v)
        expected.append(CubicSpline(np.linspace(0, 1, 5), columns, axis=0, bc_type="natural")(w))
    found = evaluate_grid(tensor(values), tensor(x), tensor(y), tensor(z))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("nodes", [2, 5])
def test_margin_leaves_a_border_outside_the_nodes(nodes: int) -> None:
    """With margin m, coordinate 0 lies a fraction m of the way from the first to the last node."""
    line = torch.linspace(0, 1, nodes, dtype=torch.float64)[None, None]
    zero = torch.zeros(1, dtype=torch.float64)
    found = evaluate_grid(line, tensor([0.0, 0.5, 1.0]), zero, zero, margin=(0.1, 0.1, 0.1))
    torch.testing.assert_close(found, tensor([0.1, 0.5, 0.9]))


def test_four_linear_axes_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    values, points = rng.normal(size=(4, 3, 2, 5)), rng.uniform(size=(40, 4))
    axes = tuple(np.linspace(0, 1, n) for n in values.shape)
    expected = RegularGridInterpolator(axes, values)(points)
    e, z, y, x = tensor(points).unbind(-1)
    np.testing.assert_allclose(evaluate_grid_4d(tensor(values), x, y, z, e), expected, atol=1e-12)


def test_points_may_have_any_shape() -> None:
    rng = np.random.default_rng(4)
    values, points = rng.normal(size=(3, 2, 4, 3)), rng.uniform(size=(4, 2, 5))
    flat = [one.ravel() for one in points]
    np.testing.assert_allclose(
        evaluate_grid_4d(values, *points).ravel(), evaluate_grid_4d(values, *flat), atol=1e-14
    )
    found = evaluate_grid(values[0], *points[:3])
    np.testing.assert_allclose(found.ravel(), evaluate_grid(values[0], *flat[:3]), atol=1e-14)


def test_resampling_to_the_same_or_more_nodes_keeps_lines_and_nodes() -> None:
    rng = np.random.default_rng(2)
    grid = SplineGrid(rng.normal(size=(3, 2, 4)))
    np.testing.assert_allclose(resample_grid(grid, 4, 2, 3).values, grid.values, atol=1e-12)
    finer = resample_grid(grid, 7, 3, 5).values
    np.testing.assert_allclose(finer[::2, ::2, ::2], grid.values, atol=1e-12)
    np.testing.assert_allclose(finer[::2, 1, ::2], grid.values.mean(axis=1), atol=1e-12)


def test_resampling_a_constant_fills_the_grid() -> None:
    np.testing.assert_array_equal(resample_grid(constant_grid(2.5), 3, 2, 4).values, np.full((4, 2, 3), 2.5))


def test_is_zero() -> None:
    assert is_zero(constant_grid())
    assert not is_zero(LinearGrid4D(np.full((1, 1, 1, 1), 1e-9)))


def test_gradients_to_points_and_nodes() -> None:
    rng = np.random.default_rng(3)
    values = tensor(rng.normal(size=(3, 4, 2))).requires_grad_()
    points = [tensor(rng.uniform(0.05, 0.95, 6)).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(evaluate_grid, (values, *points))
    warp = tensor(rng.normal(size=(2, 3, 2, 3))).requires_grad_()
    exposure = tensor(rng.uniform(size=6))
    assert torch.autograd.gradcheck(lambda *args: evaluate_grid_4d(*args, exposure), (warp, *points))
