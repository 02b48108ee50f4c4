"""Stage angles: a turn of every tilt about the x, y and z of its image, in degrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.groups.group import Effect, Motion, SeenImages, State, Unit, with_nodes

GRIDS = ("grid_angle_x", "grid_angle_y", "grid_angle_z")


@dataclass(frozen=True)
class StageAngles:
    """Added to all nodes of a tilt in Warp's angle grids."""

    name: str = "stage_angles"
    label: str = "stage angles"
    unit: str = "deg"
    motion: Motion = "turn"
    per: Unit = "tilt"
    sigma: float = 0.5
    prior_weight: float = 1.0

    def prepared(self, model: TiltSeriesModel) -> TiltSeriesModel:
        """With one node per tilt."""
        return with_nodes(model, GRIDS)

    def shape(self, state: State) -> tuple[int, int, int]:
        """Three angles of every tilt."""
        return (state.model.n_tilts, 3, 1)

    def apply(self, offset: Tensor, state: State) -> State:
        """All particles of a tilt turn."""
        for axis, grid in enumerate(GRIDS):
            state = state.with_added(grid, offset[:, axis, :, None])
        return state

    def effect(self, images: SeenImages) -> Effect:
        """All images of a tilt alike."""
        return Effect(images.tilt, None, np.ones((len(images.tilt), 1)))
