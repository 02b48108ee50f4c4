"""Exposure and tilt weights by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpop.optics.weights import exposure_weights, tilt_amplitudes, tilt_bfactors_A2
from mpop.records.tilt_series import SplineGrid, TiltSeriesModel

MODEL = TiltSeriesModel(
    angles_deg=np.array([-60.0, 0.0, 45.0]),
    exposure=np.array([20.0, 0.0, 10.0]),
    use=np.ones(3, bool),
    axis_angle_deg=np.zeros(3),
    axis_offset_x_A=np.zeros(3),
    axis_offset_y_A=np.zeros(3),
    image_dims_A=(1000.0, 1000.0),
    volume_dims_A=(1000.0, 1000.0, 300.0),
)


def per_tilt(*values: float) -> SplineGrid:
    return SplineGrid(np.array(values).reshape(-1, 1, 1))


def test_default_is_four_square_angstrom_per_electron_and_the_cosine() -> None:
    np.testing.assert_allclose(tilt_bfactors_A2(MODEL), [-80.0, 0.0, -40.0])
    np.testing.assert_allclose(tilt_amplitudes(MODEL), [0.5, 1.0, np.sqrt(0.5)])
    weights = exposure_weights(MODEL, np.array([0.0, 0.1, 0.2]))
    assert weights.shape == (3, 3)
    np.testing.assert_allclose(weights[:, 0], [0.5, 1.0, np.sqrt(0.5)])
    assert weights[0, 2] == pytest.approx(0.5 * np.exp(-80 / 4 * 0.04))
    np.testing.assert_allclose(weights[1], 1.0)


def test_the_layer_itself_is_inclined_by_the_level_angles() -> None:
    """The cosine is that between the beam and the normal of the layer."""
    inclined = tilt_amplitudes(replace(MODEL, level_angle_y_deg=15.0, level_angle_x_deg=60.0))
    np.testing.assert_allclose(inclined, 0.5 * np.cos(np.deg2rad([-45.0, 15.0, 60.0])))


def test_a_tilt_beyond_the_horizon_weighs_nothing() -> None:
    np.testing.assert_allclose(tilt_amplitudes(replace(MODEL, angles_deg=np.array([-95.0, 0.0, 0.0]))), [0, 1, 1])


def test_fitted_bfactors_may_damp_more_than_three_per_electron_never_less() -> None:
    fitted = replace(MODEL, grid_dose_bfacs=per_tilt(-100.0, -5.0, -10.0))
    np.testing.assert_allclose(tilt_bfactors_A2(fitted), [-100.0, -5.0, -30.0])


def test_fitted_weights_replace_the_cosine() -> None:
    fitted = replace(MODEL, grid_dose_weights=per_tilt(0.2, 1.0, 0.7))
    np.testing.assert_allclose(tilt_amplitudes(fitted), [0.2, 1.0, 0.7])


def test_two_nodes_are_a_fit_that_is_stretched_over_the_tilts() -> None:
    fitted = replace(MODEL, grid_dose_weights=per_tilt(0.2, 0.8), grid_dose_bfacs=per_tilt(-80.0, -100.0))
    np.testing.assert_allclose(tilt_amplitudes(fitted), [0.2, 0.5, 0.8])
    np.testing.assert_allclose(tilt_bfactors_A2(fitted), [-80.0, -90.0, -100.0])


@pytest.mark.parametrize("value", [-7.0, 0.0, 0.8, 1.0])
def test_a_grid_of_one_node_is_no_fit_whatever_its_value(value: float) -> None:
    model = replace(MODEL, grid_dose_weights=per_tilt(value), grid_dose_bfacs=per_tilt(value))
    np.testing.assert_array_equal(tilt_amplitudes(model), tilt_amplitudes(MODEL))
    np.testing.assert_array_equal(tilt_bfactors_A2(model), tilt_bfactors_A2(MODEL))


def test_the_series_own_weight_and_bfactor_apply_to_all() -> None:
    series = replace(MODEL, weight=0.5, bfactor_A2=-12.0)
    np.testing.assert_allclose(tilt_bfactors_A2(series), [-92.0, -12.0, -52.0])
    np.testing.assert_allclose(tilt_amplitudes(series), 0.5 * tilt_amplitudes(MODEL))
