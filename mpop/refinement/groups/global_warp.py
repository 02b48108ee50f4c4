"""Global image warp: one shift of every tilt, in A."""

from __future__ import annotations

from dataclasses import dataclass

from mpop.refinement.groups.group import Motion
from mpop.refinement.groups.per_tilt import PerTilt

GRIDS = ("grid_movement_x", "grid_movement_y")


@dataclass(frozen=True)
class GlobalWarp(PerTilt):
    """Added to all nodes of a tilt in Warp's movement grids."""

    grids = GRIDS
    name: str = "global_warp"
    label: str = "images"
    unit: str = "A"
    motion: Motion = "shift"
    sigma: float = 10.0
