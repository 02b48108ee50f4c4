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

from mpop.refinement.groups.group import Effect, Motion, Unit
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


@dataclass(frozen=True)
class Family:
    """Groups whose widths are learned together: they move images in the same way, and have offsets per the same
    unit. species: of particles; None for what all species share."""

    groups: tuple[str, ...]
    species: str | None


@dataclass
class WidthSums:
    """Sums over the images of some series, for each family of groups."""

    families: dict[Family, VarianceSums] = field(default_factory=dict)

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
        found = dict(zip(species, system.slopes(theta, crossed, device), strict=True))
        seen = {identity: slopes for identity, slopes in found.items() if slopes is not None}
        if not seen:
            return
        for (motion, per), names in _families(system).items():
            if per == "particle":
                for identity, slopes in seen.items():
                    effects = [system.groups[name].effect(slopes.seen) for name in names]
                    sums = normal_equations(effects, slopes.slopes[motion], slopes.information[motion])
                    self._put(Family(names, identity), sums)
            else:
                self._put(Family(names, None), _shared(system, names, motion, list(seen.values())))

    def include(self, other: WidthSums) -> None:
        """Add the sums over the images of other series."""
        for family, more in other.families.items():
            self._put(family, more)

    def _put(self, family: Family, more: VarianceSums) -> None:
        self.families[family] = self.families[family] + more if family in self.families else more


def _families(system: SeriesSystem) -> dict[tuple[Motion, Unit], tuple[str, ...]]:
    """Names of groups that are learned together."""
    families: dict[tuple[Motion, Unit], tuple[str, ...]] = {}
    for name, group in system.groups.items():
        families[group.motion, group.per] = (*families.get((group.motion, group.per), ()), name)
    return families


def _shared(
    system: SeriesSystem, names: tuple[str, ...], motion: Motion, seen: Sequence[ImageSlopes]
) -> VarianceSums:
    """Of groups that all species of a series share. Turns that all particles have in all tilts are taken out: they
    are the mean of particles' own turns, which every tilt shows."""
    parts = [[system.groups[name].effect(one.seen) for name in names] for one in seen]
    effects = [_together(column) for column in zip(*parts, strict=True)]
    slopes = np.concatenate([one.slopes[motion] for one in seen])
    information = np.concatenate([one.information[motion] for one in seen])
    common = Effect(effects[0].unit, None, np.ones((len(slopes), 1)))
    sums = normal_equations([*effects, common], slopes, information, system.model.n_tilts)
    count = len(names)
    b, a = sums.b[:, :count], sums.a[:, :count, :count]
    if motion != "turn":
        return VarianceSums(b, a)
    firsts = np.cumsum([0, *(int(one.seen.particle.max(initial=-1)) + 1 for one in seen)])
    particle = np.concatenate([one.seen.particle + first for one, first in zip(seen, firsts, strict=False)])
    tilt = np.concatenate([one.seen.tilt for one in seen])
    apart = slopes.shape[1] * _apart(particle, tilt, information[:, None])
    variance = _apart(particle, tilt, slopes) / apart if apart > 0 else 0.0
    return VarianceSums(b - sums.a[:, :count, count] * variance, a)


def _together(effects: Sequence[Effect]) -> Effect:
    """Of the images of several species."""
    axes = [one.axes for one in effects if one.axes is not None]
    return Effect(
        np.concatenate([one.unit for one in effects]),
        np.concatenate(axes) if axes else None,
        np.concatenate([one.weights for one in effects]),
    )


def normal_equations(
    effects: Sequence[Effect], slopes: Array, information: Array, units: int | None = None
) -> VarianceSums:
    """Of the variances of groups with the same units, from m images: slopes (m, d), the information on them (m,).

    If offsets of a group g have variance v_g, two images of a unit share <u_i . u_j> = v_g tr(F_i F_j'), with
    F = axes x weights; least squares over all pairs of the products of slopes gives
    b_g = sum F_i' g_i . F_j' g_j and a_gh = sum f_i f_j (F_i' H_i . F_j' H_j), H that of h.
    """
    unit = effects[0].unit
    count = int(unit.max()) + 1 if units is None else units
    b = np.zeros((count, len(effects)))
    a = np.zeros((count, len(effects), len(effects)))
    for g, one in enumerate(effects):
        pull = slopes if one.axes is None else np.einsum("mij,mi->mj", one.axes, slopes)
        b[:, g] = _pairs_of(unit, pull, one.weights, count)
        for h in range(g, len(effects)):
            other = effects[h]
            alike = _axes_in_common(one.axes, other.axes, len(unit))
            weights = np.einsum("mi,mj->mij", one.weights, other.weights).reshape(len(unit), -1)
            scale = slopes.shape[1] if alike is None else 1
            axes = information[:, None] * (np.ones((len(unit), 1)) if alike is None else alike)
            a[:, g, h] = a[:, h, g] = scale * _pairs_of(unit, axes, weights, count)
    return VarianceSums(b, a)


def _axes_in_common(one: Array | None, other: Array | None, count: int) -> Array | None:
    """(m, axes^2) products of the axes of two groups; None where both are those of the image."""
    if one is None and other is None:
        return None
    first, second = (other, one) if one is None else (one, other)
    assert first is not None
    if second is None:
        return first.reshape(count, -1)
    return np.einsum("mji,mjk->mik", first, second).reshape(count, -1)


def _pairs_of(unit: NDArray[np.int64], values: Array, weights: Array, count: int) -> Array:
    """(units,) sums over all pairs of different images of (values . values') (weights . weights')."""
    products = np.einsum("mi,mj->mij", values, weights).reshape(len(unit), -1)
    own = np.square(values).sum(axis=1) * np.square(weights).sum(axis=1)
    return _pairs(unit, products, own, count)


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
    """Standard deviations per axis of all that tilt series may be off by, by name of group; 0 where nothing stood
    out, and parameters stay. of_particles: by species, too."""

    of_tilts: dict[str, float] = field(default_factory=dict)
    of_particles: dict[str, dict[str, float]] = field(default_factory=dict)

    def with_more(self, sums: WidthSums) -> LearnedWidths:
        """The same, and the widths of what was held so far, if they stand out now."""
        tilts = dict(self.of_tilts)
        particles = {name: dict(widths) for name, widths in self.of_particles.items()}
        for family, part in sums.families.items():
            for name, sigma in zip(family.groups, part.sigmas().tolist(), strict=True):
                if family.species is None:
                    tilts[name] = tilts.get(name) or sigma
                else:
                    widths = particles.setdefault(name, {})
                    widths[family.species] = widths.get(family.species) or sigma
        return LearnedWidths(tilts, particles)

    def of_series(self, species: Sequence[str]) -> list[Widths]:
        """As a series with these species expects its parameters; what nothing is known of is held."""
        return [
            {
                **self.of_tilts,
                **{name: widths[identity] for name, widths in self.of_particles.items() if identity in widths},
            }
            for identity in species
        ]
