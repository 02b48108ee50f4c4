"""How much of each Fourier coefficient two half-maps hold.

A map from particles with preferred orientations is taken for

    x(k) = A(k) y(k) + n(k)

with y the density, A from 0 (never measured) to 1, and noise n of a power that depends on direction as well.

The power of the noise comes from the difference of the half-maps. A comes first from their cross power in narrow
cones, relative to that of the best directions, as only what both share adds up. The power of the density differs
between directions too; once there is an estimate of the density, A is the regression of each half-map on the
density that was restored from the other half, A = <x2 conj(y1)> / <|y1|^2>, which is free of that.

A is known to a tenth at best, so that A y is wrong by up to that part of y: data count with that error as well as
with their noise. Where nothing was measured, half-maps may hold no noise either, and without it the little that is
taken for A there would be believed to the last digit: that the density has nothing in these directions.

Which directions were measured depends on how particles lay, and that is the same at all radii: each shell is
estimated together with those of similar radius, which makes cones of a few degrees possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mpop.maps.directional import conical_sums
from mpop.maps.directions import Rings, at_coefficients
from mpop.maps.filters import inverse, shell_radius, transform

Map = NDArray[np.float32]
Spectrum = NDArray[np.complex64]
Array = NDArray[np.float64]

SPACING_DEG = 3.0
CONE_SHELL_DEG = 144.0
"""Half angle of the cones for regression times the last shell: cones hold as many coefficients in all maps."""
NARROWEST_DEG, WIDEST_DEG = 3.0, 10.0
POWER_CONE = 5 / 3
"""How much wider cones for power are, which is noisier than a regression."""
POOLING = 0.5
"""Standard deviation of the weights of other shells in a shell's estimate, in parts of its radius."""
NARROWEST_POOLING = 1.0
"""Shells; the least standard deviation of those weights."""
BEST = 0.8
"""Well-measured directions are those that reach this part of this quantile; their mean A is 1."""
RIDGE = 0.01
"""Coefficients of their shell's mean that are added to those of a cone, as it may hold none."""
LEAST_TRUE = 0.25
"""Of the power of a restored density, at least so much is taken for true: in gaps the two may share little."""
UNCERTAIN = 0.1
"""Error of A: cones of some degrees reach out of a gap, and what they find there is not in the data."""
FAINTEST = 1e-6
"""Least power of noise, in parts of the greatest."""


