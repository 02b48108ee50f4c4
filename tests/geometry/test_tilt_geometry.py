"""The geometry of tilt series against the original Warp, and what Warp's file does not exercise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import starfile
import torch
from torch import Tensor

from mpop.formats.warp_xml import read_tilt_series
from mpop.geometry.euler import axis_rotation, euler_to_matrix, matrix_to_euler, unwound
from mpop.geometry.tilt import TiltGeometry, slice_rows
from mpop.records.tilt_series import LinearGrid4D, SplineGrid, TiltSeriesModel

PIXEL_A = 0.834
IMAGE_GRIDS = tuple(f"grid_movement_{axis}" for axis in "xy") + tuple(f"grid_angle_{axis}" for axis in "xyz")


def tensor(values: object) -> Tensor:
    return torch.tensor(np.array(values, dtype=np.float64))


@dataclass(frozen=True)
class WarpOracle:
    """27 points in 41 tilts as the original Warp projects them."""

    model: TiltSeriesModel
    points_A: Tensor
    """(27, 3) from the centre of the volume."""
    projected_A: Tensor
    """(27, 41, 2) from the centre of the image."""
    rotation: Tensor
    """(27, 41, 3, 3)"""
    defocus_A: Tensor
    """(27, 41, 2) U, V."""
    defocus_angle_deg: Tensor
    """(27, 41)"""


@pytest.fixture(scope="module")
def warp(test_data: Path) -> WarpOracle:
    content = (test_data / "warp" / "TS_1.xml").read_bytes()
    image = (5760 * PIXEL_A, 4092 * PIXEL_A)
    volume = (4000 * PIXEL_A, 5700 * PIXEL_A, 1000 * PIXEL_A)
    blocks = starfile.read(test_data / "warp" / "TS_1.star")
    rows = blocks["mappings"].sort_values(["pointID", "tiltID"])

    def columns(*names: str) -> Tensor:
        return tensor(rows[list(names)]).reshape(27, 41, len(names))

    return WarpOracle(
        model=read_tilt_series(content, "TS_1.xml", image, volume),
        points_A=tensor(blocks["points"]),
        projected_A=columns("centeredCoordinateXAngst", "centeredCoordinateYAngst"),
        rotation=euler_to_matrix(columns("angleRot", "angleTilt", "anglePsi")),
        defocus_A=columns("defocusU", "defocusV"),
        defocus_angle_deg=columns("defocusAngle")[..., 0],
    )


def test_agrees_with_warp(warp: WarpOracle) -> None:
    geometry = TiltGeometry(warp.model)
    position = (warp.points_A + tensor(geometry.volume_dims / 2))[:, None]
    unturned = torch.eye(3, dtype=torch.float64).expand(27, 1, 3, 3)
    projected = geometry.project(position, unturned)
    assert (projected.position_A - tensor(geometry.image_dims / 2) - warp.projected_A).abs().max() < 1e-3
    assert (projected.rotation - warp.rotation).abs().max() < 1e-5
    defocus = geometry.defocus_um(position, projected.depth_A)
    delta, angle, phase = geometry.astigmatism(position)
    found = torch.stack([defocus + delta / 2, defocus - delta / 2], dim=-1) * 1e4
    assert (found - warp.defocus_A).abs().max() < 0.02
    assert (angle - warp.defocus_angle_deg).abs().max() < 1e-4
    assert phase.abs().max() == 0


def test_the_file_of_warp_exercises_what_it_should(warp: WarpOracle) -> None:
    """Without one of these parts the test above would fail by far."""
    model = warp.model
    assert model.grid_movement_x.values.shape == (41, 4, 6)
    assert model.grid_angle_y.values.shape == (41, 1, 1)
    unwarped = replace(model, grid_movement_x=SplineGrid(np.zeros((1, 1, 1))))
    level = replace(model, level_angle_x_deg=0.0)
    turned = replace(model, grid_angle_y=SplineGrid(np.zeros((1, 1, 1))))
    position = (warp.points_A + tensor(model.volume_dims_A) / 2)[:, None]
    unturned = torch.eye(3, dtype=torch.float64).expand(27, 1, 3, 3)
    full = TiltGeometry(model).project(position, unturned)
    for other in (unwarped, level):
        assert (TiltGeometry(other).project(position, unturned).position_A - full.position_A).abs().max() > 1
    assert (TiltGeometry(turned).project(position, unturned).rotation - full.rotation).abs().max() > 1e-3


def plain_model(**changes: object) -> TiltSeriesModel:
    """Five tilts about the image's y axis, acquired from the middle outwards."""
    defaults: dict[str, object] = {
        "angles_deg": np.array([-40.0, -20.0, 0.0, 20.0, 40.0]),
        "exposure": np.array([12.0, 6.0, 0.0, 3.0, 9.0]),
        "use": np.ones(5, bool),
        "axis_angle_deg": np.zeros(5),
        "axis_offset_x_A": np.zeros(5),
        "axis_offset_y_A": np.zeros(5),
        "image_dims_A": (2000.0, 1600.0),
        "volume_dims_A": (1800.0, 1500.0, 800.0),
    }
    return TiltSeriesModel(**{**defaults, **changes})  # pyright: ignore[reportArgumentType]


