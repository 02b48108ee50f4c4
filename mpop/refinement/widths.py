"""How far each kind of parameter of tilt series is off, learned from the images before anything moves.

At the parameters that a job starts from, the score L of image i has a slope g_i by its shift (or turn). If the
image is out of place by u_i, and tells a shift to 1 / sqrt(f_i), then g_i = f_i u_i + noise, with noise that no
other image shares. Products of two images are therefore free of it:

    <g_i . g_j> = f_i f_j <u_i . u_j>        i != j

and what two images share tells the kind of error: one particle in two tilts its pose; two particles in one
tilt the stage and the shift of that tilt; two that are near each other in it, beyond that, the local warp. The
width sigma of each kind is the least-squares solution over all pairs. A sum over the pairs of a particle, or of a
tilt, is the square of the sum over its images less the sum of squares.

Half 1 is compared with half-map 2 here, and half 2 with half-map 1: in its own half-map an image finds itself, and
that holds it where it is. Only these few numbers come of it, and nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mpop.refinement.system import ImageSlopes, SeriesSystem, Widths
from mpop.refinement.target import SpeciesImages

Array = NDArray[np.float64]

SUPPORTED_Z = 2.0
"""A kind of error is there when its variance is so many standard errors above 0. A width that is too large moves
parameters by noise; one of 0 leaves them where they are, to be asked again."""
FEWEST_UNITS = 8
"""Particles, or tilts, that tell a standard error."""


@dataclass(frozen=True)
class VarianceSums:
    """Normal equations A v = b of k variances, by unit (particle or tilt): b (units, k), a (units, k, k)."""

    b: Array
    a: Array

    def __add__(self, other: VarianceSums) -> VarianceSums:
        return VarianceSums(np.concatenate([self.b, other.b]), np.concatenate([self.a, other.a]))

    def variances(self) -> tuple[Array, Array]:
        """(k,) variances, none below 0, and their standard errors, from how units differ."""
        b, a = self.b.sum(axis=0), self.a.sum(axis=0)
        count = len(b)
        free = np.diag(a) > 0
        variance = np.zeros(count)
        while free.any():
            part = np.ix_(free, free)
            variance[:] = 0.0
            variance[free] = np.linalg.lstsq(a[part], b[free], rcond=None)[0]
            if (variance >= 0).all():
                break
            free &= variance > 0
        else:
            variance[:] = 0.0
        if len(self.b) < FEWEST_UNITS:
            return variance, np.full(count, np.inf)
        left = self.b - self.a @ variance
        error = np.sqrt(np.square(left @ np.linalg.pinv(a)).sum(axis=0))
        return variance, error

    def sigmas(self) -> Array:
        """(k,) widths, 0 for those that are not supported."""
        variance, error = self.variances()
        return np.sqrt(np.where(variance > SUPPORTED_Z * error, variance, 0.0))


@dataclass
class WidthSums:
    """Of some series: the warp (shift of a tilt and local part, A^2) and stage angles (deg^2) by tilt; poses by
    particle, of every species by its id."""

    warp: VarianceSums | None = None
    stage: VarianceSums | None = None
    position: dict[str, VarianceSums] = field(default_factory=dict)
    rotation: dict[str, VarianceSums] = field(default_factory=dict)

    def add(
        self,
        system: SeriesSystem,
        theta: Array,
        species: Sequence[str],
        images: Sequence[SpeciesImages | None],
        device: str = "cpu",
    ) -> None:
        """What the images of one series tell where its parameters are. species: ids, in the order of images."""
        crossed = [one and replace(one, references=one.references[::-1]) for one in images]
        stage = system.stage
        seen: list[ImageSlopes] = []
        for identity, slopes in zip(species, system.slopes(theta, crossed, device), strict=True):
            if slopes is None:
                continue
            seen.append(slopes)
            _put(self.position, identity, _positions(slopes, stage[:, :2]))
            _put(self.rotation, identity, _rotations(slopes, stage))
        if seen:
            stage_sums, warp_sums = _stage_angles(seen, len(stage)), _warp(seen, len(stage))
            self.stage = stage_sums if self.stage is None else self.stage + stage_sums
            self.warp = warp_sums if self.warp is None else self.warp + warp_sums


def _put(sums: dict[str, VarianceSums], species: str, more: VarianceSums) -> None:
    sums[species] = sums[species] + more if species in sums else more


def _rotations(slopes: ImageSlopes, stage: Array) -> VarianceSums:
    """Turns that a particle has in all tilts; stage (n, 3, 3) from the tomogram's frame to the image's."""
    turn = np.einsum("mji,mj->mi", stage[slopes.tilt], slopes.by_turn)
    b = _pairs(slopes.particle, turn, np.square(turn).sum(axis=1))
    information = slopes.turn_information
    return VarianceSums(
        b[:, None], 3 * _pairs(slopes.particle, information[:, None], information**2)[:, None, None]
    )


def _positions(slopes: ImageSlopes, rows: Array) -> VarianceSums:
    """Shifts in the tomogram that a particle has in all tilts; rows (n, 2, 3) of the stage."""
    seen = rows[slopes.tilt]
    pull = np.einsum("mji,mj->mi", seen, slopes.by_shift)
    b = _pairs(slopes.particle, pull, np.square(pull).sum(axis=1))
    information = slopes.shift_information[:, None] * np.einsum("mji,mjk->mik", seen, seen).reshape(-1, 9)
    return VarianceSums(
        b[:, None], _pairs(slopes.particle, information, np.square(information).sum(axis=1))[:, None, None]
    )


def _stage_angles(seen: Sequence[ImageSlopes], n_tilts: int) -> VarianceSums:
    """Turns that all particles of a tilt have, less what all have in all tilts: particles' own turns have a mean,
    which every tilt shows."""
    firsts = np.cumsum([0, *(int(one.particle.max(initial=-1)) + 1 for one in seen)])
    particle = np.concatenate([one.particle + first for one, first in zip(seen, firsts, strict=False)])
    tilt = np.concatenate([one.tilt for one in seen])
    turn, information = (
        np.concatenate([one.by_turn for one in seen]),
        np.concatenate([one.turn_information for one in seen]),
    )
    b = _pairs(tilt, turn, np.square(turn).sum(axis=1), n_tilts)
    a = 3 * _pairs(tilt, information[:, None], information**2, n_tilts)
    apart = 3 * _apart(particle, tilt, information[:, None])
    shared = _apart(particle, tilt, turn) / apart if apart > 0 else 0.0
    return VarianceSums((b - a * shared)[:, None], a[:, None, None])


def _warp(seen: Sequence[ImageSlopes], n_tilts: int) -> VarianceSums:
    """Shifts that all particles of a tilt have, and those that follow the splines of the local warp: with B the
    weights of its nodes, two images share the variances 1 and K = B . B'."""
    tilt = np.concatenate([one.tilt for one in seen])
    pull, information = (
        np.concatenate([one.by_shift for one in seen]),
        np.concatenate([one.shift_information for one in seen]),
    )
    reach = np.concatenate([one.reach for one in seen])
    own = np.square(reach).sum(axis=1)
    pull2 = np.square(pull).sum(axis=1)
    nodes = np.einsum("mi,mj->mij", pull, reach).reshape(len(pull), -1)
    b = [_pairs(tilt, pull, pull2, n_tilts), _pairs(tilt, nodes, pull2 * own, n_tilts)]
    near = information[:, None] * reach
    pairs = np.einsum("mi,mj->mij", near, reach).reshape(len(pull), -1)
    one = _pairs(tilt, information[:, None], information**2, n_tilts)
    k = _pairs(tilt, near, information**2 * own, n_tilts)
    k2 = _pairs(tilt, pairs, np.square(information * own), n_tilts)
    return VarianceSums(np.stack(b, axis=-1), 2 * np.stack([np.stack([one, k], -1), np.stack([k, k2], -1)], -2))


