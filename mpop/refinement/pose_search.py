"""Exhaustive search of orientations and shifts around where particle images stand now, from coarse to fine.

Orientations are turned by the points of a body-centred cubic lattice of rotation vectors in a ball: no rotation
within it is farther than 0.56 lattice constants from one of them, and at large angles, where such vectors crowd,
nearer. The first level uses as many components of the images as its lattice can tell apart; every next one halves
the lattice around the best pose, until the lattice is as fine as the images are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference
from mpop.projection.search import best_poses
from mpop.refinement.pose_prior import PosePrior

Array = NDArray[np.float64]

COVERING = 0.559
"""Largest distance from a body-centred cubic lattice, in lattice constants."""
FARTHEST_VOXELS = 1.0
"""How far the outermost component may be from the nearest slice: the references are twice as
large as the particle, and the transform of that changes over two voxels."""
FIRST_POINTS = 3.0
"""Lattice constants in the radius of the first level."""
SHIFT_STEP = 0.35
"""Step of shifts, in units of the finest period of a level."""


@dataclass(frozen=True)
class PoseImages:
    """n images of one half of a species, and where they stand.

    data, power: (n, pixels) P and Q packed by `disc`. row_scale: voxels of the reference per Fourier pixel.
    """

    reference: Reference
    disc: HalfDisc
    data: NDArray[np.complexfloating]
    power: NDArray[np.floating]
    row_scale: float

    def part(self, chosen: NDArray[np.int64] | slice) -> PoseImages:
        """Some of the images."""
        return PoseImages(self.reference, self.disc, self.data[chosen], self.power[chosen], self.row_scale)


@dataclass(frozen=True)
class Level:
    """One level of a search. turns: (t, 3, 3); offsets: (s,) pixels; radius: of the disc that is used."""

    turns: Array
    offsets: Array
    radius: float


def search_poses(
    images: PoseImages,
    rotation: Array,
    shift_px: Array,
    amplitude: float,
    prior: PosePrior,
    angle_deg: float,
    reach_px: float,
) -> tuple[Array, Array]:
    """Rotations (n, 3, 3) and shifts (n, 2) in pixels that fit best within an angle and a shift of the given
    ones."""
    for level in levels(images.disc.r_max, images.row_scale, images.disc.size, angle_deg, reach_px):
        disc, inner = images.disc.inner(level.radius)
        _, best = best_poses(
            images.reference,
            disc,
            np.ascontiguousarray(images.data[:, inner]),
            np.ascontiguousarray(images.power[:, inner]),
            rotation * images.row_scale,
            shift_px,
            level.turns,
            level.offsets,
            amplitude,
            prior.rotation,
            prior.shift_px,
            (prior.sigma_rad, prior.sigma_px),
        )
        rotation = level.turns[best[:, 0]] @ rotation
        shift_px = shift_px + level.offsets[best[:, 1:]]
    return rotation, shift_px


def levels(r_max: float, row_scale: float, size: int, angle_deg: float, reach_px: float) -> Iterator[Level]:
    """The levels of a search. r_max: of the images' disc; angle_deg, reach_px: how far to look."""
    finest = FARTHEST_VOXELS / (COVERING * r_max * row_scale)
    constant = max(np.deg2rad(angle_deg) / FIRST_POINTS, finest)
    radius, reach = np.deg2rad(angle_deg), reach_px
    while True:
        used = min(r_max, FARTHEST_VOXELS / (COVERING * constant * row_scale))
        step = SHIFT_STEP * size / used
        count = int(np.ceil(reach / step))
        offsets = np.linspace(-reach, reach, 2 * count + 1) if count else np.zeros(1)
        yield Level(turns_within(radius, constant), offsets, used)
        if constant <= finest:
            return
        radius, constant = COVERING * constant * 1.5, max(constant / 2, finest)
        reach = min(reach, step / 2)


def turns_within(radius: float, constant: float) -> Array:
    """(t, 3, 3) rotations by lattice points within a radius (rad), at most half a turn; the identity first."""
    radius = min(radius, np.pi)
    reach = int(np.ceil(radius / constant))
    axis = np.arange(-reach, reach + 1)
    corners = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    points = np.concatenate([corners, corners + 0.5]) * constant
    length = np.linalg.norm(points, axis=1)
    kept = np.flatnonzero(length <= radius * (1 + 1e-9))
    order = kept[np.argsort(length[kept], kind="stable")]
    return Rotation.from_rotvec(points[order]).as_matrix()