def project_point(model: TiltSeriesModel, centred_A: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    """Projection of one point, (5, 2) from the centre of the image, and its depth (5,)."""
    geometry = TiltGeometry(model)
    position = (tensor(centred_A) + tensor(geometry.volume_dims / 2)).reshape(1, 1, 3)
    projected = geometry.project(position, torch.eye(3, dtype=torch.float64).reshape(1, 1, 3, 3))
    return (projected.position_A - tensor(geometry.image_dims / 2))[0], projected.depth_A[0]


def test_directions_by_hand() -> None:
    """x' = x cos t - z sin t and z' = x sin t + z cos t for a tilt axis along y (Warp)."""
    t = np.deg2rad([-40, -20, 0, 20, 40])
    projected, depth = project_point(plain_model(), (100.0, 50.0, 30.0))
    np.testing.assert_allclose(projected[:, 0], 100 * np.cos(t) - 30 * np.sin(t), atol=1e-10)
    np.testing.assert_allclose(projected[:, 1], 50.0, atol=1e-10)
    np.testing.assert_allclose(depth, 100 * np.sin(t) + 30 * np.cos(t), atol=1e-10)


def test_axis_angle_offset_and_image_warp() -> None:
    """A positive axis angle a turns the tilt axis y to (-sin a, cos a); the image warp is subtracted."""
    model = plain_model(
        axis_angle_deg=np.full(5, 30.0),
        axis_offset_x_A=np.arange(5.0),
        grid_movement_y=SplineGrid(np.arange(5.0).reshape(5, 1, 1)),
    )
    projected, _ = project_point(model, (0.0, 100.0, 0.0))
    np.testing.assert_allclose(projected[:, 0], -50.0 + np.arange(5), atol=1e-10)
    np.testing.assert_allclose(projected[:, 1], 100 * np.cos(np.pi / 6) - np.arange(5), atol=1e-10)


def test_image_warp_is_read_where_the_particle_would_be_without_it() -> None:
    ramp = np.array([[[0.0, 200.0]]])  # 0 at the left border of the image, 200 A at the right
    projected, _ = project_point(plain_model(grid_movement_x=SplineGrid(ramp)), (500.0, 0.0, 0.0))
    expected_without = 500 * np.cos(np.deg2rad([-40, -20, 0, 20, 40]))
    np.testing.assert_allclose(projected[:, 0], expected_without * 0.9 - 100, atol=1e-9)


@pytest.mark.parametrize(("before", "scale"), [(0.0, 1.0), (7.0, 1.0), (2.0, 0.05)])
def test_volume_warp_moves_the_point_in_the_specimen_over_exposure(before: float, scale: float) -> None:
    """From the least exposure of the series to the greatest, whatever they are."""
    z = np.array([12.0, 6.0, 0.0, 3.0, 9.0])
    shift = np.array([0.0, 12.0]).reshape(2, 1, 1, 1)
    model = plain_model(exposure=before + scale * z, grid_volume_warp_z=LinearGrid4D(shift))
    projected, depth = project_point(model, (0.0, 0.0, 0.0))
    t = np.deg2rad([-40, -20, 0, 20, 40])
    np.testing.assert_allclose(projected[:, 0], -z * np.sin(t), atol=1e-10)
    np.testing.assert_allclose(depth, z * np.cos(t), atol=1e-10)


@pytest.mark.parametrize(("axis", "expected"), [(0, 8.0), (1, 7.5), (2, 5.0)])
def test_volume_warp_is_read_where_the_point_is_in_the_volume(axis: int, expected: float) -> None:
    """It grows from 0 to 12 A along one edge of a volume of 1800 by 1500 by 800 A."""
    shape = [1, 1, 1, 1]
    shape[3 - axis] = 2
    ramp = LinearGrid4D(np.array([0.0, 12.0]).reshape(shape))
    point = (300.0, 187.5, -200 / 3)
    _, depth = project_point(plain_model(angles_deg=np.zeros(5), grid_volume_warp_z=ramp), point)
    np.testing.assert_allclose(depth - point[2], expected, atol=1e-10)


def test_a_grid_over_two_tilts_has_a_node_at_each() -> None:
    model = plain_model(
        **{name: np.zeros(2) for name in ("angles_deg", "exposure", "axis_angle_deg", "axis_offset_x_A")},
        axis_offset_y_A=np.zeros(2),
        use=np.ones(2, bool),
        grid_movement_x=SplineGrid(np.array([3.0, 5.0]).reshape(2, 1, 1)),
    )
    projected, _ = project_point(model, (0.0, 0.0, 0.0))
    np.testing.assert_allclose(projected[:, 0], [-3.0, -5.0], atol=1e-12)


def test_a_grid_that_is_refined_reaches_from_border_to_border() -> None:
    """Whatever the margin of the one in whose place it is."""
    nodes = np.random.default_rng(3).normal(size=(5, 3, 4))
    centred = SplineGrid(np.zeros((5, 2, 2)), margin=(0.5, 0.25, 0.25))
    point = np.array([1100.0, 500.0, 300.0]).reshape(1, 1, 3)
    pose = np.eye(3).reshape(1, 1, 3, 3)
    refined = TiltGeometry(plain_model(grid_movement_x=centred), {"grid_movement_x": nodes}).project(point, pose)
    expected = TiltGeometry(plain_model(grid_movement_x=SplineGrid(nodes))).project(point, pose)
    np.testing.assert_allclose(refined.position_A, expected.position_A, rtol=0, atol=1e-12)


def test_an_orientation_that_does_not_change_is_one_matrix() -> None:
    angles = np.array([[[10.0, 20.0, 30.0]], [[40.0, 50.0, 60.0]]])
    poses = TiltGeometry(plain_model()).poses(angles)
    assert poses.shape == (2, 1, 3, 3)
    np.testing.assert_allclose(poses, euler_to_matrix(angles), atol=1e-15)


def test_inverted_angles_change_only_the_depth_and_as_in_warp() -> None:
    """Warp negates tilt, both level angles and z, and takes the depth alone from that projection."""
    level = {"level_angle_x_deg": 4.0, "level_angle_y_deg": -7.0}
    model = plain_model(**level, axis_angle_deg=np.full(5, -85.0))
    point = (210.0, -130.0, 90.0)
    projected, _ = project_point(model, point)
    inverted, depth = project_point(replace(model, are_angles_inverted=True), point)
    torch.testing.assert_close(inverted, projected, rtol=0, atol=0)
    tilt = -(tensor(model.angles_deg) - 7.0)
    angles = torch.stack([torch.zeros(5, dtype=torch.float64), tilt, tensor(np.full(5, 85.0))], dim=-1)
    warp = euler_to_matrix(angles) @ axis_rotation(0, tensor(-4.0)) @ tensor([210.0, -130.0, -90.0])
    torch.testing.assert_close(depth, warp[:, 2], rtol=0, atol=1e-10)


def test_defocus_is_that_of_the_tilt_plus_the_depth() -> None:
    model = plain_model(grid_ctf=SplineGrid(np.array([2.0, 2.1, 2.2, 2.3, 2.4]).reshape(5, 1, 1)))
    geometry = TiltGeometry(model)
    position = (tensor((0.0, 0.0, 100.0)) + tensor(geometry.volume_dims / 2)).reshape(1, 1, 3)
    depth = geometry.project(position, torch.eye(3, dtype=torch.float64).reshape(1, 1, 3, 3)).depth_A
    expected = [2.0, 2.1, 2.2, 2.3, 2.4] + 0.01 * np.cos(np.deg2rad([-40, -20, 0, 20, 40]))
    np.testing.assert_allclose(geometry.defocus_um(position, depth)[0], expected, atol=1e-12)


def test_stage_angles_turn_the_image_of_a_particle_but_do_not_move_it() -> None:
    grid = SplineGrid(np.full((5, 1, 1), 2.0))
    position, pose = tensor((1000.0, 900.0, 300.0)).reshape(1, 1, 3), tensor(np.eye(3)).reshape(1, 1, 3, 3)
    before = TiltGeometry(plain_model()).project(position, pose)
    after = TiltGeometry(plain_model(grid_angle_x=grid, grid_angle_z=grid)).project(position, pose)
    torch.testing.assert_close(after.position_A, before.position_A, rtol=0, atol=0)
    turn = axis_rotation(2, tensor(2.0)) @ axis_rotation(0, tensor(2.0))
    torch.testing.assert_close(after.rotation, turn @ before.rotation)


def test_trajectories_run_over_exposure() -> None:
    """Two samples: a straight line from the first exposure to the last, whatever the order of the tilts."""
    geometry = TiltGeometry(plain_model())
    samples = tensor([[[0.0, 0.0, 0.0], [12.0, 24.0, -12.0]]])
    exposure = np.array([12.0, 6.0, 0.0, 3.0, 9.0])
    np.testing.assert_allclose(geometry.along_exposure(samples)[0, :, 1], 2 * exposure, atol=1e-12)
    poses = geometry.poses(tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 12.0]]]))
    psi = np.rad2deg(np.arctan2(poses[0, :, 0, 1].numpy(), poses[0, :, 0, 0].numpy()))
    np.testing.assert_allclose(psi, exposure, atol=1e-10)


