"""Global image warp: one shift of every tilt, in A."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.groups.group import Effect, Motion, SeenImages, State, Unit, with_nodes

GRIDS = ("grid_movement_x", "grid_movement_y")


@dataclass(frozen=True)
class GlobalWarp:
    """Added to all nodes of a tilt in Warp's movement grids."""

    name: str = "global_warp"
    label: str = "images"
    unit: str = "A"
    motion: Motion = "shift"
    per: Unit = "tilt"
    sigma: float = 10.0
    prior_weight: float = 1.0

    def prepared(self, model: TiltSeriesModel) -> TiltSeriesModel:
        """With one node per tilt."""
        return with_nodes(model, GRIDS)

    def shape(self, state: State) -> tuple[int, int, int]:
        """x and y of every tilt."""
        return (state.model.n_tilts, 2, 1)

    def apply(self, offset: Tensor, state: State) -> State:
        """The whole image moves."""
        for axis, grid in enumerate(GRIDS):
            state = state.with_added(grid, offset[:, axis, :, None])
        return state

    def effect(self, images: SeenImages) -> Effect:
        """All images of a tilt alike."""
        return Effect(images.tilt, None, np.ones((len(images.tilt), 1)))