def _pairs(unit: NDArray[np.int64], values: Array, own: Array, count: int | None = None) -> Array:
    """(units,) sums of scalar products of values (m, d) over all pairs of different images in a unit.

    own: (m,) the product of each with itself.
    """
    count = int(unit.max()) + 1 if count is None else count
    total = np.zeros((count, values.shape[1]))
    np.add.at(total, unit, values)
    return np.square(total).sum(axis=1) - np.bincount(unit, own, count)


def _apart(particle: NDArray[np.int64], tilt: NDArray[np.int64], values: Array) -> float:
    """Sum of scalar products of values (m, d) over all pairs of different particles in different tilts."""
    own = np.square(values).sum(axis=1)
    whole = float(np.square(values.sum(axis=0)).sum() - own.sum())
    return whole - float(_pairs(particle, values, own).sum() + _pairs(tilt, values, own).sum())


@dataclass(frozen=True)
class LearnedWidths:
    """Standard deviations per axis of all that tilt series may be off by; 0 where nothing stood out, and
    parameters stay. positions_A, rotations_deg: by species."""

    global_warp_A: float = 0.0
    local_warp_A: float = 0.0
    stage_angles_deg: float = 0.0
    positions_A: dict[str, float] = field(default_factory=dict)
    rotations_deg: dict[str, float] = field(default_factory=dict)

    def with_more(self, sums: WidthSums) -> LearnedWidths:
        """The same, and the widths of what was held so far, if they stand out now."""
        whole, local = (0.0, 0.0) if sums.warp is None else sums.warp.sigmas().tolist()
        stage = 0.0 if sums.stage is None else float(sums.stage.sigmas()[0])
        return LearnedWidths(
            self.global_warp_A or whole,
            self.local_warp_A or local,
            self.stage_angles_deg or stage,
            _first_found(self.positions_A, sums.position),
            _first_found(self.rotations_deg, sums.rotation),
        )

    def of_series(self, species: Sequence[str]) -> list[Widths]:
        """As a series with these species expects its parameters."""
        return [
            Widths(
                self.global_warp_A,
                self.local_warp_A,
                self.stage_angles_deg,
                self.positions_A.get(identity, 0.0),
                self.rotations_deg.get(identity, 0.0),
            )
            for identity in species
        ]


def _first_found(before: dict[str, float], sums: dict[str, VarianceSums]) -> dict[str, float]:
    return {one: before.get(one) or float(part.sigmas()[0]) for one, part in sums.items()} | {
        one: width for one, width in before.items() if width
    }
