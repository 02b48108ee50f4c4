"""Rotations of particles, at every sample of their trajectories: vectors in the tomogram's frame, in degrees."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from mpop.geometry.euler import vector_rotation
from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.groups.group import Effect, Motion, SeenImages, State, Unit
from mpop.refinement.pose_prior import PRIOR_WEIGHT


@dataclass(frozen=True)
class Rotations:
    """Applied after the pose of a particle."""

    name: str = "rotations"
    label: str = "orientations"
    unit: str = "deg"
    motion: Motion = "turn"
    per: Unit = "particle"
    sigma: float = 5.0
    prior_weight: float = PRIOR_WEIGHT
    """As of poses in stacks: all images of a particle are compared with one half-map, whose errors turn it as
    their noise does and do not average out (docs/decisions/020-before-anything-moves.md)."""

    def prepared(self, model: TiltSeriesModel) -> TiltSeriesModel:
        """As it is."""
        return model

    def shape(self, state: State) -> tuple[int, int, int]:
        """A rotation vector of every particle at every sample."""
        particles, samples, _, _ = state.pose.shape
        return (particles, 3, samples)

    def apply(self, offset: Tensor, state: State) -> State:
        """Particles turn."""
        return replace(state, pose=vector_rotation(offset.transpose(1, 2)) @ state.pose)

    def effect(self, images: SeenImages) -> Effect:
        """The turn in the frame of the image, by how much of every sample there is at a tilt's exposure."""
        return Effect(images.particle, images.stage, images.of_samples)
