"""Particles of one species in one tilt series, merged by their ids.

Added on one side: taken. Removed on one side: gone, also if the other side changed it: a refinement moves every
particle, a removal is somebody's judgement. Changed on one side: taken. Changed on both: the side preferred. What
can change of a particle are its *cells*: its pose together with its half-set, and its value in each extra column.
Columns are added and removed as particles are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mpop.errors import StateError
from mpop.merging.three_way import UNDECIDED, Side, is_left_open, side_taken, united
from mpop.records.tilt_series import ParticleSet

Value = str | float | int
Cells = frozenset[str | None]
"""Cells of one particle: names of extra columns, and POSE."""

NOTHING: Cells = frozenset()
POSE = None
"""The cell that is the pose and the half-set; columns go by their names."""
MISSING = object()
"""What a particle has in a column that is not there."""


@dataclass(frozen=True)
class Rows:
    """Particles of one state. open: id -> cells that are undecided there, whatever the particles say."""

    particles: ParticleSet
    open: Mapping[int, Cells] = field(default_factory=dict)


@dataclass(frozen=True)
class MergedRows:
    """The particles, sorted by id.

    clashes: how many were changed on both sides. swapped: how many are in one half here and in the other there.
    whole: the side, if any, whose particles these are, all of them and nothing else. open: id -> cells that are
    left undecided, and were taken from the side preferred.
    """

    particles: ParticleSet
    clashes: int
    swapped: int
    whole: Side | None
    open: dict[int, Cells]


def merge_rows(base: Rows | None, ours: Rows, theirs: Rows, preferred: Side = "ours") -> MergedRows:
    """Three-way merge by particle id; `preferred` wins where both sides changed a cell."""
    here, there, was = _tables(base, ours, theirs)
    columns = united(was.columns, here.columns, there.columns)
    taken: dict[int, dict[str | None, Side]] = {}
    left_open: dict[int, Cells] = {}
    clashes = 0
    for identity in sorted(here.rows.keys() | there.rows.keys()):
        if identity in here.rows and identity in there.rows:
            sides, opened = _merged_cells(identity, was, here, there, (POSE, *columns))
            clashes += None in sides.values()
            taken[identity] = {cell: side or preferred for cell, side in sides.items()}
        elif identity in was.rows:  # removed on one side
            continue
        else:
            side: Side = "ours" if identity in here.rows else "theirs"
            taken[identity] = dict.fromkeys((POSE, *columns), side)
            opened = (here if side == "ours" else there).open.get(identity, NOTHING)
        if opened:
            left_open[identity] = opened
    merged = _gather({"ours": here, "theirs": there}, taken, columns)
    whole: Side | None = None
    if len(merged):
        content = _Table(Rows(merged)).content
        whole = "ours" if content == here.content else "theirs" if content == there.content else None
    return MergedRows(merged, clashes, _swapped(ours.particles, theirs.particles), whole, left_open)


class _Table:
    """Particles by id. rows: id -> pose and half-set as bytes, and the values in `columns`, which are sorted."""

    def __init__(self, state: Rows) -> None:
        particles = self.particles = state.particles
        self.open = state.open
        self.columns = sorted(particles.extra)
        self.row_of = {int(identity): row for row, identity in enumerate(particles.id)}
        poses = [
            bytes([int(half)]) + position.tobytes() + angles.tobytes()
            for half, position, angles in zip(
                particles.half, particles.position_A, particles.angles_deg, strict=True
            )
        ]
        values = zip(*(particles.extra[name] for name in self.columns), strict=True)
        extra = values if self.columns else [()] * len(particles)
        self.rows = dict(zip(self.row_of, zip(poses, extra, strict=True), strict=True))

    @property
    def content(self) -> tuple[list[str], dict[int, Any]]:
        """Everything in it; of what is undecided, what the particles say."""
        return self.columns, self.rows

    def cells(self, identity: int) -> dict[str | None, Any]:
        """The cells of a particle, UNDECIDED where they are open; {} when it is not there."""
        if identity not in self.rows:
            return {}
        pose, extra = self.rows[identity]
        found = {POSE: pose, **dict(zip(self.columns, extra, strict=True))}
        return found | dict.fromkeys(self.open.get(identity, ()), UNDECIDED)


def _tables(base: Rows | None, ours: Rows, theirs: Rows) -> tuple[_Table, _Table, _Table]:
    """Ours, theirs and the base, all with as many samples of their trajectories; a pose without a trajectory holds
    at every sample. A base with another trajectory than either side is left as it is: both changed it."""
    samples = max(one.particles.position_A.shape[1] for one in (ours, theirs))
    sides = [replace(one, particles=_sampled(one.particles, samples)) for one in (ours, theirs)]
    if base is None:
        base = Rows(ours.particles.part(np.zeros(0, np.int64)))
        base.particles.extra.clear()
    elif base.particles.position_A.shape[1] == 1:
        base = replace(base, particles=_sampled(base.particles, samples))
    return _Table(sides[0]), _Table(sides[1]), _Table(base)


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


def _merged_cells(
    identity: int, was: _Table, here: _Table, there: _Table, cells: Iterable[str | None]
) -> tuple[Mapping[str | None, Side | None], Cells]:
    """The side that each cell of a particle comes from, None where both changed it, and the cells left open."""
    if was.columns == here.columns == there.columns and not any(
        identity in one.open for one in (was, here, there)
    ):  # most particles: as a whole, which is quick
        side = side_taken(was.rows.get(identity), here.rows[identity], there.rows[identity])
        if side is not None:
            return dict.fromkeys(cells, side), NOTHING
    found = [one.cells(identity) for one in (was, here, there)]
    values = {cell: [one.get(cell, MISSING) for one in found] for cell in cells}
    sides: dict[str | None, Side | None] = {cell: side_taken(*three) for cell, three in values.items()}
    return sides, frozenset(cell for cell, three in values.items() if is_left_open(*three))


def _swapped(ours: ParticleSet, theirs: ParticleSet) -> int:
    _, here, there = np.intersect1d(ours.id, theirs.id, return_indices=True)
    return int(np.count_nonzero(ours.half[here] != theirs.half[there]))


def _gather(
    tables: dict[Side, _Table], taken: dict[int, dict[str | None, Side]], columns: list[str]
) -> ParticleSet:
    """Each cell of each particle from the side given."""
    poses = [(tables[sides[POSE]], identity) for identity, sides in taken.items()]

    def pick(field: str) -> np.ndarray:
        example = getattr(tables["ours"].particles, field)
        values = [getattr(table.particles, field)[table.row_of[identity]] for table, identity in poses]
        return np.array(values, dtype=example.dtype).reshape(len(poses), *example.shape[1:])

    extra: dict[str, list[Value]] = {}
    for name in columns:
        places = [(tables[sides[name]], identity) for identity, sides in taken.items()]
        extra[name] = _filled(
            [
                table.particles.extra[name][table.row_of[i]] if name in table.columns else MISSING
                for table, i in places
            ]
        )
    return ParticleSet(pick("id"), pick("half"), pick("position_A"), pick("angles_deg"), extra)


def _filled(column: list[Any]) -> list[Value]:
    """A column in which some particles have no value: 0 for them, or RELION's `None` in a column of text."""
    blank = "None" if any(isinstance(value, str) for value in column) else 0
    return [blank if value is MISSING else value for value in column]
