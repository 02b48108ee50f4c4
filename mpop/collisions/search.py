"""Which particles of one tomogram are where others are.

Pairs whose bodies' spheres meet are candidates (a k-d tree finds them); a candidate collides when the bodies, as
they are turned, share at least `THRESHOLD` of the smaller one's volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mpop.collisions.bodies import SAME_PLACE
from mpop.collisions.occupants import Occupant
from mpop.collisions.overlap import Placed, overlaps
from mpop.comparison.particles import rotation_between
from mpop.errors import InputError

THRESHOLD = 0.05
"""Of the smaller body. See docs/decisions/008-collisions.md."""
SAME_ANGLE_DEG = 20.0
"""Duplicates are turned by less, modulo the point group, and nearer than `SAME_PLACE`."""
MAX_CANDIDATES = 20_000_000
"""In one tomogram. A crowded one of 1,000 particles has a few thousand."""


@dataclass(frozen=True)
class Partner:
    """One of two particles. score: more is better, comparable within a species; None when it is not known."""

    species: str
    particle: int
    position_A: tuple[float, float, float]
    score: float | None
    incoming: bool


@dataclass(frozen=True)
class Collision:
    """Two particles in one place.

    kind: a duplicate is the same particle of the same species twice, anything else an overlap.
    overlap: shared volume as a fraction of the smaller body. rotation_deg: between two particles of one species,
    modulo its point group.
    """

    kind: Literal["overlap", "duplicate"]
    first: Partner
    second: Partner
    distance_A: float
    overlap: float
    rotation_deg: float | None


def search(occupants: Sequence[Occupant], threshold: float = THRESHOLD) -> list[Collision]:
    """Every collision among the particles of one tomogram.

    Raises InputError when positions cannot be meant, because millions of particles are in one place.
    """
    if not 0 < threshold < 1:
        raise InputError(f"{threshold:g} is no part of a volume; give a threshold between 0 and 1")
    present = [(one, one.placed, KDTree(one.position_A)) for one in occupants if len(one)]
    found: list[Collision] = []
    for number, (one, placed, tree) in enumerate(present):
        pairs = _pairs_within(tree, 2 * one.shape.body.radius_A)
        found += _collide(one, one, placed, placed, pairs, threshold)
        for other, other_placed, other_tree in present[number + 1 :]:
            reach = one.shape.body.radius_A + other.shape.body.radius_A
            pairs = _pairs_between(tree, other_tree, reach)
            found += _collide(one, other, placed, other_placed, pairs, threshold)
    return found


def _pairs_within(tree: KDTree, reach: float) -> NDArray[np.intp]:
    """(k, 2) pairs of different points that are at most so far apart."""
    _refuse_crowds(tree.count_neighbors(tree, reach) // 2)
    return tree.query_pairs(reach, output_type="ndarray")


def _pairs_between(tree: KDTree, other: KDTree, reach: float) -> NDArray[np.intp]:
    """(k, 2) pairs of a point of each tree that are at most so far apart."""
    _refuse_crowds(tree.count_neighbors(other, reach))
    near = tree.sparse_distance_matrix(other, reach, output_type="ndarray")
    return np.stack([near["i"], near["j"]], axis=1)


def _refuse_crowds(candidates: int) -> None:
    if candidates > MAX_CANDIDATES:
        raise InputError(
            f"{candidates} pairs of particles are within reach of each other in one tomogram; "
            "are their positions in angstrom?"
        )


def _collide(
    one: Occupant, other: Occupant, placed: Placed, other_placed: Placed, pairs: NDArray[np.intp], threshold: float
) -> Iterator[Collision]:
    """The candidates that do collide."""
    if placed.body.volume_A3 <= other_placed.body.volume_A3:
        shared = overlaps(placed, other_placed, pairs, threshold)
    else:
        shared = overlaps(other_placed, placed, np.ascontiguousarray(pairs[:, ::-1]), threshold)
    hits = np.flatnonzero(shared >= threshold)
    rows, other_rows = pairs[hits].T
    distance = np.linalg.norm(one.position_A[rows] - other.position_A[other_rows], axis=1)
    same = one is other
    turn = (
        rotation_between(one.angles_deg[rows], other.angles_deg[other_rows], one.shape.symmetry) if same else None
    )
    for k, hit in enumerate(hits):
        rotation = None if turn is None else float(turn[k])
        duplicate = (
            rotation is not None
            and rotation <= SAME_ANGLE_DEG
            and distance[k] <= SAME_PLACE * one.shape.body.radius_A
        )
        yield Collision(
            "duplicate" if duplicate else "overlap",
            _partner(one, int(rows[k])),
            _partner(other, int(other_rows[k])),
            float(distance[k]),
            float(shared[hit]),
            rotation,
        )


def _partner(occupant: Occupant, row: int) -> Partner:
    x, y, z = occupant.position_A[row].tolist()
    score = None if occupant.score is None else float(occupant.score[row])
    return Partner(occupant.shape.id, int(occupant.ids[row]), (x, y, z), score, bool(occupant.incoming[row]))
