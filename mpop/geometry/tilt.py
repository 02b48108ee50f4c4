"""Where a particle appears in every tilt image of a series, how it is turned there, and at what defocus.

M, "Multi-particle system": with V the volume warp, T_t the stage rotation and W the image warp,

    p   = T_t (r - r_centre + V(r, exposure_t)) + offset_t + image_centre - W_t(p_x, p_y)
    R   = G_t(r) T_t A(pose)                        x_image = R x_map
    dz  = defocus_t + depth                         depth = +- third component of T_t (...)

where T_t = A(0, angle_t + LevelAngleY, -AxisAngle_t) Rx(LevelAngleX), G_t = Rz Ry Rx of the three angle
grids, and W is evaluated where the particle would be without it. Verified against the original Warp
(tests/geometry). Where a single number per tilt would do, a per-tilt array or grid is meant; the image warp
runs over the tilt index in file order, the volume warp over exposure.

Depth counts negative when angles are inverted: Warp then takes it from a projection with tilt, both level
angles and z negated, the mirror image of this one. Position and rotation stay.

Magnification is a 2x2 matrix M: image frequency k samples the map at R^T (M k); it does not move particles.
All numbers are float64, arrays of numpy or tensors of torch as the positions are, and differentiable in positions,
poses and every grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, cast

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.euler import axis_rotation, euler_to_matrix, unwound
from mpop.geometry.namespaces import Array, as_one_of, namespace
from mpop.geometry.splines import evaluate_grid, evaluate_grid_4d, spline_basis
from mpop.records.tilt_series import SplineGrid, TiltSeriesModel

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Projection(Generic[Array]):
    """p particles seen in n tilts."""

    position_A: Array
    """(p, n, 2) x, y from the corner of the image."""
    rotation: Array
    """(p, n, 3, 3), x_image = R x_map."""
    depth_A: Array
    """(p, n) height above the centre of the tilted volume, towards underfocus."""


class TiltGeometry:
    """The geometry of one tilt series, ready to project points.

    grids: tensors that replace grids of the model while they are refined, by their names there: (n_z, n_y, n_x),
    and (n_exposure, n_z, n_y, n_x) of the volume warp.
    """

    def __init__(self, model: TiltSeriesModel, grids: Mapping[str, Any] | None = None) -> None:
        self.model = model
        self._grids = dict(grids or {})
        n = model.n_tilts
        self.tilt_coordinate = np.arange(n) / max(n - 1, 1)
        self.image_dims = np.array(model.image_dims_A, dtype=np.float64)
        self.volume_dims = np.array(model.volume_dims_A, dtype=np.float64)
        exposure = model.exposure
        span = exposure.max() - exposure.min()
        self.exposure_coordinate = (exposure - exposure.min()) / span if span > 0 else np.zeros(n)
        self.offset = np.stack([model.axis_offset_x_A, model.axis_offset_y_A], axis=-1)
        level = axis_rotation(0, np.array(model.level_angle_x_deg, dtype=np.float64))
        tilt = model.angles_deg + model.level_angle_y_deg
        angles = np.stack([np.zeros(n), tilt, -np.asarray(model.axis_angle_deg, np.float64)], axis=-1)
        self.stage = euler_to_matrix(angles) @ level

    def _evaluate(self, name: str, x: Array, y: Array, z: Array) -> Array:
        grid: SplineGrid = getattr(self.model, name)
        margin = (0.0, 0.0, 0.0) if name in self._grids else grid.margin
        return evaluate_grid(self._nodes(x, name), x, y, z, margin)

    def along_exposure(self, samples: Array) -> Array:
        """A trajectory at every tilt: (p, T, 3) samples, equidistant over exposure, to (p, n, 3)."""
        basis = spline_basis(as_one_of(samples, self.exposure_coordinate), samples.shape[1])
        return namespace(samples).einsum("nt,pti->pni", basis, samples)

    def poses(self, angles_deg: Array) -> Array:
        """Matrices A of Euler angles (p, T, 3): (p, n, 3, 3), or (p, 1, 3, 3) when they do not change. From one
        sample to the next an angle takes the shorter way round."""
        if angles_deg.shape[1] == 1:
            return euler_to_matrix(angles_deg)
        return euler_to_matrix(self.along_exposure(unwound(angles_deg)))

    def project(self, position_A: Array, pose: Array) -> Projection[Array]:
        """Positions and rotations in all tilts.

        position_A: (p, T, 3), origin at the corner of the volume. pose: (p, n or 1, 3, 3) matrices A.
        """
        xp = namespace(position_A)
        position = self.along_exposure(position_A)
        x, y, z = self._in_volume(position)
        centred = position - as_one_of(position, self.volume_dims / 2) + self._volume_warp(x, y, z)
        stage = as_one_of(position, self.stage)
        tilted = xp.einsum("nij,pnj->pni", stage, centred)
        unwarped = tilted[..., :2] + as_one_of(position, self.offset + self.image_dims / 2)
        in_image = unwarped / as_one_of(position, self.image_dims)
        u, v = in_image[..., 0], in_image[..., 1]
        t = as_one_of(position, self.tilt_coordinate)
        warp = xp.stack([self._evaluate(f"grid_movement_{axis}", u, v, t) for axis in "xy"], axis=-1)
        gx, gy, gz = (
            axis_rotation(i, self._evaluate(f"grid_angle_{axis}", x, y, t)) for i, axis in enumerate("xyz")
        )
        return Projection(
            position_A=unwarped - warp,
            rotation=gz @ gy @ gx @ stage @ pose,
            depth_A=-tilted[..., 2] if self.model.are_angles_inverted else tilted[..., 2],
        )

    def _in_volume(self, position: Array) -> tuple[Array, Array, Array]:
        """x, y, z from 0 to 1 in the volume, of positions (p, n, 3)."""
        part = position / as_one_of(position, self.volume_dims)
        return part[..., 0], part[..., 1], part[..., 2]

    def _volume_warp(self, x: Array, y: Array, z: Array) -> Array:
        exposure = as_one_of(x, self.exposure_coordinate)
        nodes = [self._nodes(x, f"grid_volume_warp_{axis}") for axis in "xyz"]
        return namespace(x).stack([evaluate_grid_4d(one, x, y, z, exposure) for one in nodes], axis=-1)

    def _nodes(self, x: Array, name: str) -> Array:
        """Nodes of a grid, as it is refined or as one of x."""
        refined = self._grids.get(name)
        return as_one_of(x, getattr(self.model, name).values) if refined is None else cast(Any, refined)

    def defocus_um(self, position_A: Array, depth_A: Array) -> Array:
        """(p, n) defocus of each particle image, positive = underfocus; 1e-4 um per A of depth."""
        return self._over_field("grid_ctf", position_A) + 1e-4 * depth_A

    def astigmatism(self, position_A: Array) -> tuple[Array, Array, Array]:
        """(p, n) defocus delta (um), defocus angle (deg) and phase shift (pi) of each particle image."""
        names = ("grid_ctf_defocus_delta", "grid_ctf_defocus_angle", "grid_ctf_phase")
        delta, angle, phase = (self._over_field(name, position_A) for name in names)
        return delta, angle, phase

    def _over_field(self, name: str, position_A: Array) -> Array:
        x, y, _ = self._in_volume(self.along_exposure(position_A))
        return self._evaluate(name, x, y, as_one_of(x, self.tilt_coordinate))


def slice_rows(rotation: Array, magnification: NDArray[np.float64] | Tensor) -> Array:
    """The two vectors that take an image frequency to the map: k_map = k_x rows_0 + k_y rows_1.

    rotation: (..., 3, 3); magnification: (2, 2) matrix M. Returns (..., 2, 3): M^T R[:2].
    """
    matrix = as_one_of(rotation, magnification) if isinstance(magnification, np.ndarray) else magnification
    return cast(Any, matrix).T @ rotation[..., :2, :]
