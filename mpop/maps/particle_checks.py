"""Whether density, mask and diameter go together: one doubt for each reason, from the map at low resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.maps.masks import at_low_resolution, standing_out

BESIDE_PART = 0.05
MISSED_PART = 0.5
"""A mask with less than the first part of itself on what stands out, and less than the second of that in itself,
lies beside the particle. A wide mask holds the particle, and one around a part of it lies on it."""
BLACK_SKEWNESS = -0.5
"""Third moment of the voxels, in units of their standard deviation: that of white density is well above 0."""
EXTENT_PERCENTILE = 95
TOO_SMALL, MUCH_TOO_SMALL = 1.15, 1.5
"""Extent of the density over the diameter: from these on, part of the particle, or much of it, is cut off."""
TOO_LARGE = 3.0
"""Diameter over extent."""

Map = NDArray[np.float32]


def particle_doubts(
    where: str, mean: Map, mask: Map | None, pixel_size_A: float, diameter_A: float | None = None
) -> list[Doubt]:
    """Why density (z, y, x), mask from 0 to 1 and diameter cannot all be right; empty when there is no reason.

    where: the map in words. mask: None for none. diameter_A: None when it was not given.
    """
    coarse, voxel_A = at_low_resolution(mean, pixel_size_A)
    inside = np.ones(coarse.shape, dtype=bool) if mask is None else _taken(mask, len(coarse)) > 0.5
    if _is_black(coarse, inside):
        return [
            Doubt(
                "black-density",
                where,
                "density is black: darker inside of the mask than outside",
                way_on="multiply both half-maps by -1",
                grave=True,
            )
        ]
    particle = standing_out(coarse)
    if particle is None or not inside.any():
        return []
    shared = np.count_nonzero(particle & inside)
    part = shared / np.count_nonzero(inside)
    if part < BESIDE_PART and shared < MISSED_PART * np.count_nonzero(particle):
        return [
            Doubt(
                "mask-beside-particle",
                where,
                f"only {100 * part:.0f} % of the mask lies on density",
                way_on="does the mask lie on the particle?",
                grave=True,
            )
        ]
    return [] if diameter_A is None else _diameter_doubts(where, particle & inside, voxel_A, diameter_A)


def _taken(mask: Map, box: int) -> Map:
    """Every so many voxels of a mask, origin on origin."""
    old = len(mask)
    index = np.clip(np.rint(old // 2 + (np.arange(box) - box // 2) * old / box).astype(np.intp), 0, old - 1)
    return mask[np.ix_(index, index, index)]


def _is_black(coarse: Map, inside: NDArray[np.bool_]) -> bool:
    apart = coarse - coarse.mean(dtype=np.float64)
    deviation = float(np.sqrt(np.square(apart).mean()))
    if deviation == 0 or inside.all() or not inside.any():
        return False
    skewness = float((apart**3).mean()) / deviation**3
    return skewness < BLACK_SKEWNESS and float(coarse[inside].mean()) < float(coarse[~inside].mean())


def _diameter_doubts(where: str, density: NDArray[np.bool_], voxel_A: float, diameter_A: float) -> list[Doubt]:
    axis = np.square((np.arange(len(density)) - len(density) // 2) * voxel_A)
    radius = np.sqrt((axis[:, None, None] + axis[:, None] + axis)[density])
    extent = 2 * float(np.percentile(radius, EXTENT_PERCENTILE))
    against = f"the density inside of the mask reaches {extent:.0f} A across the middle of the box"
    read = f"--diameter is {diameter_A:g} A"
    if extent > TOO_SMALL * diameter_A:
        grave = extent > MUCH_TOO_SMALL * diameter_A
        return [
            Doubt(
                "diameter-too-small",
                where,
                read,
                against,
                way_on="what is farther out is cut off: give a larger --diameter",
                grave=grave,
            )
        ]
    if diameter_A > TOO_LARGE * extent:
        return [Doubt("diameter-too-large", where, read, against, way_on="a smaller --diameter leaves out noise")]
    return []
