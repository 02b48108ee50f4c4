"""What groups share that add one value of every tilt to all nodes of grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.groups.group import Effect, SeenImages, State, Unit, with_nodes


@dataclass(frozen=True)
class PerTilt:
    """grids: those of the model, one for each axis of the motion."""

    grids: ClassVar[tuple[str, ...]]
    per: Unit = "tilt"
    prior_weight: float = 1.0

    def prepared(self, model: TiltSeriesModel) -> TiltSeriesModel:
        """With one node per tilt."""
        return with_nodes(model, self.grids)

    def shape(self, state: State) -> tuple[int, int, int]:
        """One value of every tilt for each grid."""
        return (state.model.n_tilts, len(self.grids), 1)

    def apply(self, offset: Tensor, state: State) -> State:
        """All that a tilt shows moves alike."""
        for axis, grid in enumerate(self.grids):
            state = state.with_added(grid, offset[:, axis, :, None])
        return state

    def effect(self, images: SeenImages) -> Effect:
        """All images of a tilt alike."""
        return Effect(images.tilt, None, np.ones((len(images.tilt), 1)))
