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
from mpop.maps.fsc import THRESHOLD
from mpop.projection.score import project_slices
from mpop.records.tilt_series import ParticleSet, SplineGrid, TiltSeriesModel
from mpop.refinement.target import SpeciesImages, SpeciesScore, score_species

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RefinedGroups:
    """Which parameters are refined."""

    image_warp: tuple[int, int] | None = (4, 4)
    """Nodes along x, y of the local image warp; (1, 1) is a shift per tilt; None leaves the warp alone."""
    stage_angles: bool = True
    poses: bool = True


HELD = 1e-3
"""A width (A or degrees) that holds parameters where they are: no image tells so little."""


@dataclass(frozen=True)
class Widths:
    """How large offsets are expected to be (prior sigma, per axis); learned in `mpop.refinement.widths`.

    positions_A and rotations_deg are of one species; 0 holds a group where it is.
    """

    global_warp_A: float = 10.0
    local_warp_A: float = 4.0
    stage_angles_deg: float = 0.5
    positions_A: float = 5.0
    rotations_deg: float = 5.0


@dataclass(frozen=True)
class ImageSlopes:
    """Of the m images of a species: slopes of L by shift (m, 2) 1/A and by a turn of the image's frame (m, 3)
    1/deg, the information on either (m,) 1/A^2 and 1/deg^2, and the weights (m, nodes) of the local warp's nodes
    where each is."""

    particle: NDArray[np.int64]
    tilt: NDArray[np.int64]
    by_shift: Array
    by_turn: Array
    shift_information: Array
    turn_information: Array
    reach: Array


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
        self._widths = [Widths() for _ in particles]
        self._layout = self._make_layout()
        self.size = sum(int(np.prod(shape)) for shape in self._layout.values())

    def _make_layout(self) -> dict[str, tuple[int, ...]]:
        """Shape of each refined group, in the order of the vector."""
        groups, n, p = self.groups, self.model.n_tilts, int(self._bounds[-1])
        layout: dict[str, tuple[int, ...]] = {}
        if groups.image_warp is not None:
            layout["global_warp"] = (2, n)
            _, n_y, n_x = self.model.grid_movement_x.values.shape
            if n_x * n_y > 1:
                layout["local_warp"] = (2, n, n_y, n_x)
        if groups.stage_angles:
            layout["stage_angles"] = (3, n)
        if groups.poses:
            layout["positions"] = (p, 3)
            layout["rotations"] = (p, 3)
        return layout

    @property
    def group_slices(self) -> dict[str, slice]:
        """Where each refined group sits in the parameter vector."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self._layout.values())])
        return {name: slice(int(a), int(b)) for name, a, b in zip(self._layout, ends, ends[1:], strict=False)}

    @property
    def prior_sigma(self) -> Array:
        """(size,) prior sigma of every parameter."""
        sigma = np.empty(self.size)
        whole = self._widths[0]
        for name, width in (
            ("global_warp", whole.global_warp_A),
            ("local_warp", whole.local_warp_A),
            ("stage_angles", whole.stage_angles_deg),
            ("positions", np.repeat([one.positions_A for one in self._widths], 3 * np.diff(self._bounds))),
            ("rotations", np.repeat([one.rotations_deg for one in self._widths], 3 * np.diff(self._bounds))),
        ):
            if name in self._layout:
                sigma[self.group_slices[name]] = np.maximum(width, HELD)
        return sigma

    def expect(self, widths: Sequence[Widths]) -> None:
        """Expect offsets as large as this, one for each species; the warp and the stage are those of the first."""
        self._widths = list(widths)

    def _unpack(self, theta: Tensor) -> dict[str, Tensor]:
        return {name: theta[part].reshape(self._layout[name]) for name, part in self.group_slices.items()}

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
        """(size,) expected standard deviation of every parameter, the unit of the optimiser's steps; 0 where it is
        held."""
        with torch.no_grad():
            whole = self._project(torch.as_tensor(theta))
            views = self._views(whole, images)
        curvature = {name: np.zeros(shape) for name, shape in self._layout.items()}
        starts = [start for start, species in zip(self._bounds, images, strict=False) if species is not None]
        for (species, shift, rows), start in zip(views, starts, strict=True):
            scored = score_species(species, shift.numpy(), rows.numpy())
            by_shift, by_rotation = _curvature(species, scored, rows.numpy())
            self._add_curvature(curvature, species, int(start), by_shift, by_rotation, whole)
        flat = np.concatenate([c.ravel() for c in curvature.values()])
        sigma = self.prior_sigma
        return np.where(sigma > HELD, 1 / np.sqrt(flat + 1 / np.square(sigma)), 0.0)

    @property
    def stage(self) -> Array:
        """(n, 3, 3) from the tomogram's frame to that of each tilt."""
        return TiltGeometry(self.model).stage.numpy()

    def slopes(
        self, theta: Array, images: Sequence[SpeciesImages | None], device: str = "cpu"
    ) -> list[ImageSlopes | None]:
        """How L changes with every image's own shift and turn; None for species that do not take part, or fit no
        better with their reference than without."""
        with torch.no_grad():
            whole = self._project(torch.as_tensor(theta))
            views = iter(self._views(whole, images))
        found: list[ImageSlopes | None] = []
        for species, start in zip(images, self._bounds, strict=False):
            if species is None:
                found.append(None)
                continue
            _, shift, rows = next(views)
            scored = score_species(species, shift.numpy(), rows.numpy(), device)
            if not scored.amplitude > 0:
                found.append(None)
                continue
            information = _curvature(species, scored, rows.numpy())
            reach = self._reach(whole, species, int(start), *self.model.grid_movement_x.values.shape[1:])
            by_turn = _by_turn(rows.numpy(), scored.d_rows)
            found.append(ImageSlopes(species.particle, species.tilt, scored.d_shift, by_turn, *information, reach))
        return found

    def _reach(self, whole: Projection, species: SpeciesImages, start: int, n_y: int, n_x: int) -> Array:
        """(m, n_y n_x) weights of the local warp's nodes in every image."""
        place = whole.position_A[species.particle + start, species.tilt]
        x, y = (place / torch.as_tensor(self.model.image_dims_A)).unbind(-1)
        return (spline_basis(y, n_y)[:, :, None] * spline_basis(x, n_x)[:, None, :]).flatten(1).numpy()

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
            n_y, n_x = self._layout["local_warp"][2:]
            reach = self._reach(whole, species, start, n_y, n_x).reshape(-1, 1, n_y, n_x)
            weighted = by_shift[:, None, None, None] * reach**2
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

    Of a shift, 2 a^2 (2 pi)^2 sum Q |R|^2 k_x^2; of a turn, 2 a^2 sum Q |dR|^2, with dR how slices change when
    they turn, both from a sample of the images. Noise in R turns like a signal does, and of molecules that are
    nearly round it is most of what turns: only changes that both half-maps have count, each ring of them divided
    by how well the half-maps agree in it, as they do in R.
    """
    sample = np.linspace(0, len(rows) - 1, min(64, len(rows))).astype(int)
    scale, power = species.row_scale, species.power[sample]

    def slices(at: Array) -> tuple[NDArray, NDArray]:
        first, second = (project_slices(one, species.disc, at * scale) for one in species.references)
        return first, second

    still = slices(rows[sample])
    own, shared = _ring_sums(species, power, still)
    agreement = np.clip(np.divide(shared, own, out=np.zeros_like(own), where=own > 0), LEAST_AGREEMENT, 1.0)
    total = max(float(own.sum()), np.finfo(float).tiny)
    k = np.arange(len(own)) / (species.disc.size * species.pixel_size_A)
    by_shift = (2 * np.pi) ** 2 * float((own * k**2 / 2).sum())
    by_turn = 0.0
    for turned in _turned(rows[sample]):
        changes = [after - before for after, before in zip(slices(turned), still, strict=True)]
        own, shared = _ring_sums(species, power, (changes[0], changes[1]))
        by_turn += float(np.maximum(shared / agreement, LEAST_AGREEMENT * own).sum()) / 3 / SMALL_TURN_DEG**2
    each = 2 * scored.amplitude**2 * scored.reference_power / total
    return each * by_shift, each * by_turn


LEAST_AGREEMENT = THRESHOLD
"""Of two half-maps in the shells that are used."""


def _ring_sums(
    species: SpeciesImages, power: NDArray[np.floating], slices: tuple[NDArray, NDArray]
) -> tuple[Array, Array]:
    """(rings,) sums of Q |A|^2, the mean of two sets of slices (s, pixels), and of Q Re(A* B)."""
    ring = np.rint(species.disc.radius).astype(int)
    first, second = slices
    own = (power * (np.square(np.abs(first)) + np.square(np.abs(second))) / 2).sum(axis=0)
    shared = (power * np.real(first.conj() * second)).sum(axis=0)
    return _per_ring(ring, own), _per_ring(ring, shared)


def _per_ring(ring: NDArray[np.int_], values: NDArray[np.floating]) -> Array:
    return np.bincount(ring, values).astype(np.float64)


SMALL_TURN_DEG = 0.5
"""At the edge of a particle of 200 A this is 0.9 A: less than any reference resolves."""


def _turned(rows: Array) -> list[Array]:
    """Slice rows (m, 2, 3) after a small turn of the image's frame about x, y and z."""
    x, y = rows[:, 0], rows[:, 1]
    z, angle = np.cross(x, y), np.deg2rad(SMALL_TURN_DEG)
    moves = [(np.zeros_like(x), -z), (z, np.zeros_like(x)), (-y, x)]
    return [rows + angle * np.stack(move, axis=1) for move in moves]


def _by_turn(rows: Array, d_rows: Array) -> Array:
    """(m, 3) derivatives by a turn (degrees) of the image's frame about x, y and z, from those by slice rows."""
    (x, y), (first, second) = rows.swapaxes(0, 1), d_rows.swapaxes(0, 1)
    z = np.cross(x, y)
    by_turn = np.stack([-(z * second).sum(1), (z * first).sum(1), (x * second - y * first).sum(1)], axis=1)
    return by_turn * np.deg2rad(1.0)
