"""What a parameter group is: offsets from where a job started, and what they do to a series.

The offsets of a group are one array theta (units, axes, weights). A unit is a tilt or a particle. To first order
an offset moves (or turns) image i, of unit u(i), by

    u_i = sum over a, w   axes_i[:, a] weights_i[w] theta[u(i), a, w],

which a group states as its `Effect`. From it follow the curvature of the score by each offset, the unit of the
optimiser's steps, and how far the group is off before anything moves (`mpop.refinement.widths`). The exact change
is `apply`, differentiable, on the state of the series.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mpop.geometry.splines import resample_grid, spline_basis
from mpop.geometry.tilt import TiltGeometry
from mpop.records.tilt_series import SplineGrid, TiltSeriesModel
from mpop.series.views import SeriesState

Array = NDArray[np.float64]
Motion = Literal["shift", "turn"]
"""What happens to an image: a shift (x, y; A), or a turn of its frame about x, y and z (deg)."""
Unit = Literal["tilt", "particle"]
State = SeriesState[TiltSeriesModel, Tensor]
"""A tilt series while it is refined."""


@dataclass(frozen=True)
class SeenImages:
    """The m images of one species: particle, tilt (m,), and place (m, 2), from 0 to 1 over the image.

    geometry: of the series, at its state. samples: T, over exposure, of the trajectories.
    """

    particle: NDArray[np.int64]
    tilt: NDArray[np.int64]
    place: Array
    geometry: TiltGeometry
    samples: int

    @property
    def stage(self) -> Array:
        """(m, 3, 3) from the tomogram's frame to that of each image."""
        return self.geometry.stage[self.tilt]

    @property
    def of_samples(self) -> Array:
        """(m, T) how much of every sample of a trajectory there is at the exposure of each image."""
        return spline_basis(self.geometry.exposure_coordinate, self.samples)[self.tilt]


@dataclass(frozen=True)
class Effect:
    """How offsets of a group move m images: unit (m,), axes (m, motion's axes, axes) or None for the image's own,
    weights (m, weights)."""

    unit: NDArray[np.int64]
    axes: Array | None
    weights: Array

    def curvature(self, information: Array, shape: tuple[int, int, int]) -> Array:
        """(units, axes, weights) curvature of the score by the offsets, from the information (m,) on the motion of
        every image; the same for all axes of a unit."""
        share = 1.0 if self.axes is None else np.square(self.axes).sum(axis=(1, 2)) / self.axes.shape[2]
        total = np.zeros((shape[0], 1, shape[2]))
        np.add.at(total[:, 0], self.unit, (information * share)[:, None] * np.square(self.weights))
        return np.broadcast_to(total, shape)


class ParameterGroup(Protocol):
    """One kind of parameter of tilt series."""

    @property
    def name(self) -> str:
        """As records and tests name it."""
        ...

    @property
    def label(self) -> str:
        """What is off, in a sentence."""
        ...

    @property
    def unit(self) -> str:
        """Of offsets: A or deg."""
        ...

    @property
    def motion(self) -> Motion:
        """What its offsets do to images."""
        ...

    @property
    def per(self) -> Unit:
        """What has offsets of its own; a width is learned for all tilts, and for the particles of each species."""
        ...

    @property
    def sigma(self) -> float:
        """Expected size of offsets, per axis, as long as nothing is known of them."""
        ...

    @property
    def prior_weight(self) -> float:
        """How many times the prior counts beside the likelihood."""
        ...

    def prepared(self, model: TiltSeriesModel) -> TiltSeriesModel:
        """The model with the nodes that the group moves."""
        ...

    def shape(self, state: State) -> tuple[int, int, int]:
        """Units, axes and weights of the offsets in a series; 0 where there is nothing for the group to move."""
        ...

    def apply(self, offset: Tensor, state: State) -> State:
        """The state with offsets of this shape. Differentiable."""
        ...

    def effect(self, images: SeenImages) -> Effect:
        """How offsets move images, to first order."""
        ...


def with_nodes(model: TiltSeriesModel, grids: tuple[str, ...], n_x: int = 1, n_y: int = 1) -> TiltSeriesModel:
    """The model with grids of one node per tilt, and at least so many in x and y."""
    changes: dict[str, SplineGrid] = {}
    for name in grids:
        grid: SplineGrid = getattr(model, name)
        _, old_y, old_x = grid.values.shape
        changes[name] = resample_grid(grid, max(n_x, old_x), max(n_y, old_y), model.n_tilts)
    return replace(model, **changes)
