"""How far the particles of one species have moved and turned, matched by their ids.

A particle of a symmetric species may be described by any of the orientations A S, S in the point group: they are
one and the same. So the turn between A and B is the smallest angle of A^T B S.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.geometry.symmetry import symmetry_matrices
from mpop.records.tilt_series import ParticleSet

Array = NDArray[np.float64]

STILL_A = 1e-4
"""A particle that moved less than this stands still: so much is lost when numbers are written as text."""
STILL_DEG = 1e-4


@dataclass(frozen=True)
class Spread:
    """A number over many particles."""

    median: float
    largest: float


@dataclass(frozen=True)
class ParticleChange:
    """Particles before and after. shift_A and rotation_deg are those of the `moved`, None when there are none.

    changed_half: particles that went from one half-set to the other, which makes the FSC worthless.
    """

    before: int
    after: int
    added: int
    removed: int
    moved: int
    changed_half: int
    shift_A: Spread | None
    rotation_deg: Spread | None

    @property
    def is_none(self) -> bool:
        """Whether nothing changed."""
        return not (self.added or self.removed or self.moved or self.changed_half)


@dataclass(frozen=True)
class Displacements:
    """Of the particles that are in both sets, in the order of their ids: shift_A (p,), rotation_deg (p,),
    changed_half (p,) bool; and how many there were, before and after."""

    before: int
    after: int
    shift_A: Array
    rotation_deg: Array
    changed_half: NDArray[np.bool_]


def compare_particles(before: ParticleSet | None, after: ParticleSet | None, symmetry: str) -> Displacements:
    """Match particles by id. None is a series without particles. Raises InputError for an unknown point group."""
    if before is None or after is None:
        none = np.zeros(0)
        return Displacements(_count(before), _count(after), none, none, np.zeros(0, bool))
    _, old, new = np.intersect1d(before.id, after.id, assume_unique=True, return_indices=True)
    shifts = _common_samples(before.position_A[old], after.position_A[new])
    angles = _common_samples(before.angles_deg[old], after.angles_deg[new])
    return Displacements(
        len(before),
        len(after),
        np.linalg.norm(shifts[1] - shifts[0], axis=-1).max(axis=-1, initial=0.0),
        rotation_between(*angles, symmetry).max(axis=-1, initial=0.0),
        before.half[old] != after.half[new],
    )


def _count(particles: ParticleSet | None) -> int:
    return 0 if particles is None else len(particles)


def _common_samples(before: Array, after: Array) -> tuple[Array, Array]:
    """Trajectories (p, T, 3) at the samples that both have: all, or the middle one when T differs."""
    if before.shape[1] == after.shape[1]:
        return before, after
    middle = before.shape[1] // 2, after.shape[1] // 2
    return before[:, middle[0]][:, None], after[:, middle[1]][:, None]


def rotation_between(before: Array, after: Array, symmetry: str) -> Array:
    """Smallest angle (...) in degrees between orientations (..., 3), (rot, tilt, psi), of a symmetric object."""
    turn = np.swapaxes(_matrices(before), -1, -2) @ _matrices(after)
    smallest = np.full(turn.shape[:-2], np.inf)
    for mate in symmetry_matrices(symmetry):
        # |R - 1| = 2 sqrt(2) sin(angle / 2), which is accurate for small angles, as the trace is not
        np.minimum(smallest, np.linalg.norm(turn @ mate - np.eye(3), axis=(-2, -1)), out=smallest)
    return np.rad2deg(2 * np.arcsin(np.minimum(smallest / 8**0.5, 1.0)))


def _matrices(angles_deg: Array) -> Array:
    """RELION's A = Rz(psi) Ry(tilt) Rz(rot), passive, as `mpop.geometry.euler` has it, which loads torch."""
    flat = Rotation.from_euler("ZYZ", angles_deg.reshape(-1, 3), degrees=True).as_matrix()
    return np.swapaxes(flat, -1, -2).reshape(*angles_deg.shape[:-1], 3, 3)


def summarise(parts: Sequence[Displacements]) -> ParticleChange:
    """One change of many series together."""
    shift, rotation = (
        np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])
        for name in ("shift_A", "rotation_deg")
    )
    moved = (shift > STILL_A) | (rotation > STILL_DEG)
    before, after = sum(part.before for part in parts), sum(part.after for part in parts)
    return ParticleChange(
        before=before,
        after=after,
        added=after - len(shift),
        removed=before - len(shift),
        moved=int(moved.sum()),
        changed_half=sum(int(part.changed_half.sum()) for part in parts),
        shift_A=_spread(shift[moved]),
        rotation_deg=_spread(rotation[moved]),
    )


def _spread(values: Array) -> Spread | None:
    return Spread(float(np.median(values)), float(values.max())) if len(values) else None
