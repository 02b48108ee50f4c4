"""Point groups as RELION orients them, and how a symmetric model must be turned to fit."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.errors import InputError

Array = NDArray[np.float64]

ANGLE_TOLERANCE_RAD = np.deg2rad(3.0)
"""How far copies of a chain in a model may be from where perfect symmetry puts them."""


def about_axis(axis: Array | tuple[float, float, float], degrees: float) -> Array:
    """(3, 3) right-handed rotation about an axis."""
    unit = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    return Rotation.from_rotvec(np.deg2rad(degrees) * unit).as_matrix()


def generators(name: str) -> list[Array]:
    """The one or two rotations that generate a group, by RELION's name. Raises InputError.

    Cn, Dn: n-fold on z; Dn: 2-fold on x. T: 3-fold on z, 2-fold in the yz plane. O: 4-folds on x, y, z.
    I1, I2 = I: 2-folds on x, y, z; the 5-folds nearest to z lie in the yz plane (I1) or the xz plane (I2).
    """
    match = re.fullmatch(r"([CD])([1-9]\d*)|(T|O|I[12]?)", name.strip().upper())
    if not match:
        raise InputError(f"symmetry {name!r} cannot be simulated; use one of Cn, Dn, T, O, I, I1, I2")
    if match[1]:
        principal = about_axis((0, 0, 1), 360.0 / int(match[2]))
        return [principal] if match[1] == "C" else [principal, about_axis((1, 0, 0), 180.0)]
    golden = (1 + np.sqrt(5)) / 2
    if match[3] == "T":
        return [about_axis((0, 0, 1), 120.0), about_axis((0, np.sqrt(2 / 3), np.sqrt(1 / 3)), 180.0)]
    if match[3] == "O":
        return [about_axis((0, 0, 1), 90.0), about_axis((1, 1, 1), 120.0)]
    five_fold = (0, 1, golden) if match[3] == "I1" else (1, 0, golden)
    return [about_axis(five_fold, 72.0), about_axis((0, 0, 1), 180.0)]


def group_rotations(name: str) -> Array:
    """(g, 3, 3) all rotations of a group, the identity first. Raises InputError."""
    steps = generators(name)
    group = [np.eye(3)]
    fresh = group
    while fresh:
        products = [element @ step for element in fresh for step in steps]
        fresh = []
        for product in products:
            if not any(np.allclose(product, known, atol=1e-6) for known in group):
                group.append(product)
                fresh.append(product)
    return np.stack(group)


def orientation(found: Array, name: str) -> Array:
    """(3, 3) rotation Q that brings a symmetric object into RELION's frame: Q found Q^T holds the group.

    found (m, 3, 3): rotations that map copies of one part onto another, in any frame. Raises InputError when
    they do not make up the group.
    """
    group = group_rotations(name)
    steps = [g for g in generators(name) if not np.allclose(g, np.eye(3))]
    if not steps:
        return np.eye(3)
    wanted = np.stack([_rotation_vector(step) for step in steps])
    for axes in _candidates(found, wanted):
        turn = Rotation.align_vectors(wanted, axes)[0].as_matrix()
        if _holds(np.einsum("ij,mjk,lk->mil", turn, found, turn), group):
            return turn
    raise InputError(f"the copies of a chain in the model are not arranged as {name.upper()}; is C1 meant?")


def _candidates(found: Array, wanted: Array) -> list[Array]:
    """Rotation vectors among `found` that may stand for the generators: right angles, right angle between."""
    vectors = [_rotation_vector(rotation) for rotation in found]
    # the axis of a half turn has no sign
    vectors += [-v for v in vectors if abs(np.linalg.norm(v) - np.pi) < ANGLE_TOLERANCE_RAD]

    def alike(v: Array, w: Array) -> bool:
        return abs(np.linalg.norm(v) - np.linalg.norm(w)) < ANGLE_TOLERANCE_RAD

    choices = [[v for v in vectors if alike(v, w)] for w in wanted]
    if len(wanted) == 1:
        return [v[None] for v in choices[0]]
    product = wanted[0] @ wanted[1]
    slack = ANGLE_TOLERANCE_RAD * np.linalg.norm(wanted[0]) * np.linalg.norm(wanted[1])
    return [np.stack([v, w]) for v in choices[0] for w in choices[1] if abs(v @ w - product) < slack]


def _holds(found: Array, group: Array) -> bool:
    """Whether every element of the group is among the rotations."""
    distance = np.linalg.norm(found[:, None] - group[None], axis=(2, 3))
    return bool((distance.min(axis=0) < np.sqrt(2) * ANGLE_TOLERANCE_RAD).all())


def _rotation_vector(rotation: Array) -> Array:
    return Rotation.from_matrix(rotation).as_rotvec()
