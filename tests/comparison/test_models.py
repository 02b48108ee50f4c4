"""Changes of a series' model by RMS: what was planted comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from example_population import TILTS, model

from mpop.comparison import Quantity, compare_models
from mpop.records import LinearGrid4D, SplineGrid


def only(quantities: list[Quantity]) -> Quantity:
    (one,) = quantities
    return one


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_equal_models_differ_in_nothing() -> None:
    change = compare_models(model(), model())
    assert change.quantities == [] and change.settings == {}


def test_planted_warp_is_found_as_a_vector() -> None:
    grids = {"grid_movement_x": noise(0, TILTS, 4, 4), "grid_movement_y": noise(1, TILTS, 4, 4)}
    before = replace(model(), **{name: SplineGrid(values) for name, values in grids.items()})
    after = replace(
        before,
        grid_movement_x=SplineGrid(grids["grid_movement_x"] + 3.0),
        grid_movement_y=SplineGrid(grids["grid_movement_y"] - 4.0),
    )
    warp = only(compare_models(before, after).quantities)
    assert (warp.name, warp.unit) == ("image warp", "A")
    assert (warp.rms, warp.largest) == pytest.approx((5.0, 5.0))


def test_rms_and_largest_over_tilts() -> None:
    change = compare_models(model(), replace(model(), angles_deg=model().angles_deg + np.array([0.3, 0.0, 0.4])))
    one = only(change.quantities)
    assert (one.name, one.unit) == ("tilt angles", "deg")
    assert (one.rms, one.largest) == pytest.approx((np.sqrt(0.25 / 3), 0.4))


def test_a_first_warp_is_compared_with_none() -> None:
    values = noise(2, TILTS, 4, 5)
    warp = only(compare_models(model(), replace(model(), grid_movement_x=SplineGrid(values))).quantities)
    assert warp.rms == pytest.approx(np.sqrt(np.mean(values**2)))


def test_grids_of_other_nodes_are_compared_as_splines() -> None:
    ramp = np.linspace(0.0, 6.0, 3)[None, None, :]
    before = replace(model(), grid_movement_x=SplineGrid(ramp))
    finer = np.linspace(0.0, 6.0, 7)[None, None, :]
    assert compare_models(before, replace(model(), grid_movement_x=SplineGrid(finer))).quantities == []
    moved = compare_models(before, replace(model(), grid_movement_x=SplineGrid(finer + 2.0)))
    assert only(moved.quantities).rms == pytest.approx(2.0)


def test_volume_warps_of_other_nodes_are_compared_as_linear_grids() -> None:
    ramp = np.linspace(0.0, 4.0, 3)[:, None, None, None] + np.zeros((3, 2, 2, 1))
    finer = np.linspace(0.0, 4.0, 5)[:, None, None, None] + np.zeros((5, 2, 2, 2))
    before = replace(model(), grid_volume_warp_z=LinearGrid4D(ramp))
    assert compare_models(before, replace(model(), grid_volume_warp_z=LinearGrid4D(finer))).quantities == []
    one = only(compare_models(before, replace(model(), grid_volume_warp_z=LinearGrid4D(finer - 1.5))).quantities)
    assert (one.name, one.rms) == ("volume warp", pytest.approx(1.5))


def test_angles_are_compared_around_the_circle() -> None:
    before = replace(model(), grid_ctf_defocus_angle=SplineGrid(np.full((TILTS, 1, 1), 179.0)))
    after = replace(model(), grid_ctf_defocus_angle=SplineGrid(np.full((TILTS, 1, 1), 2.0)))
    assert only(compare_models(before, after).quantities).rms == pytest.approx(3.0)


def test_single_numbers_are_named_with_both_values() -> None:
    before = model()
    after = replace(
        before,
        use=np.array([True, True, False]),
        level_angle_x_deg=1.5,
        magnification=np.diag([1.01, 1.0]),
        ctf=replace(before.ctf, cs_mm=2.5),
    )
    assert compare_models(before, after).settings == {
        "tilts in use": (3, 2),
        "level angle x, deg": (0.0, 1.5),
        "magnification": ([[1.0, 0.0], [0.0, 1.0]], [[1.01, 0.0], [0.0, 1.0]]),
        "CTF cs_mm": (2.7, 2.5),
    }


def test_another_number_of_tilts_is_said_and_no_more() -> None:
    fewer = replace(
        model(),
        **{
            name: getattr(model(), name)[:2]
            for name in ("angles_deg", "exposure", "use", "axis_angle_deg", "axis_offset_x_A", "axis_offset_y_A")
        },
    )
    change = compare_models(model(), fewer)
    assert change.quantities == [] and change.settings["tilts"] == (3, 2)
