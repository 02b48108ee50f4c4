"""Where particles are: our own geometry against Warp's, and what is planted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import starfile
import torch

from mpop.errors import InputError
from mpop.formats.warp_xml import read_tilt_series
from mpop.geometry.euler import euler_to_matrix
from mpop.geometry.splines import evaluate_grid
from mpop.geometry.tilt import TiltGeometry
from mpop.records.tilt_series import SplineGrid, TiltSeriesModel
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.physics import euler_matrix, stage_matrices, turn_about
from mpop.simulation.scene import Scene, dose_symmetric_order, make_scene, project_particles
from mpop.simulation.structures import asymmetric, ferritin_like

PARAMETERS = SimulationParameters(series=1, tilts=9, image_size=400, pixel_size_A=4.0, particles=20)


def scene_of(parameters: SimulationParameters, seed: int = 1) -> Scene:
    return make_scene("TS_01", [ferritin_like(), asymmetric()], parameters, np.random.default_rng(seed))


def rms(difference: np.ndarray) -> float:
    """Root of the mean squared length over the last axis."""
    return float(np.sqrt(np.square(difference).sum(axis=-1).mean()))


def test_stage_and_errors_are_those_of_warp(test_data: Path) -> None:
    """27 points in 41 tilts, as the original Warp projected them.

    The simulator knows neither level angles nor spline grids: the first are one more rotation here, values of
    the second are taken from `mpop.geometry`.
    """
    pixel = 0.834
    image, volume = np.array([5760, 4092]) * pixel, np.array([4000, 5700, 1000]) * pixel
    content = (test_data / "warp" / "TS_1.xml").read_bytes()
    model = read_tilt_series(content, "TS_1", tuple(image), tuple(volume))
    oracle = starfile.read(test_data / "warp" / "TS_1.star", always_dict=True)
    points = oracle["points"].to_numpy(float)
    rows = oracle["mappings"].sort_values(["pointID", "tiltID"])
    shape = (len(points), model.n_tilts)

    stage = stage_matrices(model.angles_deg + model.level_angle_y_deg, model.axis_angle_deg)
    stage = stage @ turn_about(0, model.level_angle_x_deg)
    offset = np.stack([model.axis_offset_x_A, model.axis_offset_y_A], axis=1)
    place = np.einsum("nij,pj->pni", stage[:, :2], points) + offset
    t = torch.arange(model.n_tilts, dtype=torch.float64) / (model.n_tilts - 1)

    def grid(name: str, at: np.ndarray) -> np.ndarray:
        values = getattr(model, name)
        u, v = (torch.as_tensor(at[..., i]) for i in range(2))
        return evaluate_grid(torch.as_tensor(values.values), u, v, t.expand(shape), values.margin).numpy()

    warp = np.stack([grid(f"grid_movement_{axis}", place / image + 0.5) for axis in "xy"], axis=-1)
    columns = [f"centeredCoordinate{axis}Angst" for axis in "XY"]
    assert np.abs(place - warp - rows[columns].to_numpy().reshape(*shape, 2)).max() < 1e-3

    over_volume = (points / volume + 0.5)[:, None, :2].repeat(model.n_tilts, axis=1)
    errors = [grid(f"grid_angle_{axis}", over_volume) for axis in "xyz"]
    turn = [turn_about(i, e.ravel()).reshape(*shape, 3, 3) for i, e in enumerate(errors)]
    angles = rows[["angleRot", "angleTilt", "anglePsi"]].to_numpy()
    expected = euler_matrix(angles).reshape(*shape, 3, 3)
    assert np.abs(turn[2] @ turn[1] @ turn[0] @ stage - expected).max() < 1e-5


def test_a_high_point_moves_against_x_at_positive_tilt() -> None:
    up = np.array([0.0, 0.0, 100.0])
    assert stage_matrices(np.array([30.0]), np.array([0.0]))[0] @ up == pytest.approx([-50.0, 0.0, 86.6025])
    # with the axis at -90 degrees, what was along x is along -y
    assert stage_matrices(np.array([30.0]), np.array([-90.0]))[0] @ up == pytest.approx([0.0, 50.0, 86.6025])


def test_a_high_particle_is_further_from_focus() -> None:
    scene = scene_of(PARAMETERS)
    centre = np.array(PARAMETERS.volume_dims_A) / 2
    points = centre + np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 500.0]])
    seen = project_particles(scene, points, np.zeros((2, 3)), PARAMETERS, planted=False)
    flat = int(np.argmin(np.abs(scene.angles_deg)))
    np.testing.assert_allclose(seen.defocus_um[0], scene.defocus_um, atol=1e-12)
    assert seen.defocus_um[1, flat] - seen.defocus_um[0, flat] == pytest.approx(0.05)


def test_acquisition_goes_outwards_from_zero() -> None:
    order = dose_symmetric_order(7)  # -60 .. 60
    assert order.tolist() == [6, 4, 2, 0, 1, 3, 5]
    assert sorted(dose_symmetric_order(6)) == list(range(6))


def test_planted_errors_are_as_large_as_asked() -> None:
    parameters = replace(PARAMETERS, tilts=41, image_size=1600, particles=150, image_warp_rms_A=5.0)
    scene = scene_of(parameters)
    assert np.sqrt(np.square(scene.stage_error_deg).mean()) == pytest.approx(0.3, rel=0.15)
    for particles in scene.species:
        assert rms(particles.nominal_position_A - particles.position_A) == pytest.approx(3.0, rel=0.1)
        turned = euler_matrix(particles.nominal_angles_deg) @ euler_matrix(particles.angles_deg).swapaxes(1, 2)
        angle = np.rad2deg(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1)))
        assert np.sqrt(np.square(angle).mean()) == pytest.approx(2.5, rel=0.1)
        inside = np.random.default_rng(0).uniform(0.05, 0.95, (300, 1, 2)).repeat(41, axis=1)
        assert rms(scene.warp.at(inside[..., 0], inside[..., 1])) == pytest.approx(5.0, rel=0.2)


def test_what_is_planted_moves_particles_by_at_least_4_A_beyond_a_common_shift() -> None:
    """The least that the demo's data must be wrong by."""
    parameters = SimulationParameters(series=1)
    scene = scene_of(parameters)
    for particles in scene.species:
        true = project_particles(scene, particles.position_A, particles.angles_deg, parameters, planted=True)
        nominal = project_particles(
            scene, particles.nominal_position_A, particles.nominal_angles_deg, parameters, planted=False
        )
        difference = (nominal.position_A - true.position_A).reshape(-1)
        rows = true.rotation[..., :2, :].reshape(-1, 3)  # a shift s of the map moves images by A s
        shift = np.linalg.lstsq(rows, difference, rcond=None)[0]
        assert rms((difference - rows @ shift).reshape(-1, 2)) > 4.0