def test_a_single_tilt_has_a_geometry() -> None:
    model = plain_model(
        **{name: np.zeros(1) for name in ("angles_deg", "exposure", "axis_angle_deg", "axis_offset_x_A")},
        axis_offset_y_A=np.zeros(1),
        use=np.ones(1, bool),
    )
    projected, depth = project_point(model, (10.0, 20.0, 30.0))
    np.testing.assert_allclose(projected, [[10.0, 20.0]], atol=1e-12)
    np.testing.assert_allclose(depth, [30.0], atol=1e-12)


def test_slice_rows_apply_the_magnification_to_image_frequencies() -> None:
    """Image frequency k samples the map at R^T M k."""
    rng = np.random.default_rng(0)
    rotation = euler_to_matrix(tensor([40.0, 70.0, -20.0]))
    magnification = np.array([[1.01, 0.004], [0.002, 0.99]])
    k = rng.normal(size=2)
    rows = slice_rows(rotation, magnification)
    expected = rotation.T @ tensor([*(magnification @ k), 0.0])
    torch.testing.assert_close(k[0] * rows[0] + k[1] * rows[1], expected)


@pytest.mark.parametrize("samples", [1, 3])
def test_gradients_to_positions_poses_and_grids(samples: int) -> None:
    rng = np.random.default_rng(1)
    model = plain_model(
        axis_angle_deg=np.full(5, -84.0),
        level_angle_x_deg=2.0,
        grid_volume_warp_x=LinearGrid4D(rng.normal(size=(2, 2, 2, 2))),
    )
    position = tensor(rng.uniform(200, 700, (1, samples, 3))).requires_grad_()
    angles = tensor(rng.uniform(20, 160, (1, samples, 3))).requires_grad_()
    shapes = dict.fromkeys(IMAGE_GRIDS, (5, 2, 2)) | {"grid_volume_warp_z": (2, 2, 2, 2)}
    grids = [tensor(rng.normal(size=shape)).requires_grad_() for shape in shapes.values()]

    def outputs(position: Tensor, angles: Tensor, *grids: Tensor) -> tuple[Tensor, ...]:
        geometry = TiltGeometry(model, dict(zip(shapes, grids, strict=True)))
        projected = geometry.project(position, geometry.poses(angles))
        return projected.position_A, projected.rotation, projected.depth_A

    assert torch.autograd.gradcheck(outputs, (position, angles, *grids), eps=1e-4, atol=1e-6)


