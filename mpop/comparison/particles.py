"""How far the particles of one species have moved and turned, and what else of them changed, matched by their ids.

A particle of a symmetric species may be described by any of the orientations A S, S in the point group: they are
one and the same. So the turn between A and B is the smallest angle of A^T B S.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.euler import euler_to_matrix
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

    changed_half: particles that went from one half-set to the other, which makes the FSC worthless. rewritten:
    particles whose numbers differ though they did not move: by rounding, by a symmetry of the species, or because
    their trajectory has other samples. columns: extra column -> particles with another value in it; columns_added,
    columns_removed: extra column -> series that have it newly, or no more. reordered: series that list the same
    particles in another order.
    """

    before: int
    after: int
    added: int
    removed: int
    moved: int
    changed_half: int
    shift_A: Spread | None
    rotation_deg: Spread | None
    rewritten: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    columns_added: dict[str, int] = field(default_factory=dict)
    columns_removed: dict[str, int] = field(default_factory=dict)
    reordered: int = 0

    @property
    def is_none(self) -> bool:
        """Whether nothing changed."""
        rows = (
            self.before != self.after
            or self.added
            or self.removed
            or self.moved
            or self.changed_half
            or self.rewritten
            or self.reordered
        )
        return not (rows or self.columns or self.columns_added or self.columns_removed)


@dataclass(frozen=True)
class Displacements:
    """Of the particles that are in both sets, in the order of their ids: shift_A (p,), rotation_deg (p,),
    changed_half (p,) bool, rewritten (p,) bool: other numbers in the pose, moved or not; and how many there were,
    before and after. columns: extra column of both -> how many values changed. reordered: listed otherwise."""

    before: int
    after: int
    shift_A: Array
    rotation_deg: Array
    changed_half: NDArray[np.bool_]
    rewritten: NDArray[np.bool_]
    columns: dict[str, int] = field(default_factory=dict)
    columns_added: frozenset[str] = frozenset()
    columns_removed: frozenset[str] = frozenset()
    reordered: bool = False


def compare_particles(before: ParticleSet | None, after: ParticleSet | None, symmetry: str) -> Displacements:
    """Match particles by id. None is a series without particles. Raises InputError for an unknown point group."""
    if before is None or after is None:
        none = np.zeros(0)
        nobody = np.zeros(0, bool)
        return Displacements(_count(before), _count(after), none, none, nobody, nobody)
    _, old, new = np.intersect1d(before.id, after.id, assume_unique=True, return_indices=True)
    shifts = _common_samples(before.position_A[old], after.position_A[new])
    angles = _common_samples(before.angles_deg[old], after.angles_deg[new])
    return Displacements(
        len(before),
        len(after),
        np.linalg.norm(shifts[1] - shifts[0], axis=-1).max(axis=-1, initial=0.0),
        rotation_between(*angles, symmetry).max(axis=-1, initial=0.0),
        before.half[old] != after.half[new],
        _rewritten(before.position_A[old], after.position_A[new])
        | _rewritten(before.angles_deg[old], after.angles_deg[new]),
        _changed_values(before, after, old, new),
        frozenset(after.extra.keys() - before.extra.keys()),
        frozenset(before.extra.keys() - after.extra.keys()),
        bool((np.argsort(old) != np.argsort(new)).any()),
    )


def _rewritten(before: Array, after: Array) -> NDArray[np.bool_]:
    """Which rows of (p, T, 3) hold other numbers."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return np.ones(len(before), bool)
    return (before != after).any(axis=(1, 2))


def _changed_values(
    before: ParticleSet, after: ParticleSet, old: NDArray[np.int64], new: NDArray[np.int64]
) -> dict[str, int]:
    """Extra column of both -> particles with another value in it, of columns in which there are any."""
    counts = {
        name: sum(before.extra[name][i] != after.extra[name][j] for i, j in zip(old, new, strict=True))
        for name in sorted(before.extra.keys() & after.extra.keys())
    }
    return {name: count for name, count in counts.items() if count}


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
    turn = np.swapaxes(euler_to_matrix(before), -1, -2) @ euler_to_matrix(after)
    smallest = np.full(turn.shape[:-2], np.inf)
    for mate in symmetry_matrices(symmetry):
        # |R - 1| = 2 sqrt(2) sin(angle / 2), which is accurate for small angles, as the trace is not
        np.minimum(smallest, np.linalg.norm(turn @ mate - np.eye(3), axis=(-2, -1)), out=smallest)
    return np.rad2deg(2 * np.arcsin(np.minimum(smallest / 8**0.5, 1.0)))


def summarise(parts: Sequence[Displacements]) -> ParticleChange:
    """One change of many series together."""
    shift, rotation = (
        np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])
        for name in ("shift_A", "rotation_deg")
    )
    moved = (shift > STILL_A) | (rotation > STILL_DEG)
    rewritten = np.concatenate([np.zeros(0, bool), *(part.rewritten for part in parts)])
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
        rewritten=int((rewritten & ~moved).sum()),
        columns=_totals(part.columns for part in parts),
        columns_added=_totals(dict.fromkeys(part.columns_added, 1) for part in parts),
        columns_removed=_totals(dict.fromkeys(part.columns_removed, 1) for part in parts),
        reordered=sum(part.reordered for part in parts),
    )


def _totals(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total = sum(map(Counter, counts), Counter())
    return {name: total[name] for name in sorted(total)}


def _spread(values: Array) -> Spread | None:
    return Spread(float(np.median(values)), float(values.max())) if len(values) else None
