"""Whether half-maps have the point group that they are said to have, and which groups would fit as well.

A rotation R is a symmetry when one half-map, turned by it, agrees with the other as well as it does unturned. The
correlations are those of the structure over directions: what a map has in common with itself under every rotation,
its mean over spheres, is taken off, and of an axis u what it has in common under all rotations about u:

    q(R) = (c(R) - m(u)) / (c(1) - m(u)),    c(R) = correlation of half 1 with half 2 turned by R,
                                             m(u) = mean of c over rotations about u

q is 1 for a symmetry and about 0 for any other rotation. Noise makes a correlation uncertain by
sqrt((1 - c(1)^2) / n), n the number of independent values in the particle's sphere, most of them where the
spectrum is strong; a rotation about whose axis there is no structure beyond that says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from mpop.doubts import Doubt
from mpop.geometry.symmetry import rotation_about, symmetry_matrices
from mpop.maps.filters import multiply_radially, resample, transform
from mpop.maps.fsc import FSCReport
from mpop.maps.shells import mean_amplitudes

CANDIDATES = (
    *(f"C{order}" for order in range(2, 13)),
    *(f"D{order}" for order in range(2, 13)),
    "T",
    "O",
    "I1",
    "I2",
    "I3",
    "I4",
)
VOXELS_PER_RESOLUTION = 4.0
MOST_VOXELS = 56
"""Across the particle: finer detail is not needed to tell groups apart."""
MOST_POINTS = 1500
AROUND = 12
"""Rotations about an axis whose mean is what says nothing of its symmetry."""
SURE = 4.0
"""Standard deviations."""
CONTRADICTED, FITS, HOLDS = 0.5, 0.7, 0.9
"""q surely below the first contradicts a symmetry. Above the second a group may be meant in place of one that is
contradicted; above the third it fits as well as a smaller one that is not."""
MOST_CERTAIN = 0.95
"""Agreement of two half-maps from which on something else than noise limits what a correlation can say."""
FEW_OPERATORS, MOST_OPERATORS = 3, 24
"""That contradict a group which is wrong; and that a group must have which nobody gave."""

Map = NDArray[np.float32]
Array = NDArray[np.float64]


def symmetry_doubts(
    where: str, half1: Map, half2: Map, mask: Map, report: FSCReport, pixel_size_A: float, symmetry: str
) -> list[Doubt]:
    """Why the maps do not have the point group, or have a larger one; empty when there is no reason.

    where: the half-maps in words. mask: around the particle, from 0 to 1. report: their FSC within it.
    """
    pair = _Pair.of(half1, half2, mask, report, pixel_size_A)
    if pair is None:
        return []
    matrices = symmetry_matrices(symmetry)
    given = pair.test(matrices, FEW_OPERATORS)
    order, least = (1, FITS) if given.contradicted else (len(matrices), HOLDS)
    others = " or ".join(pair.largest(candidates(), order, least))
    at = f"at {pair.resolution_A:.0f} A"
    if given.worst is not None and given.contradicted:
        read = (
            f"turned by an operator of {symmetry.upper()}, the half-maps keep {max(given.worst, 0):.2f} of the "
            f"agreement that they have unturned, {at}: they do not have this symmetry"
        )
        way_on = f"{others} fits" if others else "no other point group that RELION names fits in its orientation"
        return [Doubt("wrong-symmetry", where, read, way_on=f"{way_on}; give the right --symmetry", grave=True)]
    if others:
        read = f"{symmetry.upper()} was given"
        against = f"{others} fits the maps as well {at}"
        return [Doubt("larger-symmetry", where, read, against, f"{symmetry.upper()} is used")]
    return []


@lru_cache
def candidates() -> dict[str, Array]:
    """Point groups that are tried, with their rotations."""
    return {name: symmetry_matrices(name) for name in CANDIDATES}


@dataclass(frozen=True)
class Fit:
    """Of a group: the least q of its rotations that say something, None where none does, and whether it is surely
    contradicted."""

    worst: float | None
    contradicted: bool


@dataclass
class _Pair:
    """Half 1 at points of a sphere, half 2 as a spline, and what is known of their correlations.

    points: (n, 3) x, y, z from the origin, in voxels. error: of a correlation of nothing but noise.
    """

    values: Array
    spline: Array
    points: Array
    error: float
    resolution_A: float
    known: dict[bytes, float] = field(default_factory=dict)

    @classmethod
    def of(cls, half1: Map, half2: Map, mask: Map, report: FSCReport, pixel_size_A: float) -> _Pair | None:
        """None for maps that agree on no structure over directions."""
        if report.resolution_A is None:
            return None
        reached = 1 / report.resolution_A
        box, extent_A = len(half1), len(half1) * pixel_size_A
        axis = np.square(np.arange(box) - box // 2)
        inside = (axis[:, None, None] + axis[:, None] + axis)[mask > 0.5]
        if not len(inside):
            return None
        radius_A = min(float(np.sqrt(np.percentile(inside, 99))) * pixel_size_A, extent_A / 2 - 2 * pixel_size_A)
        voxel_A = max(1 / reached / VOXELS_PER_RESOLUTION, 2 * radius_A / MOST_VOXELS, pixel_size_A)
        small = min(2 * round(extent_A / voxel_A / 2), box - box % 2)
        voxel_A = extent_A / small
        last = min(int(reached * extent_A), int(extent_A / voxel_A / VOXELS_PER_RESOLUTION * 2))
        weights = np.clip(report.corrected.correlation[: last + 1], 0, 1)
        first, second = (
            _without_spheres(multiply_radially(resample(half, small), weights)) for half in (half1, half2)
        )
        index = np.stack(np.meshgrid(*[np.arange(small) - small // 2] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        index = index[np.square(index).sum(axis=1) <= (radius_A / voxel_A) ** 2]
        if len(index) > MOST_POINTS:
            index = np.random.default_rng(0).permutation(index)[:MOST_POINTS]
        values = first[tuple((index + small // 2).T)].astype(np.float64)
        part = 4 / 3 * np.pi * (radius_A / extent_A) ** 3
        error = _error(first, part)
        pair = cls(
            values, spline_filter(second, order=3), index[:, ::-1].astype(np.float64), error, extent_A / last
        )
        return pair if pair.correlation(np.eye(3)) > SURE * error else None

    def correlation(self, rotation: Array) -> float:
        """Of half 1 with half 2 turned by a rotation."""
        key = np.round(rotation, 6).tobytes()
        if key not in self.known:
            at = (self.points @ rotation.T)[:, ::-1] + len(self.spline) // 2
            turned = map_coordinates(self.spline, at.T, order=3, prefilter=False)
            norm = np.linalg.norm(self.values) * np.linalg.norm(turned)
            self.known[key] = float(self.values @ turned / norm) if norm > 0 else 0.0
        return self.known[key]

    def largest(self, groups: Mapping[str, Array], order: int, least: float) -> list[str]:
        """The largest of some groups that fit, of those with more rotations than `order`. Those that are smaller
        than one that fits are not tried."""
        found: list[str] = []
        for name, matrices in sorted(groups.items(), key=lambda one: -len(one[1])):
            if len(matrices) <= order or (found and len(matrices) < len(groups[found[0]])):
                break
            if self.fits(matrices, least):
                found.append(name)
        return found

    def fits(self, matrices: Array, least: float) -> bool:
        """Whether q of a group (g, 3, 3) is above a limit; quicker than `test` for those that are not."""
        agreement = self.correlation(np.eye(3))
        if any(self.correlation(one) < least * agreement for one in _sample(matrices[1:], MOST_OPERATORS)):
            return False
        worst = self.test(matrices, MOST_OPERATORS).worst
        return worst is not None and worst > least

    def test(self, matrices: Array, most: int) -> Fit:
        """Of a group (g, 3, 3), by no more than so many of its operators."""
        agreement = self.correlation(np.eye(3))
        worst, contradicted = None, False
        for rotation in _sample(matrices[1:], most):
            about = self._about(_axis(rotation))
            error = self.error * np.sqrt(1 - min(agreement, MOST_CERTAIN) ** 2) / max(agreement - about, 1e-9)
            if error * SURE > CONTRADICTED:
                continue
            q = (self.correlation(rotation) - about) / (agreement - about)
            worst, contradicted = q if worst is None else min(worst, q), q + SURE * error < CONTRADICTED
            if contradicted:
                break
        return Fit(worst, contradicted)

    def _about(self, axis: tuple[float, float, float]) -> float:
        angles = (np.arange(AROUND) + 0.5) * 360 / AROUND
        return float(np.mean([self.correlation(rotation_about(axis, angle)) for angle in angles]))


def _sample(matrices: Array, most: int) -> Sequence[Array]:
    """Some rotations of a group, from all of its parts. The first two and the last generate it."""
    if len(matrices) <= most:
        return list(matrices)
    spread = np.linspace(0, len(matrices) - 1, most).round().astype(int)
    return [matrices[i] for i in np.unique([*spread, 1])]


def _axis(rotation: Array) -> tuple[float, float, float]:
    """That of a rotation, one of both directions for it and its inverse."""
    values, vectors = np.linalg.eigh(rotation + rotation.T)
    axis = vectors[:, int(values.argmax())]
    axis = axis * np.sign(axis[int(np.abs(axis).argmax())])
    return float(axis[0]), float(axis[1]), float(axis[2])


def _error(volume: Map, part: float) -> float:
    """Standard deviation of the correlation of two unrelated maps of this spectrum in a part of the box."""
    power = np.square(mean_amplitudes(transform(volume)))
    independent = part * 4 * np.pi * np.square(np.arange(len(power)))
    return float(np.sqrt((independent * power**2).sum()) / (independent * power).sum())


def _without_spheres(volume: Map) -> Map:
    """Less its mean over each sphere around the origin voxel box // 2."""
    box = len(volume)
    axis = np.square(np.arange(box) - box // 2)
    radius = np.sqrt(axis[:, None, None] + axis[:, None] + axis)
    shell = np.rint(radius).astype(np.intp)
    means = np.bincount(shell.ravel(), volume.ravel()) / np.maximum(np.bincount(shell.ravel()), 1)
    return volume - np.interp(radius, np.arange(len(means)), means).astype(np.float32)
