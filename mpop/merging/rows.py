"""Particles of one species in one tilt series, merged by their ids.

Added on one side: taken. Removed on one side: gone, also if the other side moved it: a refinement moves every
particle, a removal is somebody's judgement. Moved on one side: taken. Moved on both: the side preferred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mpop.errors import StateError
from mpop.merging.three_way import Side, side_taken
from mpop.records.tilt_series import ParticleSet

Extra = dict[str, list[str | float | int]]


@dataclass(frozen=True)
class MergedRows:
    """The particles, sorted by id.

    clashes: how many were moved on both sides. swapped: how many are in one half here and in the other there.
    whole: the side, if any, whose particles these are, all of them and nothing else.
    """

    particles: ParticleSet
    clashes: int
    swapped: int
    whole: Side | None


def merge_rows(
    base: ParticleSet | None, ours: ParticleSet, theirs: ParticleSet, preferred: Side = "ours"
) -> MergedRows:
    """Three-way merge by particle id; `preferred` wins where both sides moved a particle."""
    ours, theirs = _sampled_alike(ours, theirs)
    sides: dict[Side, ParticleSet] = {"ours": ours, "theirs": theirs}
    was, rows_ours, rows_theirs = (_rows(one) for one in (base, ours, theirs))
    taken: dict[int, tuple[Side, int]] = {}
    clashes = 0
    for identity in rows_ours.keys() | rows_theirs.keys():
        found: dict[Side, tuple[int, bytes]] = {}
        if identity in rows_ours:
            found["ours"] = rows_ours[identity]
        if identity in rows_theirs:
            found["theirs"] = rows_theirs[identity]
        if len(found) == 1:
            if identity not in was:  # added on one side; else the other removed it
                (side,) = found
                taken[identity] = (side, found[side][0])
            continue
        old = was[identity][1] if identity in was else None
        side = side_taken(old, found["ours"][1], found["theirs"][1])
        clashes += side is None
        taken[identity] = (side or preferred, found[side or preferred][0])
    merged = _gather(sides, [taken[identity] for identity in sorted(taken)])
    whole: Side | None = None
    if len(merged):
        poses = {identity: pose for identity, (_, pose) in _rows(merged).items()}
        alike = {"ours": rows_ours, "theirs": rows_theirs}
        whole = next((side for side in sides if poses == {i: pose for i, (_, pose) in alike[side].items()}), None)
    return MergedRows(merged, clashes, _swapped(ours, theirs), whole)


def _swapped(ours: ParticleSet, theirs: ParticleSet) -> int:
    _, here, there = np.intersect1d(ours.id, theirs.id, return_indices=True)
    return int(np.count_nonzero(ours.half[here] != theirs.half[there]))


def _sampled_alike(ours: ParticleSet, theirs: ParticleSet) -> tuple[ParticleSet, ParticleSet]:
    """Both with as many samples of their trajectories; a pose without a trajectory holds at every sample."""
    samples = max(ours.position_A.shape[1], theirs.position_A.shape[1])
    return _sampled(ours, samples), _sampled(theirs, samples)


def _sampled(particles: ParticleSet, samples: int) -> ParticleSet:
    have = particles.position_A.shape[1]
    if have == samples:
        return particles
    if have != 1:
        raise StateError(f"trajectories of {have} and of {samples} samples cannot be merged row by row")
    position, angles = (
        np.repeat(values, samples, axis=1) for values in (particles.position_A, particles.angles_deg)
    )
    return replace(particles, position_A=position, angles_deg=angles)


def _rows(particles: ParticleSet | None) -> dict[int, tuple[int, bytes]]:
    """Particle id -> its row, and its half and pose as bytes."""
    if particles is None:
        return {}
    return {
        int(identity): (row, bytes([int(half)]) + position.tobytes() + angles.tobytes())
        for row, (identity, half, position, angles) in enumerate(
            zip(particles.id, particles.half, particles.position_A, particles.angles_deg, strict=True)
        )
    }


def _gather(sides: dict[Side, ParticleSet], rows: list[tuple[Side, int]]) -> ParticleSet:
    def pick(field: str) -> np.ndarray:
        example = getattr(sides["ours"], field)
        values = [getattr(sides[side], field)[row] for side, row in rows]
        return np.array(values, dtype=example.dtype).reshape(len(rows), *example.shape[1:])

    used: set[Side] = {side for side, _ in rows}
    columns = sides["ours"].extra | sides["theirs"].extra
    extra: Extra = {
        name: [sides[side].extra[name][row] for side, row in rows]
        for name in columns
        if all(name in sides[side].extra for side in used)
    }
    return ParticleSet(pick("id"), pick("half"), pick("position_A"), pick("angles_deg"), extra)
