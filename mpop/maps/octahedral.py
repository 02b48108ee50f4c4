"""The 48 rotations and reflections that leave a cubic lattice as it is, and the wedge that all space is made from.

Vectors have the order of array axes (z, y, x). The wedge is z >= y >= x >= 0, a 48th of all directions. Where a
quantity is equal for k and -k, 24 elements are enough, the rotations: every other element is minus one of them.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Integers = NDArray[np.integer]


def _elements() -> NDArray[np.int32]:
    """(48, 3, 3) matrices, the 24 rotations first."""
    axes = np.eye(3, dtype=np.int32)[list(itertools.permutations(range(3)))]
    signs = np.array(list(itertools.product((1, -1), repeat=3)), dtype=np.int32)
    all_of_them = (signs[:, None, :, None] * axes).reshape(48, 3, 3)
    return all_of_them[np.argsort(-np.linalg.det(all_of_them), kind="stable")]


def _products() -> NDArray[np.intp]:
    numbers = 3 ** np.arange(9)
    code = ROTATIONS.reshape(24, 9) @ numbers
    order = np.argsort(code)
    signs = np.repeat([1, -1], 24)[:, None]  # of the determinants
    found = signs * (np.einsum("hij,gjk->ghik", ROTATIONS, ELEMENTS).reshape(48, 24, 9) @ numbers)
    return order[np.searchsorted(code[order], found)]


ELEMENTS = _elements()
ROTATIONS = ELEMENTS[:24]
PRODUCTS = _products()
"""(48, 24): which rotation, or minus it, is rotation h after element g, by g and h."""
_FROM_AXIS = np.abs(ROTATIONS).argmax(axis=2).T
_WITH_SIGN = ROTATIONS.sum(axis=2).T


def images(points: Integers) -> Integers:
    """(n, 3) points turned by all rotations: (n, 3, 24)."""
    return points[:, _FROM_AXIS] * _WITH_SIGN


def wedge_points(reach: int) -> NDArray[np.int32]:
    """(n, 3) lattice points of the wedge up to a distance from the origin along z."""
    z, y, x = np.ogrid[: reach + 1, : reach + 1, : reach + 1]
    return np.argwhere((z >= y) & (y >= x)).astype(np.int32)


def multiplicity(points: Integers) -> Integers:
    """(n,) number of elements that leave a point of the wedge where it is; 1 inside of it."""
    z, y, x = points.T
    alike = (z == y).astype(int) + (y == x)
    return np.array([1, 2, 6])[alike] * 2 ** (points == 0).sum(axis=1)


def to_wedge(directions: Array) -> tuple[Array, NDArray[np.intp]]:
    """Directions (n, 3) turned into the wedge, (n, 3), and the rotations (n,) back to them or their opposites."""
    folded = -np.sort(-np.abs(directions), axis=1)
    along = np.abs(np.einsum("hij,nj,ni->nh", ROTATIONS, folded, directions))
    return folded, along.argmax(axis=1)
