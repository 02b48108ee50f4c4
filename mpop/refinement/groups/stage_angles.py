"""Stage angles: a turn of every tilt about the x, y and z of its image, in degrees."""

from __future__ import annotations

from dataclasses import dataclass

from mpop.refinement.groups.group import Motion
from mpop.refinement.groups.per_tilt import PerTilt


@dataclass(frozen=True)
class StageAngles(PerTilt):
    """Added to all nodes of a tilt in Warp's angle grids."""

    grids = ("grid_angle_x", "grid_angle_y", "grid_angle_z")
    name: str = "stage_angles"
    label: str = "stage angles"
    unit: str = "deg"
    motion: Motion = "turn"
    sigma: float = 0.5
