"""How much of one oriented body lies inside another.

A point p of body s (angstrom, frame of its map) is at x_s + A_s p in the tomogram, and so at
A_l^T (x_s + A_s p - x_l) in the map of body l.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mpop.collisions.bodies import Body
from mpop.projection.kernels import FAST, Floats

GLANCE = 128
"""After every so many points a pair is given up if it is clearly below the threshold..."""
SURE_SIGMA = 4.0
"""...which is so many standard deviations of the count at the threshold."""


@dataclass(frozen=True)
class Placed:
    """Particles of one body: position_A (p, 3), rotation (p, 3, 3) with x_tomogram = A x_map."""

    body: Body
    position_A: NDArray[np.float64]
    rotation: NDArray[np.float64]


def overlaps(small: Placed, large: Placed, pairs: NDArray[np.intp], threshold: float) -> NDArray[np.float64]:
    """(k,) part of the volume of a particle of `small` that lies in one of `large`.

    pairs: (k, 2) their indices. Where it is clearly below the threshold it is rough.
    """
    return _overlaps(
        small.body.points,
        small.position_A,
        small.rotation,
        large.body.inside,
        large.body.origin,
        1 / large.body.pixel_size_A,
        large.position_A,
        large.rotation,
        pairs,
        threshold,
    )


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _overlaps(
    points: NDArray[np.float32],
    position_s: Floats,
    rotation_s: Floats,
    inside: NDArray[np.bool_],
    origin: Floats,
    scale: float,
    position_l: Floats,
    rotation_l: Floats,
    pairs: NDArray[np.intp],
    threshold: float,
) -> NDArray[np.float64]:
    """x = scale A_l^T (A_s p + x_s - x_l) + origin is the voxel of each point p; those inside are counted."""
    fractions = np.empty(len(pairs))
    turn = np.empty((3, 3), np.float32)
    shift = np.empty(3, np.float32)
    n_z, n_y, n_x = inside.shape
    for k in range(len(pairs)):
        s, l = pairs[k]  # noqa: E741
        for i in range(3):
            start = origin[i] + 1.5  # half a voxel, so that truncation rounds; one, so that it does not at zero
            for j in range(3):
                start += scale * rotation_l[l, j, i] * (position_s[s, j] - position_l[l, j])
                element = 0.0
                for m in range(3):
                    element += scale * rotation_l[l, m, i] * rotation_s[s, m, j]
                turn[i, j] = element
            shift[i] = start
        hits, seen = 0, 0
        while seen < len(points):
            if hits < threshold * seen - SURE_SIGMA * math.sqrt(threshold * (1 - threshold) * seen):
                break
            for p in range(seen, min(seen + GLANCE, len(points))):
                px, py, pz = points[p, 0], points[p, 1], points[p, 2]
                x = int(turn[0, 0] * px + turn[0, 1] * py + turn[0, 2] * pz + shift[0]) - 1
                y = int(turn[1, 0] * px + turn[1, 1] * py + turn[1, 2] * pz + shift[1]) - 1
                z = int(turn[2, 0] * px + turn[2, 1] * py + turn[2, 2] * pz + shift[2]) - 1
                if 0 <= x < n_x and 0 <= y < n_y and 0 <= z < n_z and inside[z, y, x]:
                    hits += 1
            seen = min(seen + GLANCE, len(points))
        fractions[k] = hits / seen
    return fractions
