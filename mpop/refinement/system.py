"""The multi-particle system of one tilt series: its parameters, its cost, its gradients.

Parameters theta are the offsets of all parameter groups (`mpop.refinement.groups`), one vector. They change the
state of the series, the state says where and how every particle appears in every tilt, and that is scored.

Cost = -L (`mpop.refinement.target`) + sum theta^2 / (2 sigma^2), with sigma the expected size of each kind of
offset: a Gaussian prior. Without it the many nodes of the local warp, each seen by a few particles at a few
electrons, would fit noise. The optimiser works on theta / scale, scale = (H + 1/sigma^2)^(-1/2) with H an
estimate of the curvature of L (`mpop.refinement.curvature`), so that one step length suits all groups.
Gradients run exactly from the kernels through the geometry by torch's reverse mode in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpop.errors import RefinementError
from mpop.geometry.euler import matrix_to_euler
from mpop.geometry.tilt import TiltGeometry
from mpop.records.tilt_series import LinearGrid4D, ParticleSet, SplineGrid, TiltSeriesModel
from mpop.refinement.curvature import by_turn, image_information
from mpop.refinement.groups.group import Motion, ParameterGroup, SeenImages, State
from mpop.refinement.target import SpeciesImages, SpeciesScore, score_species
from mpop.series.tilt_series import TiltSeries
from mpop.series.views import SeriesState

Array = NDArray[np.float64]
Widths = Mapping[str, float]
"""How large offsets are expected to be (prior sigma, per axis), by name of group, for the particles of one species
and for what all share; a group without one, or of 0, is held where it is. Learned in `mpop.refinement.widths`."""

HELD = 1e-3
"""A width (A or degrees) that holds parameters where they are: no image tells so little."""


@dataclass(frozen=True)
class ImageSlopes:
    """How L changes with every image of a species: slopes (m, axes) by its own motions, per A or degree, and the
    information (m,) on them, per A^2 or degree^2."""

    seen: SeenImages
    slopes: dict[Motion, Array]
    information: dict[Motion, Array]


class SeriesSystem:
    """Cost and gradient of one series; parameters as one vector.

    model, particles: the state at the start of the job, particles one set per species.
    """

    def __init__(
        self, model: TiltSeriesModel, particles: list[ParticleSet], groups: Sequence[ParameterGroup]
    ) -> None:
        self.particles = particles
        for group in groups:
            model = group.prepared(model)
        self.model = model
        self.series = TiltSeries(model)
        start = SeriesState.of(model, particles)
        self.start: State = SeriesState(
            model, {}, particles, torch.as_tensor(start.position_A), torch.as_tensor(start.pose)
        )
        self._bounds = np.cumsum([0, *(len(p) for p in particles)])
        shapes = [(group, group.shape(self.start)) for group in groups]
        self.groups = {group.name: group for group, shape in shapes if np.prod(shape) > 0}
        self._shapes = {group.name: shape for group, shape in shapes if np.prod(shape) > 0}
        self.size = sum(int(np.prod(shape)) for shape in self._shapes.values())
        self._widths: list[Widths] = [{group.name: group.sigma for group in groups} for _ in particles]

    @property
    def group_slices(self) -> dict[str, slice]:
        """Where the offsets of each group are in the parameter vector."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self._shapes.values())])
        return {name: slice(int(a), int(b)) for name, a, b in zip(self._shapes, ends, ends[1:], strict=False)}

    @property
    def prior_sigma(self) -> Array:
        """(size,) prior sigma of every parameter, with the weight that its group gives to the prior."""
        sigma = np.empty(self.size)
        for name, part in self.group_slices.items():
            widths = [one.get(name, 0.0) for one in self._widths]
            if self.groups[name].per == "particle":
                offsets = int(np.prod(self._shapes[name][1:]))
                sigma[part] = np.repeat(widths, offsets * np.diff(self._bounds))
            else:
                sigma[part] = widths[0]
            sigma[part] /= np.sqrt(self.groups[name].prior_weight)
        return np.maximum(sigma, HELD)

    def expect(self, widths: Sequence[Widths]) -> None:
        """Expect offsets as large as this, one for each species; what all share is expected as of the first."""
        self._widths = list(widths)

    def state(self, theta: Tensor) -> State:
        """The series with the offsets of all groups. Differentiable."""
        state = self.start
        for name, part in self.group_slices.items():
            state = self.groups[name].apply(theta[part].reshape(self._shapes[name]), state)
        return state

    def _places(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (p, n, 2) and slice rows (p, n, 2, 3) of all particles in all tilts."""
        return self.series.places(self.state(theta))

    def _views(
        self, places: tuple[Tensor, Tensor], images: Sequence[SpeciesImages | None]
    ) -> list[tuple[SpeciesImages, Tensor, Tensor]]:
        """Shift (m, 2) and slice rows (m, 2, 3) of every image, per species that takes part."""
        position, rows = places
        views = []
        for species, start in zip(images, self._bounds, strict=False):
            if species is None:
                continue
            which = (torch.as_tensor(species.particle + start), torch.as_tensor(species.tilt))
            origin = torch.as_tensor(species.origin_px) * species.pixel_size_A
            views.append((species, position[which] - origin, rows[which]))
        return views

    def score(
        self, theta: Array, images: Sequence[SpeciesImages | None], device: str = "cpu"
    ) -> list[SpeciesScore]:
        """L of every species that takes part (images of a species left out are None)."""
        with torch.no_grad():
            places = self._places(torch.as_tensor(theta))
            return [
                score_species(species, shift.numpy(), rows.numpy(), device)
                for species, shift, rows in self._views(places, images)
            ]

    def cost(
        self, theta: Array, images: Sequence[SpeciesImages | None], device: str = "cpu"
    ) -> tuple[float, Array]:
        """Cost and its gradient (size,) by theta; NaN or infinite data raise RefinementError."""
        leaf = torch.tensor(theta, requires_grad=True)
        value, outputs, gradients = 0.0, [], []
        for species, shift, rows in self._views(self._places(leaf), images):
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
        curvature = {name: np.zeros(shape) for name, shape in self._shapes.items()}
        for slopes, first, last in zip(self.slopes(theta, images), self._bounds, self._bounds[1:], strict=False):
            if slopes is None:
                continue
            for name, group in self.groups.items():
                effect, shape = group.effect(slopes.seen), self._shapes[name]
                information = slopes.information[group.motion]
                if group.per == "particle":
                    curvature[name][first:last] += effect.curvature(information, (int(last - first), *shape[1:]))
                else:
                    curvature[name] += effect.curvature(information, shape)
        flat = np.concatenate([c.ravel() for c in curvature.values()])
        sigma = self.prior_sigma
        return np.where(sigma > HELD, 1 / np.sqrt(flat + 1 / np.square(sigma)), 0.0)

    def slopes(
        self, theta: Array, images: Sequence[SpeciesImages | None], device: str = "cpu"
    ) -> list[ImageSlopes | None]:
        """How L changes with every image's own shift and turn; None for species that do not take part, or fit no
        better with their reference than without."""
        with torch.no_grad():
            places = self._places(torch.as_tensor(theta))
            views = iter(self._views(places, images))
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
            by_shift, by_rotation = image_information(species, scored, rows.numpy())
            found.append(
                ImageSlopes(
                    self._seen(places[0], species, int(start)),
                    {"shift": scored.d_shift, "turn": by_turn(rows.numpy(), scored.d_rows)},
                    {"shift": by_shift, "turn": by_rotation},
                )
            )
        return found

    def _seen(self, position_A: Tensor, species: SpeciesImages, start: int) -> SeenImages:
        place = position_A[species.particle + start, species.tilt] / torch.as_tensor(self.model.image_dims_A)
        samples = self.start.position_A.shape[1]
        return SeenImages(species.particle, species.tilt, place.numpy(), TiltGeometry(self.model), samples)

    def updated(self, theta: Array) -> tuple[TiltSeriesModel, list[ParticleSet]]:
        """The model and the particles with the offsets applied."""
        with torch.no_grad():
            state = self.state(torch.as_tensor(theta))
            angles = matrix_to_euler(state.pose).numpy()
        model = replace(
            self.model, **{name: _as_grid(self.model, name, nodes) for name, nodes in state.grids.items()}
        )
        if state.position_A is self.start.position_A and state.pose is self.start.pose:
            return model, self.particles
        return model, [
            replace(p, position_A=state.position_A[a:b].numpy().copy(), angles_deg=angles[a:b].copy())
            for p, a, b in zip(self.particles, self._bounds, self._bounds[1:], strict=False)
        ]


def _as_grid(model: TiltSeriesModel, name: str, nodes: Tensor) -> SplineGrid | LinearGrid4D:
    return replace(getattr(model, name), values=nodes.numpy().copy())
