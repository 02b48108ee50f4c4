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
All tensors float64, differentiable in positions, poses and every grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mpop.geometry.euler import axis_rotation, euler_to_matrix
from mpop.geometry.splines import evaluate_grid, evaluate_grid_4d, spline_basis
from mpop.records.tilt_series import SplineGrid, TiltSeriesModel


@dataclass(frozen=True)
class Projection:
    """p particles seen in n tilts."""

    position_A: Tensor
    """(p, n, 2) x, y from the corner of the image."""
    rotation: Tensor
    """(p, n, 3, 3), x_image = R x_map."""
    depth_A: Tensor
    """(p, n) height above the centre of the tilted volume, towards underfocus."""


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float64))


class TiltGeometry:
    """The geometry of one tilt series, ready to project points.

    grids: tensors that replace grids of the model while they are refined, by their names there: (n_z, n_y, n_x),
    and (n_exposure, n_z, n_y, n_x) of the volume warp.
    """

    def __init__(self, model: TiltSeriesModel, grids: Mapping[str, Tensor] | None = None) -> None:
        self.model = model
        self._grids = dict(grids or {})
        n = model.n_tilts
        self.tilt_coordinate = torch.arange(n, dtype=torch.float64) / max(n - 1, 1)
        self.image_dims = _tensor(np.asarray(model.image_dims_A))
        self.volume_dims = _tensor(np.asarray(model.volume_dims_A))
        exposure = _tensor(model.exposure)
        span = exposure.max() - exposure.min()
        self.exposure_coordinate = (exposure - exposure.min()) / span if span > 0 else torch.zeros_like(exposure)
        self.offset = torch.stack([_tensor(model.axis_offset_x_A), _tensor(model.axis_offset_y_A)], dim=-1)
        level = axis_rotation(0, _tensor(np.asarray(model.level_angle_x_deg)))
        tilt = _tensor(model.angles_deg) + model.level_angle_y_deg
        angles = torch.stack([torch.zeros_like(tilt), tilt, -_tensor(model.axis_angle_deg)], dim=-1)
        self.stage = euler_to_matrix(angles) @ level

    def _evaluate(self, name: str, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        grid: SplineGrid = getattr(self.model, name)
        if name in self._grids:
            return evaluate_grid(self._grids[name], x, y, z)
        return evaluate_grid(_tensor(grid.values), x, y, z, grid.margin)

    def along_exposure(self, samples: Tensor) -> Tensor:
        """A trajectory at every tilt: (p, T, 3) samples, equidistant over exposure, to (p, n, 3)."""
        basis = spline_basis(self.exposure_coordinate, samples.shape[1])
        return torch.einsum("nt,pti->pni", basis, samples)

    def poses(self, angles_deg: Tensor) -> Tensor:
        """Matrices A of Euler angles (p, T, 3): (p, n, 3, 3), or (p, 1, 3, 3) when they do not change."""
        if angles_deg.shape[1] == 1:
            return euler_to_matrix(angles_deg)
        return euler_to_matrix(self.along_exposure(angles_deg))

    def project(self, position_A: Tensor, pose: Tensor) -> Projection:
        """Positions and rotations in all tilts.

        position_A: (p, T, 3), origin at the corner of the volume. pose: (p, n or 1, 3, 3) matrices A.
        """
        position = self.along_exposure(position_A)
        x, y, z = (position / self.volume_dims).unbind(-1)
        centred = position - self.volume_dims / 2 + self._volume_warp(x, y, z)
        tilted = torch.einsum("nij,pnj->pni", self.stage, centred)
        unwarped = tilted[..., :2] + self.offset + self.image_dims / 2
        u, v = (unwarped / self.image_dims).unbind(-1)
        t = self.tilt_coordinate
        warp = torch.stack([self._evaluate(f"grid_movement_{axis}", u, v, t) for axis in "xy"], dim=-1)
        gx, gy, gz = (
            axis_rotation(i, self._evaluate(f"grid_angle_{axis}", x, y, t)) for i, axis in enumerate("xyz")
        )
        return Projection(
            position_A=unwarped - warp,
            rotation=gz @ gy @ gx @ self.stage @ pose,
            depth_A=-tilted[..., 2] if self.model.are_angles_inverted else tilted[..., 2],
        )

    def _volume_warp(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        nodes = [self._nodes(f"grid_volume_warp_{axis}") for axis in "xyz"]
        return torch.stack([evaluate_grid_4d(one, x, y, z, self.exposure_coordinate) for one in nodes], dim=-1)

    def _nodes(self, name: str) -> Tensor:
        return self._grids[name] if name in self._grids else _tensor(getattr(self.model, name).values)

    def defocus_um(self, position_A: Tensor, depth_A: Tensor) -> Tensor:
        """(p, n) defocus of each particle image, positive = underfocus; 1e-4 um per A of depth."""
        return self._over_field("grid_ctf", position_A) + 1e-4 * depth_A

    def astigmatism(self, position_A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(p, n) defocus delta (um), defocus angle (deg) and phase shift (pi) of each particle image."""
        names = ("grid_ctf_defocus_delta", "grid_ctf_defocus_angle", "grid_ctf_phase")
        delta, angle, phase = (self._over_field(name, position_A) for name in names)
        return delta, angle, phase

    def _over_field(self, name: str, position_A: Tensor) -> Tensor:
        x, y, _ = (self.along_exposure(position_A) / self.volume_dims).unbind(-1)
        return self._evaluate(name, x, y, self.tilt_coordinate)


def slice_rows(rotation: Tensor, magnification: np.ndarray | Tensor) -> Tensor:
    """The two vectors that take an image frequency to the map: k_map = k_x rows_0 + k_y rows_1.

    rotation: (..., 3, 3); magnification: (2, 2) matrix M. Returns (..., 2, 3): M^T R[:2].
    """
    return torch.as_tensor(magnification, dtype=torch.float64).T @ rotation[..., :2, :]
