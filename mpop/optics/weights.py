"""How much signal a tilt still carries: exposure and thickness.

Exposure damps detail as a B-factor of -4 A^2 per e/A^2, amplitude exp(B k^2 / 4) (M, "Weighting"); a tilted
layer is 1/cos thicker and loses signal as cos(tilt). Exposure is Warp's <Dose>, that before each image, which
is what M multiplies; the half image more that the signal has seen on average is the same for all tilts.

When the series has weights of its own, fitted by Warp or M, they take the place of both: B = min(GridDoseBfacs,
-3 exposure) and amplitude GridDoseWeights, with M's rule that a fitted B may damp more than 3 A^2 per e/A^2,
never less. A grid of one node is no fit, whatever its value: Warp writes such grids with 1, 0 or anything for
"nothing fitted", and ignores them. Weights by location in the field and anisotropic B-factors are not applied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.records.tilt_series import SplineGrid, TiltSeriesModel

B_PER_EXPOSURE_A2 = -4.0
LEAST_B_PER_EXPOSURE_A2 = -3.0

Array = NDArray[np.float64]


def _is_fitted(grid: SplineGrid) -> bool:
    return grid.values.size > 1


def _per_tilt(grid: SplineGrid, n_tilts: int) -> Array:
    """(n,) mean over each tilt; a grid with another number of nodes is stretched linearly over the tilts."""
    nodes = grid.values.mean(axis=(1, 2))
    return np.interp(np.linspace(0, 1, n_tilts), np.linspace(0, 1, len(nodes)), nodes)


def tilt_bfactors_A2(model: TiltSeriesModel) -> Array:
    """(n,) B of each tilt, negative = damping, the series' own B-factor included."""
    if _is_fitted(model.grid_dose_bfacs):
        fitted = _per_tilt(model.grid_dose_bfacs, model.n_tilts)
        bfactors = np.minimum(fitted, LEAST_B_PER_EXPOSURE_A2 * model.exposure)
    else:
        bfactors = B_PER_EXPOSURE_A2 * model.exposure
    return bfactors + model.bfactor_A2


def tilt_amplitudes(model: TiltSeriesModel) -> Array:
    """(n,) amplitude of each tilt, the series' own weight included."""
    if _is_fitted(model.grid_dose_weights):
        amplitudes = _per_tilt(model.grid_dose_weights, model.n_tilts)
    else:
        tilt = np.deg2rad(model.angles_deg + model.level_angle_y_deg)
        amplitudes = np.cos(tilt) * np.cos(np.deg2rad(model.level_angle_x_deg))
    return np.clip(amplitudes, 0.0, None) * model.weight


def exposure_weights(model: TiltSeriesModel, frequency_per_A: Array) -> Array:
    """(n, k) amplitude E of each tilt at spatial frequencies (k,) in 1/A."""
    damping = np.exp(tilt_bfactors_A2(model)[:, None] / 4 * np.square(frequency_per_A))
    return tilt_amplitudes(model)[:, None] * damping
