"""Point groups by RELION's names and in RELION's orientation.

Cn: n-fold on z.  Dn: n-fold on z, 2-fold on x.  T: 3-fold on z, 2-fold off it.  O: 4-fold on x, y, z.
I1 (= I): 2-folds on x, y, z, 5-folds in the xz plane.  I2 (the orientation of Crowther): as I1, turned by 90
degrees about z.  I3: a 5-fold on z.  I4: a 5-fold on z, the other way round.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError

Array = NDArray[np.float64]

GOLDEN = (1 + 5**0.5) / 2
NAMES = "Cn, Dn (n from 1), T, O, I, I1, I2, I3, I4"


def rotation_about(axis: tuple[float, float, float], angle_deg: float) -> Array:
    """Right-handed rotation about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(angle_deg)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _closure(generators: list[Array]) -> Array:
    """All products of the generators, identity first."""
    group = [np.eye(3)]
    frontier = group
    while frontier:
        new: list[Array] = []
        for element in frontier:
            for generator in generators:
                product = generator @ element
                if all(np.abs(product - known).max() > 1e-6 for known in [*group, *new]):
                    new.append(product)
        group = group + new
        frontier = new
    return np.stack(group)


def _icosahedral(name: str) -> Array:
    two_folds = [rotation_about((0, 0, 1), 180), rotation_about((1, 0, 0), 180)]
    i2 = _closure([*two_folds, rotation_about((1, 0, GOLDEN), 72)])
    if name in ("I2",):
        return i2
    if name in ("I", "I1"):
        turn = rotation_about((0, 0, 1), 90)
    else:
        # bring a 5-fold axis of I2, (1, 0, golden), onto z
        tilt = np.rad2deg(np.arctan2(1, GOLDEN))
        turn = rotation_about((0, 1, 0), -tilt if name == "I3" else tilt)
        if name == "I4":
            turn = turn @ rotation_about((0, 0, 1), 180)
            turn = rotation_about((0, 1, 0), 180) @ turn
    return np.stack([turn @ element @ turn.T for element in i2])


def symmetry_matrices(name: str) -> Array:
    """(g, 3, 3) rotations of a point group, the identity first. Raises InputError for an unknown name."""
    wanted = name.strip().upper()
    match = re.fullmatch(r"([CD])([1-9]\d*)", wanted)
    if match:
        order = int(match[2])
        generators = [rotation_about((0, 0, 1), 360 / order)] if order > 1 else []
        if match[1] == "D":
            generators.append(rotation_about((1, 0, 0), 180))
        return _closure(generators)
    if wanted == "T":
        # 3-fold on z and a 2-fold at half the tetrahedral angle from it, in the yz plane
        half_angle = np.arccos(1 / np.sqrt(3))
        two_fold = (0.0, float(np.sin(half_angle)), float(np.cos(half_angle)))
        return _closure([rotation_about((0, 0, 1), 120), rotation_about(two_fold, 180)])
    if wanted == "O":
        return _closure([rotation_about((0, 0, 1), 90), rotation_about((1, 0, 0), 90)])
    if wanted in ("I", "I1", "I2", "I3", "I4"):
        return _icosahedral(wanted)
    raise InputError(f"symmetry {name!r} is not known; use one of {NAMES}")