@dataclass(frozen=True)
class TransferModel:
    """What a half-map holds of each coefficient.

    amplitude: A, taken for 0 beyond the shell `limit`; noise: power of the noise of a whole map, not only within
    the mask. Both are (box, box, box // 2 + 1), in rfftn layout. signal: (shells,) power of the density. Powers
    are those of `transform`.
    """

    amplitude: Map
    noise: Map
    signal: Array
    limit: int

    @property
    def box(self) -> int:
        """Voxels along an edge."""
        return len(self.amplitude)

    def measured(self, noise_part: float = 1.0) -> Map:
        """The part of each coefficient that is known from data: from 0, only inferred, to 1.

        noise_part: of the noise of a whole half-map, what is within the mask (`noise_within`).
        """
        certain = np.maximum(np.square(self.amplitude) - np.float32(UNCERTAIN**2), 0)
        evidence = certain * _by_radius(self.signal, self.box)
        return np.divide(evidence, evidence + np.float32(noise_part) * self.noise + self._doubt())

    @cached_property
    def error_of_data(self) -> Map:
        """Power of x - A y: noise, and what A y misses as A is not just what it is taken for."""
        return self.noise + self._doubt()

    def _doubt(self) -> Map:
        """Power of (error of A) y. Well-measured directions have none, as their mean A is 1 by definition."""
        return np.square(np.float32(UNCERTAIN) * (1 - self.amplitude)) * _by_radius(self.signal, self.box)

    def blend(self, data: Spectrum, prior: Map, prior_error: Array) -> Map:
        """The most likely density given a half-map and another estimate of it.

        data: `transform` of the half-map. prior_error: (shells,) power of the error of the prior. Nothing is left
        beyond Nyquist.
        """
        evidence = self.amplitude * _by_radius(prior_error, self.box)
        error = self.error_of_data
        spectrum = (evidence * data + error * transform(prior)) / (self.amplitude * evidence + error)
        return inverse(np.where(shell_radius(self.box) > self.box // 2, np.complex64(0), spectrum), self.box)


def noise_within(mask: Map) -> float:
    """Of the power of a map's noise, the part that is left when it is masked."""
    return float(np.square(mask, dtype=np.float64).mean())


def transfer_by_power(half1: Map, half2: Map, mask: Map, limit: int) -> TransferModel:
    """The model from cross power and difference of two half-maps (z, y, x), with signal up to shell `limit`."""
    box = len(half1)
    first, second = transform(half1), transform(half2)
    rings = Rings.spaced(SPACING_DEG)
    ones = np.ones(first.shape, dtype=np.float32)
    values = [_product(first, second), _product(first - second, first - second) / 2, ones]
    cross, noise, count = conical_sums(values, POWER_CONE * _cone_deg(limit), rings)
    cones = _Cones(rings, limit)
    share = cones.to_best(cones.ratio(cross / _positive(cones.mean(cross, count)), count))
    signal = _signal_power(half1 * mask, half2 * mask, limit) / (rings.solid_angles @ share)
    return TransferModel(
        cones.everywhere(np.sqrt(share), box),
        _noise_everywhere(noise, count, cones, box),
        signal,
        limit,
    )


def amplitude_by_regression(halves: tuple[Spectrum, Spectrum], densities: tuple[Map, Map], limit: int) -> Map:
    """A of each coefficient, from the transforms of both half-maps and the densities restored from them."""
    rings = Rings.spaced(SPACING_DEG)
    cones = _Cones(rings, limit)
    first, second = (transform(density) for density in densities)
    common = _product(first, second)
    ones = np.ones(common.shape, dtype=np.float32)
    tables = []
    for data, density in ((halves[0], second), (halves[1], first)):
        values = [_product(data, density), common, _product(density, density), ones]
        shared, true, power, count = conical_sums(values, _cone_deg(limit), rings)
        mean = _positive(cones.mean(power, count))
        tables.append(cones.to_best(cones.ratio(shared / mean, true / mean, LEAST_TRUE * power / mean)))
    return cones.everywhere((tables[0] + tables[1]) / 2, len(halves[0]))


def _cone_deg(limit: int) -> float:
    return float(np.clip(CONE_SHELL_DEG / limit, NARROWEST_DEG, WIDEST_DEG))


@dataclass(frozen=True)
class _Cones:
    """What is the same for all tables (directions, shells) of one map."""

    rings: Rings
    limit: int

    def mean(self, sums: Array, count: Array) -> Array:
        """(shells,) means over the hemisphere."""
        angles = self.rings.solid_angles
        return angles @ sums / _positive(angles @ count)

    def ratio(self, above: Array, below: Array, least: Array | None = None) -> Array:
        """above / below, each pooled over shells of similar radius and, a little, over their whole shell.

        least: what is below is taken for at least that.
        """
        pooling = self._pooling(above.shape[1])
        above, below = above @ pooling, below @ pooling
        if least is not None:
            below = np.maximum(below, least @ pooling)
        whole = self.rings.solid_angles @ below
        ridge = RIDGE / _positive(whole)
        return (above + ridge * (self.rings.solid_angles @ above)) / (below + ridge * whole)

    def to_best(self, table: Array) -> Array:
        """In parts of the mean of the well-measured directions of each shell, from 0 to 1."""
        angles = self.rings.solid_angles
        order = np.argsort(table, axis=0)
        at = np.argmax(np.cumsum(angles[order], axis=0) >= BEST, axis=0)[None]
        quantile = np.take_along_axis(table, np.take_along_axis(order, at, axis=0), axis=0)
        well = table >= BEST * quantile
        best = angles @ (well * table) / (angles @ well)
        return np.clip(np.divide(table, best, out=np.ones_like(table), where=best > 0), 0, 1)

    def everywhere(self, table: Array, box: int) -> Map:
        """At every coefficient; 1 at the origin and 0 beyond the limit."""
        values = at_coefficients(table, self.rings, box)
        values[0, 0, 0] = 1
        values[shell_radius(box) >= self.limit + 0.5] = 0
        return values

    def _pooling(self, shells: int) -> Array:
        """(shells, shells) weights of shells (rows) in the estimate for each."""
        shell = np.arange(shells)
        width = np.maximum(POOLING * shell, NARROWEST_POOLING)
        weights = np.exp(-0.5 * np.square((shell[:, None] - shell) / width))
        weights[0] = 0
        weights[self.limit + 1 :] = 0
        return weights


def _noise_everywhere(noise: Array, count: Array, cones: _Cones, box: int) -> Map:
    # unlike A, noise does differ between shells: the mean of each, times how directions differ
    mean = cones.mean(noise, count)
    table = mean * cones.ratio(noise / _positive(mean), count)
    table[:, 0] = table[:, 1]
    values = at_coefficients(table, cones.rings, box)
    values[shell_radius(box) > box // 2 + 0.5] = mean[-1]
    return np.maximum(values, FAINTEST * values.max())


def _signal_power(half1: Map, half2: Map, limit: int) -> Array:
    """(shells,) mean cross power, a little above 0 where noise makes it negative; beyond the limit as at it."""
    rings = Rings.spaced(30.0)
    first, second = transform(half1), transform(half2)
    ones = np.ones(first.shape, dtype=np.float32)
    power = _Cones(rings, limit).mean(*conical_sums([_product(first, second), ones], 40.0, rings))
    power[0] = power[1]
    power[limit + 1 :] = power[limit]
    return np.maximum(power, FAINTEST * power.max())


def _by_radius(curve: Array, box: int) -> Map:
    """A curve over shells at every coefficient, linear between shells."""
    return np.interp(shell_radius(box), np.arange(len(curve)), curve).astype(np.float32)


def _product(first: Spectrum, second: Spectrum) -> Map:
    """Re(first conj(second))."""
    return np.real(first * np.conj(second)).astype(np.float32)


def _positive(values: Array) -> Array:
    return np.maximum(values, np.finfo(np.float32).tiny)