def test_nothing_is_planted_when_all_errors_are_zero() -> None:
    parameters = replace(
        PARAMETERS, image_warp_rms_A=0.0, stage_angle_rms_deg=0.0, pose_shift_rms_A=0.0, pose_angle_rms_deg=0.0
    )
    scene = scene_of(parameters)
    for particles in scene.species:
        true = project_particles(scene, particles.position_A, particles.angles_deg, parameters, planted=True)
        nominal = project_particles(
            scene, particles.nominal_position_A, particles.nominal_angles_deg, parameters, planted=False
        )
        np.testing.assert_allclose(true.position_A, nominal.position_A, atol=1e-9)
        np.testing.assert_allclose(true.rotation, nominal.rotation, atol=1e-9)
        np.testing.assert_allclose(true.defocus_um, nominal.defocus_um, atol=1e-9)


def test_particles_do_not_overlap_and_lie_in_the_ice() -> None:
    scene = scene_of(PARAMETERS)
    places = np.concatenate([s.position_A for s in scene.species])
    radii = np.repeat([64.0, 58.0], PARAMETERS.particles)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(np.full(len(places), 1e9))
    assert (distance >= radii[:, None] + radii[None] - 1e-9).all()
    height = np.abs(places[:, 2] - PARAMETERS.volume_dims_A[2] / 2) + radii
    assert height.max() <= PARAMETERS.thickness_A / 2
    assert all(set(s.half) == {1, 2} and abs(np.sum(s.half == 1) - 10) == 0 for s in scene.species)


