"""Point groups by RELION's names and in RELION's orientation.

Cn: n-fold on z.  Dn: n-fold on z, 2-fold on x.  T: 3-fold on z, 2-folds off it.  O: 4-folds on x, y, z.
Icosahedral groups, g the golden ratio:

    I1      2-folds on x, y, z; the 5-folds nearest to z at (0, +-1, g)
    I2 = I  2-folds on x, y, z; the 5-folds nearest to z at (+-1, 0, g)
    I3      5-fold on z, another at (-2, 0, 1)
    I4      5-fold on z, another at (2, 0, 1)

The tests hold operators that relion_refine 3.1.3 prints with --print_symmetry_ops.
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
    known = {_key(group[0])}
    for element in group:  # which grows
        for product in (generator @ element for generator in generators):
            if (key := _key(product)) not in known:
                known.add(key)
                group.append(product)
    return np.stack(group)


def _key(rotation: Array) -> bytes:
    """The same for rotations that are the same but for rounding: elements of finite groups differ by far more."""
    return (np.rint(rotation * 1e4) + 0.0).tobytes()  # -0 to 0


def _icosahedral(name: str) -> Array:
    i2 = [rotation_about((0, 0, 1), 180), rotation_about((1, 0, GOLDEN), 72)]
    # the angle between the 5-fold (1, 0, golden) of I2 and z
    tilt = np.rad2deg(np.arctan2(1, GOLDEN))
    turn = {
        "I": np.eye(3),
        "I1": rotation_about((0, 0, 1), 90),
        "I2": np.eye(3),
        "I3": rotation_about((0, 1, 0), -tilt),
        "I4": rotation_about((0, 1, 0), tilt),
    }[name]
    return _closure([turn @ generator @ turn.T for generator in i2])


def copies(name: str) -> int:
    """How many asymmetric units a molecule of a point group has. Raises InputError for an unknown name."""
    return len(symmetry_matrices(name))


def symmetry_matrices(name: str) -> Array:
    """(g, 3, 3) rotations of a point group, the identity first. Raises InputError for an unknown name."""
    wanted = name.strip().upper()
    match = re.fullmatch(r"([CD])([1-9]\d*)", wanted)
    if match:
        order = int(match[2])
        cyclic = np.stack([rotation_about((0, 0, 1), 360 * i / order) for i in range(order)])
        return cyclic if match[1] == "C" else np.concatenate([cyclic, cyclic @ rotation_about((1, 0, 0), 180)])
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
