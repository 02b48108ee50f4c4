"""The multi-particle system of one tilt series: its parameters, its cost, its gradients.

Parameters are offsets from where the job started:

    global image warp   (2, n)            A      one shift per tilt
    local image warp    (2, n, n_y, n_x)  A      nodes of a spline over each tilt
    stage angles        (3, n)            deg    about x, y, z of each tilt
    positions           (p, 3)            A      of every particle of every species
    rotations           (p, 3)            deg    rotation vector in the tomogram's frame

Cost = -L (`mpop.refinement.target`) + sum theta^2 / (2 sigma^2), with sigma the expected size of each kind of
offset: a Gaussian prior. Without it the many nodes of the local warp, each seen by a few particles at a few
electrons, would fit noise. The optimiser works on theta / scale, scale = (H + 1/sigma^2)^(-1/2) with H an
estimate of the curvature of L (see `_curvature`), so that one step length suits all groups.
Gradients run exactly from the kernels through the geometry by torch's reverse mode in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpop.errors import RefinementError
from mpop.geometry.euler import euler_to_matrix, matrix_to_euler
from mpop.geometry.splines import resample_grid, spline_basis
from mpop.geometry.tilt import Projection, TiltGeometry, slice_rows
from mpop.projection.score import project_slices
from mpop.records.tilt_series import ParticleSet, SplineGrid, TiltSeriesModel
from mpop.refinement.pose_prior import PoseSpread
from mpop.refinement.target import SpeciesImages, SpeciesScore, score_species

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RefinedGroups:
    """Which parameters are refined, and how large their offsets are expected to be (prior sigma); those of poses
    until it is known better (`SeriesSystem.expect`)."""

    image_warp: tuple[int, int] | None = (4, 4)
    """Nodes along x, y of the local image warp; (1, 1) is a shift per tilt; None leaves the warp alone."""
    stage_angles: bool = True
    poses: bool = True
    sigma_global_warp_A: float = 10.0
    sigma_local_warp_A: float = 4.0
    sigma_stage_deg: float = 0.5
    sigma_position_A: float = 5.0
    sigma_rotation_deg: float = 5.0


class SeriesSystem:
    """Cost and gradient of one series; parameters as one vector.

    model, particles: the state at the start of the job, particles one set per species.
    """

    def __init__(self, model: TiltSeriesModel, particles: list[ParticleSet], groups: RefinedGroups) -> None:
        self.groups = groups
        self.particles = particles
        self.model = _with_grids(model, groups)
        self._positions = torch.cat([torch.as_tensor(p.position_A) for p in particles])
        self._poses = torch.cat([euler_to_matrix(torch.as_tensor(p.angles_deg)) for p in particles])
        self._bounds = np.cumsum([0, *(len(p) for p in particles)])
        self._widths = [(groups.sigma_position_A, groups.sigma_rotation_deg) for _ in particles]
        self._layout = self._make_layout()
        self.size = sum(int(np.prod(shape)) for shape, _ in self._layout.values())

    def _make_layout(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Shape and prior sigma of each refined group, in the order of the vector."""
        groups, n, p = self.groups, self.model.n_tilts, int(self._bounds[-1])
        layout: dict[str, tuple[tuple[int, ...], float]] = {}
        if groups.image_warp is not None:
            layout["global_warp"] = ((2, n), groups.sigma_global_warp_A)
            _, n_y, n_x = self.model.grid_movement_x.values.shape
            if n_x * n_y > 1:
                layout["local_warp"] = ((2, n, n_y, n_x), groups.sigma_local_warp_A)
        if groups.stage_angles:
            layout["stage_angles"] = ((3, n), groups.sigma_stage_deg)
        if groups.poses:
            layout["positions"] = ((p, 3), groups.sigma_position_A)
            layout["rotations"] = ((p, 3), groups.sigma_rotation_deg)
        return layout

    @property
    def group_slices(self) -> dict[str, slice]:
        """Where each refined group sits in the parameter vector."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape, _ in self._layout.values())])
        return {name: slice(int(a), int(b)) for name, a, b in zip(self._layout, ends, ends[1:], strict=False)}

    @property
    def prior_sigma(self) -> Array:
        """(size,) prior sigma of every parameter."""
        sigma = np.concatenate([np.full(int(np.prod(s)), sigma) for s, sigma in self._layout.values()] or [[]])
        for axis, name in enumerate(("positions", "rotations")):
            if name in self._layout:
                widths = [width[axis] for width in self._widths]
                sigma[self.group_slices[name]] = np.repeat(widths, 3 * np.diff(self._bounds))
        return sigma

    def expect(self, spreads: Sequence[PoseSpread | None]) -> None:
        """Expect the poses of every species as far from where they were as all of its particles turned out to be;
        None leaves what was expected."""
        self._widths = [
            width if spread is None else (spread.sigma_A, spread.sigma_deg)
            for width, spread in zip(self._widths, spreads, strict=True)
        ]

    def spreads(self, theta: Array, images: Sequence[SpeciesImages | None]) -> list[PoseSpread | None]:
        """How far the poses of every species that takes part are from where they were."""
        if "positions" not in self._layout:
            return [None] * len(self.particles)
        second = np.square(theta) + np.square(self.scales(theta, images))
        moved, turned = (second[self.group_slices[name]].reshape(-1, 3) for name in ("positions", "rotations"))
        turned_rad2, moved_A2 = np.deg2rad(1.0) ** 2 * turned.mean(axis=1), moved.mean(axis=1)
        return [
            PoseSpread(float(turned_rad2[a:b].sum()), float(moved_A2[a:b].sum()), int(b - a))
            if species is not None and b > a
            else None
            for species, a, b in zip(images, self._bounds, self._bounds[1:], strict=False)
        ]

    def _unpack(self, theta: Tensor) -> dict[str, Tensor]:
        return {name: theta[part].reshape(self._layout[name][0]) for name, part in self.group_slices.items()}

    def _grids(self, offsets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The refined grids: where they started plus their offsets."""
        grids: dict[str, Tensor] = {}
        if "global_warp" in offsets:
            for i, name in enumerate(("grid_movement_x", "grid_movement_y")):
                grids[name] = _nodes(self.model, name) + offsets["global_warp"][i][:, None, None]
                if "local_warp" in offsets:
                    grids[name] = grids[name] + offsets["local_warp"][i]
        if "stage_angles" in offsets:
            for i, name in enumerate(("grid_angle_x", "grid_angle_y", "grid_angle_z")):
                grids[name] = _nodes(self.model, name) + offsets["stage_angles"][i][:, None, None]
        return grids

    def _moved(self, offsets: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(p, T, 3) positions and (p, T, 3, 3) poses with their offsets."""
        if "positions" not in offsets:
            return self._positions, self._poses
        turn = roma.rotvec_to_rotmat(torch.deg2rad(offsets["rotations"]))
        return self._positions + offsets["positions"][:, None], turn[:, None] @ self._poses

    def _project(self, theta: Tensor) -> Projection:
        offsets = self._unpack(theta)
        geometry = TiltGeometry(self.model, self._grids(offsets))
        positions, poses = self._moved(offsets)
        if poses.shape[1] > 1:
            poses = geometry.poses(matrix_to_euler(poses))
        return geometry.project(positions, poses)

    def _views(
        self, whole: Projection, images: Sequence[SpeciesImages | None]
    ) -> list[tuple[SpeciesImages, Tensor, Tensor]]:
        """Shift (m, 2) and slice rows (m, 2, 3) of every image, per species that takes part."""
        rows = slice_rows(whole.rotation, self.model.magnification)
        views = []
        for species, start in zip(images, self._bounds, strict=False):
            if species is None:
                continue
            which = (torch.as_tensor(species.particle + start), torch.as_tensor(species.tilt))
            origin = torch.as_tensor(species.origin_px) * species.pixel_size_A
            views.append((species, whole.position_A[which] - origin, rows[which]))
        return views

    def score(
        self, theta: Array, images: Sequence[SpeciesImages | None], device: str = "cpu"
    ) -> list[SpeciesScore]:
        """L of every species that takes part (images of a species left out are None)."""
        with torch.no_grad():
            whole = self._project(torch.as_tensor(theta))
            return [
                score_species(species, shift.numpy(), rows.numpy(), device)
                for species, shift, rows in self._views(whole, images)
            ]

    def cost(
        self, theta: Array, images: Sequence[SpeciesImages | None], device: str = "cpu"
    ) -> tuple[float, Array]:
        """Cost and its gradient (size,) by theta; NaN or infinite data raise RefinementError."""
        leaf = torch.tensor(theta, requires_grad=True)
        value, outputs, gradients = 0.0, [], []
        for species, shift, rows in self._views(self._project(leaf), images):
            scored = score_species(species, shift.detach().numpy(), rows.detach().numpy(), device)
            if not np.isfinite(scored.value):
                raise RefinementError("the score is not a number: its images or half-maps hold NaN or infinity")
            value -= scored.value
            outputs += [shift, rows]
            gradients += [torch.as_tensor(-scored.d_shift), torch.as_tensor(-scored.d_rows)]
        # positions do not depend on the stage angles, nor rotations on the warp: skip what no parameter moves
        pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if o.requires_grad]
        torch.autograd.backward([o for o, _ in pairs], [g for _, g in pairs])
        assert leaf.grad is not None
        inverse_variance = 1 / np.square(self.prior_sigma)
        value += 0.5 * float(np.sum(np.square(theta) * inverse_variance))
        return value, leaf.grad.numpy() + theta * inverse_variance

    def scales(self, theta: Array, images: Sequence[SpeciesImages | None]) -> Array:
        """(size,) expected standard deviation of every parameter, the unit of the optimiser's steps."""
        with torch.no_grad():
            whole = self._project(torch.as_tensor(theta))
            views = self._views(whole, images)
        curvature = {name: np.zeros(shape) for name, (shape, _) in self._layout.items()}
        starts = [start for start, species in zip(self._bounds, images, strict=False) if species is not None]
        for (species, shift, rows), start in zip(views, starts, strict=True):
            scored = score_species(species, shift.numpy(), rows.numpy())
            by_shift, by_rotation = _curvature(species, scored, rows.numpy())
            self._add_curvature(curvature, species, int(start), by_shift, by_rotation, whole)
        flat = np.concatenate([c.ravel() for c in curvature.values()])
        return 1 / np.sqrt(flat + 1 / np.square(self.prior_sigma))

    def _add_curvature(
        self,
        curvature: dict[str, Array],
        species: SpeciesImages,
        start: int,
        by_shift: Array,
        by_rotation: Array,
        whole: Projection,
    ) -> None:
        """Sum the curvature of the images over the parameters that move or turn them."""
        particle, tilt = species.particle + start, species.tilt
        if "global_warp" in curvature:
            np.add.at(curvature["global_warp"].T, tilt, by_shift[:, None])
        if "local_warp" in curvature:
            n_y, n_x = self._layout["local_warp"][0][2:]
            x, y = (whole.position_A[particle, tilt] / torch.as_tensor(self.model.image_dims_A)).unbind(-1)
            reach = spline_basis(y, n_y)[:, :, None] * spline_basis(x, n_x)[:, None, :]
            weighted = by_shift[:, None, None, None] * reach.numpy()[:, None] ** 2
            np.add.at(curvature["local_warp"].swapaxes(0, 1), tilt, weighted)
        if "stage_angles" in curvature:
            np.add.at(curvature["stage_angles"].T, tilt, by_rotation[:, None])
        if "positions" in curvature:
            np.add.at(curvature["positions"], particle, by_shift[:, None] * (2 / 3))
            np.add.at(curvature["rotations"], particle, by_rotation[:, None])

    def updated(self, theta: Array) -> tuple[TiltSeriesModel, list[ParticleSet]]:
        """The model and the particles with the offsets applied."""
        with torch.no_grad():
            offsets = self._unpack(torch.as_tensor(theta))
            grids = {name: SplineGrid(v.numpy().copy()) for name, v in self._grids(offsets).items()}
            positions, poses = self._moved(offsets)
            angles = matrix_to_euler(poses).numpy()
        model = replace(self.model, **grids)
        if "positions" not in offsets:
            return model, self.particles
        return model, [
            replace(p, position_A=positions[a:b].numpy().copy(), angles_deg=angles[a:b].copy())
            for p, a, b in zip(self.particles, self._bounds, self._bounds[1:], strict=False)
        ]


def _nodes(model: TiltSeriesModel, name: str) -> Tensor:
    return torch.as_tensor(getattr(model, name).values)


def _with_grids(model: TiltSeriesModel, groups: RefinedGroups) -> TiltSeriesModel:
    """The model with the grids that are refined at one node per tilt and at least the wished resolution."""
    changes: dict[str, SplineGrid] = {}
    if groups.image_warp is not None:
        for name in ("grid_movement_x", "grid_movement_y"):
            changes[name] = _refined_grid(getattr(model, name), *groups.image_warp, model.n_tilts)
    if groups.stage_angles:
        for name in ("grid_angle_x", "grid_angle_y", "grid_angle_z"):
            changes[name] = _refined_grid(getattr(model, name), 1, 1, model.n_tilts)
    return replace(model, **changes)


def _refined_grid(grid: SplineGrid, n_x: int, n_y: int, n_z: int) -> SplineGrid:
    _, old_y, old_x = grid.values.shape
    return resample_grid(grid, max(n_x, old_x), max(n_y, old_y), n_z)


def _curvature(species: SpeciesImages, scored: SpeciesScore, rows: Array) -> tuple[Array, Array]:
    """Expected curvature of L by the shift (1/A^2) and by a rotation (1/deg^2) of each image, (m,).

    -d^2 L/ds^2 = 2 a^2 (2 pi)^2 sum Q |R|^2 k_x^2; the mean k^2 comes from a sample of the images. A rotation
    moves the particle's density by its distance to the axis: the same with the mean square radius of a ball.
    """
    sample = np.linspace(0, len(rows) - 1, min(64, len(rows))).astype(int)
    slices = project_slices(species.references[0], species.disc, rows[sample] * species.row_scale)
    weight = species.power[sample] * np.square(np.abs(slices))
    k = species.disc.radius / (species.disc.size * species.pixel_size_A)
    mean_k2 = float((weight * k**2).sum() / max(weight.sum(), np.finfo(float).tiny))
    by_shift = (2 * np.pi) ** 2 * scored.amplitude**2 * scored.reference_power * mean_k2
    diameter = species.references[0].extent_A / 2  # a species' box is twice its diameter
    return by_shift, by_shift * np.deg2rad(1.0) ** 2 * (diameter / 2) ** 2 * (2 / 5)