def test_arrays_of_numpy_are_projected_as_tensors_are() -> None:
    rng = np.random.default_rng(0)
    grids = {name: SplineGrid(rng.normal(size=(5, 2, 3))) for name in (*IMAGE_GRIDS, "grid_ctf")}
    warp = LinearGrid4D(rng.normal(size=(2, 2, 2, 2)))
    geometry = TiltGeometry(plain_model(level_angle_x_deg=2.0, grid_volume_warp_x=warp, **grids))
    position = rng.uniform(100, 900, (4, 2, 3))
    angles = rng.uniform(-180, 180, (4, 2, 3))
    found = geometry.project(position, geometry.poses(angles))
    expected = geometry.project(tensor(position), geometry.poses(tensor(angles)))
    for name in ("position_A", "rotation", "depth_A"):
        array = getattr(found, name)
        assert isinstance(array, np.ndarray)
        np.testing.assert_allclose(array, getattr(expected, name).numpy(), rtol=1e-12, atol=1e-12)
    optics = [geometry.defocus_um(position, found.depth_A), *geometry.astigmatism(position)]
    tensors = [geometry.defocus_um(tensor(position), expected.depth_A), *geometry.astigmatism(tensor(position))]
    for array, one in zip(optics, tensors, strict=True):
        np.testing.assert_allclose(array, one.numpy(), rtol=1e-12, atol=1e-12)


def test_an_angle_of_a_trajectory_takes_the_shorter_way_round() -> None:
    geometry = TiltGeometry(plain_model())
    across = np.array([[[170.0, 40.0, 0.0], [-170.0, 40.0, 0.0]]])
    beyond = np.array([[[170.0, 40.0, 0.0], [190.0, 40.0, 0.0]]])
    np.testing.assert_allclose(geometry.poses(across), geometry.poses(beyond), atol=1e-12)
    np.testing.assert_array_equal(unwound(tensor(across)).numpy(), beyond)


@pytest.mark.parametrize("rot", [0.0, 35.0, -120.0])
def test_a_trajectory_that_is_known_by_its_matrices_crosses_a_pole(rot: float) -> None:
    """Tilt goes from 3 to -3 degrees. A matrix gives it as positive, with the other two half a turn off."""
    geometry = TiltGeometry(plain_model())
    meant = np.array([[[rot, 3.0, 20.0], [rot + 1.0, -3.0, 18.0]]])
    found = geometry.poses(matrix_to_euler(euler_to_matrix(meant)))
    np.testing.assert_allclose(found, geometry.poses(meant), atol=1e-9)
