"""Local image warp: shifts at the nodes of a spline over every tilt, in A."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mpop.geometry.splines import spline_basis
from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.groups.global_warp import GRIDS
from mpop.refinement.groups.group import Effect, Motion, SeenImages, State, Unit, with_nodes


@dataclass(frozen=True)
class LocalWarp:
    """Added to the nodes of Warp's movement grids. n_x, n_y: how many there are at least; with one it is nothing
    but the global warp, and there are no offsets."""

    n_x: int = 4
    n_y: int = 4
    name: str = "local_warp"
    label: str = "parts of images"
    unit: str = "A"
    motion: Motion = "shift"
    per: Unit = "tilt"
    sigma: float = 4.0
    prior_weight: float = 1.0

    def prepared(self, model: TiltSeriesModel) -> TiltSeriesModel:
        """With one node per tilt, and these in x and y."""
        return with_nodes(model, GRIDS, self.n_x, self.n_y)

    def shape(self, state: State) -> tuple[int, int, int]:
        """x and y of every node of every tilt."""
        n_tilts, n_y, n_x = state.model.grid_movement_x.values.shape
        return (n_tilts, 2, n_y * n_x if n_y * n_x > 1 else 0)

    def apply(self, offset: Tensor, state: State) -> State:
        """Parts of the image move."""
        nodes = state.model.grid_movement_x.values.shape
        for axis, grid in enumerate(GRIDS):
            state = state.with_added(grid, offset[:, axis].reshape(nodes))
        return state

    def effect(self, images: SeenImages) -> Effect:
        """As much as the spline has of every node where the image is."""
        _, n_y, n_x = images.geometry.model.grid_movement_x.values.shape
        x, y = images.place.T
        weights = spline_basis(y, n_y)[:, :, None] * spline_basis(x, n_x)[:, None, :]
        return Effect(images.tilt, None, weights.reshape(len(x), -1))
