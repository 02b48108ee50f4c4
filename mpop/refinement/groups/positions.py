"""Positions of particles in the tomogram, at every sample of their trajectories, in A."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.groups.group import Effect, Motion, SeenImages, State, Unit


@dataclass(frozen=True)
class Positions:
    """Added to positions."""

    name: str = "positions"
    label: str = "positions"
    unit: str = "A"
    motion: Motion = "shift"
    per: Unit = "particle"
    sigma: float = 5.0
    prior_weight: float = 1.0

    def prepared(self, model: TiltSeriesModel) -> TiltSeriesModel:
        """As it is."""
        return model

    def shape(self, state: State) -> tuple[int, int, int]:
        """x, y and z of every particle at every sample."""
        particles, samples, _ = state.position_A.shape
        return (particles, 3, samples)

    def apply(self, offset: Tensor, state: State) -> State:
        """Particles move."""
        return replace(state, position_A=state.position_A + offset.transpose(1, 2))

    def effect(self, images: SeenImages) -> Effect:
        """What the stage shows of a shift, by how much of every sample there is at a tilt's exposure."""
        return Effect(images.particle, images.stage[:, :2], images.of_samples)