def test_warps_model_of_a_series_can_hold_what_is_planted() -> None:
    """The planted warp and stage errors as grids of Warp's model, projected by the geometry package."""
    scene = scene_of(PARAMETERS)
    n, nodes = PARAMETERS.tilts, 33
    lattice = np.linspace(0, 1, nodes)
    v, u = (np.repeat(a[..., None], n, axis=-1) for a in np.meshgrid(lattice, lattice, indexing="ij"))
    warp = scene.warp.at(u, v).transpose(3, 2, 0, 1)
    width = PARAMETERS.image_size * PARAMETERS.pixel_size_A
    model = TiltSeriesModel(
        angles_deg=scene.angles_deg,
        exposure=scene.exposure,
        use=np.ones(n, dtype=bool),
        axis_angle_deg=np.full(n, scene.axis_deg),
        axis_offset_x_A=np.zeros(n),
        axis_offset_y_A=np.zeros(n),
        image_dims_A=(width, width),
        volume_dims_A=PARAMETERS.volume_dims_A,
        grid_ctf=SplineGrid(scene.defocus_um[:, None, None]),
        grid_movement_x=SplineGrid(warp[0]),
        grid_movement_y=SplineGrid(warp[1]),
        grid_angle_x=SplineGrid(scene.stage_error_deg[:, 0, None, None]),
        grid_angle_y=SplineGrid(scene.stage_error_deg[:, 1, None, None]),
        grid_angle_z=SplineGrid(scene.stage_error_deg[:, 2, None, None]),
    )
    geometry = TiltGeometry(model)
    for particles in scene.species:
        true = project_particles(scene, particles.position_A, particles.angles_deg, PARAMETERS, planted=True)
        position = torch.as_tensor(particles.position_A)[:, None]
        seen = geometry.project(position, euler_to_matrix(torch.as_tensor(particles.angles_deg)[:, None]))
        inside = ((true.position_A > 0) & (true.position_A < width)).all(axis=-1)
        assert np.abs(seen.position_A.numpy() - true.position_A)[inside].max() < 0.02
        np.testing.assert_allclose(seen.rotation.numpy(), true.rotation, atol=1e-9)
        np.testing.assert_allclose(geometry.defocus_um(position, seen.depth_A).numpy(), true.defocus_um, atol=1e-9)


def test_too_many_or_too_large_particles_are_refused() -> None:
    with pytest.raises(InputError, match="no room for 500 particles of each species in a field of 800 A"):
        scene_of(replace(PARAMETERS, image_size=200, particles=500))
    with pytest.raises(InputError, match="ferritin-like is 128 A across: no room in a field of 120 A"):
        scene_of(replace(PARAMETERS, image_size=30))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"series": 0}, "series: 0; at least 1"),
        ({"pixel_size_A": -2.5}, "pixel size A: -2.5; it must be above 0"),
        ({"exposure": float("nan")}, "exposure: nan; it must be above 0"),
        ({"pose_shift_rms_A": -1.0}, "pose shift rms A: -1.0; it must be 0 or more"),
        ({"tilt_range_deg": 90.0}, "tilt range: 90.0 degrees"),
        ({"preferred_spread_deg": 0.0}, "preferred spread deg: 0.0; it must be above 0 and at most 180"),
        ({"others": 1.5}, "others: 1.5; it must be from 0 to 1"),
        ({"seed": -1}, "seed: -1"),
        ({"pixel_size_A": 9.0}, "half-maps of 19 A need a pixel size of at most 6.33 A, not 9"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(PARAMETERS, **change)


def test_molecules_lie_as_they_are_asked_to() -> None:
    chosen = replace(PARAMETERS, particles=60, image_size=900, preferred_spread_deg=20.0, others=0.25)
    for species in scene_of(chosen).species:
        tilt = species.angles_deg[:, 1]
        assert 0.6 < np.mean(tilt < 20.0) < 0.95
        assert tilt.max() > 40.0
