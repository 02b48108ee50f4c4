"""How much of each Fourier coefficient two half-maps hold.

A map from particles with preferred orientations is taken for

    x(k) = A(k) y(k) + n(k)

with y the density, A from 0 (never measured) to 1, and noise n of a power that depends on direction as well.

The power of the noise comes from the difference of the half-maps. A comes first from their cross power in narrow
cones, relative to that of the best directions, as only what both share adds up. The power of the density differs
between directions too; once there is an estimate of the density, A is the regression of each half-map on the
density that was restored from the other half, A = <x2 conj(y1)> / <|y1|^2>, which is free of that.

A is an estimate, off by some e, so that A y is wrong by e y. Two things make e.

*Chance.* A is a ratio R = sum w a / sum w b of sums a, b over a cone in each of several shells, with weights w.
Were R b all that is in a, nothing would be left of a - R b in any shell; what is left is noise, and errors of
the density, with all that correlates them between the coefficients of a shell. What is left of one shell is
independent of the others, so that

    <e^2> = sum w^2 (a - R b)^2 / (1 - h) / (sum w b)^2,    h = sum w^2 b^2 / (sum w b)^2

where 1 / h is the number of shells that speak, and 1 - h makes up for R having been fitted to them.

*Reach.* R is a mean of A over its cone, and A differs within it, most at the edge of a gap. The mean square of
that difference is seen in how R differs within a cone, only that R is smoother than A. Across a straight edge A
is 0 or 1, which at the edge itself makes a variance of 1/4; R is the part of a cone beyond the edge, and over
the cone at the edge has all values from 0 to 1 alike, a variance of 1/12. So three times the mean square
difference is taken, but at most R (1 - R), the most by which values from 0 to 1 with the mean R can differ.

Data count with that error as well as with their noise, as (<e^2> + 0.1^2) (1 - A)^2 S with S the power of the
density. Where nothing was measured, half-maps may hold no noise either, and without it the little that is taken
for A there would be believed to the last digit: that the density has nothing in these directions. There the two
densities of a regression may be wrong in the same way, which neither shows: hence 0.1. Where A is near 1 the
other estimate of the density comes from these very data, and is no better for what A may be wrong by: hence 1 - A.

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
from mpop.maps.filters import inverse, transform
from mpop.maps.shells import shell_radius

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
SHARED_ERROR = 0.1
"""Of A in gaps: what the densities restored from both half-maps have wrong in common is not seen in either."""
SMOOTHED = 3.0
"""Variance of A across an edge in parts of that of its means over cones, see above."""
LEAST_SPARE = 0.1
"""Of the degrees of freedom: 1 - h is taken for at least this: of a single shell nothing is seen of chance."""
FAINTEST = 1e-6
"""Least power of noise, in parts of the greatest."""


@dataclass(frozen=True)
class TransferModel:
    """What a half-map holds of each coefficient.

    amplitude: A, taken for 0 beyond the shell `limit`; amplitude_error: standard deviation of what A is taken for;
    noise: power of the noise of a whole map, not only within the mask. All are (box, box, box // 2 + 1), in rfftn
    layout. signal: (shells,) power of the density. Powers are those of `transform`.
    """

    amplitude: Map
    amplitude_error: Map
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
        # of the square of an estimate, its variance is no signal
        certain = np.maximum(np.square(self.amplitude) - np.square(self.amplitude_error), 0)
        evidence = certain * self.signal_everywhere
        return np.divide(evidence, evidence + np.float32(noise_part) * self.noise + self.doubt)

    @cached_property
    def error_of_data(self) -> Map:
        """Power of x - A y as it counts against another estimate of the density: see above."""
        unknown = np.square(self.amplitude_error) + np.float32(SHARED_ERROR**2)
        doubt = np.square(1 - self.amplitude) * unknown * self.signal_everywhere
        return self.noise + doubt.astype(np.float32)

    @cached_property
    def doubt(self) -> Map:
        """Power of e y, of the true density, with e what A is off by."""
        return np.square(self.amplitude_error) * self.signal_everywhere

    @cached_property
    def signal_everywhere(self) -> Map:
        """Power of the density at every coefficient."""
        return _by_radius(self.signal, self.box)

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
    found = cones.with_reach(share.root(), POWER_CONE * _cone_deg(limit))
    signal = _signal_power(half1 * mask, half2 * mask, limit) / (rings.solid_angles @ share.value)
    return TransferModel(*cones.everywhere(found, box), _noise_everywhere(noise, count, cones, box), signal, limit)


def amplitude_by_regression(
    halves: tuple[Spectrum, Spectrum], densities: tuple[Map, Map], limit: int
) -> tuple[Map, Map]:
    """A of each coefficient and its error, from transforms of both half-maps and the densities restored from them.

    One ratio for both half-maps: each is regressed on the density of the other.
    """
    box = len(halves[0])
    rings = Rings.spaced(SPACING_DEG)
    cones = _Cones(rings, limit)
    first, second = (transform(density) for density in densities)
    shared = (_product(halves[0], second) + _product(halves[1], first)) / 2
    values = [shared, _product(first, second), _product(first, first), _product(second, second)]
    values.append(np.ones_like(shared))
    shared, true, power1, power2, count = conical_sums(values, _cone_deg(limit), rings)
    power = np.sqrt(power1 * power2)
    mean = _positive(cones.mean(power, count))
    found = cones.to_best(cones.ratio(shared / mean, true / mean, LEAST_TRUE * power / mean))
    return cones.everywhere(cones.with_reach(found, _cone_deg(limit)), box)


def _cone_deg(limit: int) -> float:
    return float(np.clip(CONE_SHELL_DEG / limit, NARROWEST_DEG, WIDEST_DEG))


@dataclass(frozen=True)
class _Estimate:
    """Values and their standard errors, both (directions, shells)."""

    value: Array
    error: Array

    def root(self) -> _Estimate:
        """Square root. Its error is that of the value over twice the root, but where that is almost 0."""
        twice = np.sqrt(np.maximum(4 * self.value, self.error))
        return _Estimate(np.sqrt(self.value), self.error / _positive(twice))


@dataclass(frozen=True)
class _Cones:
    """What is the same for all tables (directions, shells) of one map."""

    rings: Rings
    limit: int

    def mean(self, sums: Array, count: Array) -> Array:
        """(shells,) means over the hemisphere."""
        angles = self.rings.solid_angles
        return angles @ sums / _positive(angles @ count)

    def ratio(self, above: Array, below: Array, least: Array | None = None) -> _Estimate:
        """above / below, each pooled over shells of similar radius and, a little, over their whole shell.

        least: what is below is taken for at least that.
        """
        pooling, angles = self._pooling(above.shape[1]), self.rings.solid_angles
        pooled, divisor = above @ pooling, below @ pooling
        squares = _pooled_squares(above, below, pooling)
        if least is not None:
            low = least @ pooling > divisor
            divisor = np.where(low, least @ pooling, divisor)
            squares = np.where(low, _pooled_squares(above, least, pooling), squares)
        leverage = squares[2] / _positive(np.square(divisor))
        ridge = RIDGE / _positive(angles @ divisor)
        divisor = divisor + ridge * (angles @ divisor)
        value = (pooled + ridge * (angles @ pooled)) / divisor
        left = squares[0] - 2 * value * squares[1] + np.square(value) * squares[2]
        variance = np.maximum(left, 0) / np.maximum(1 - leverage, LEAST_SPARE) / np.square(divisor)
        return _Estimate(value, np.sqrt(variance))

    def to_best(self, found: _Estimate) -> _Estimate:
        """In parts of the mean of the well-measured directions of each shell, from 0 to 1."""
        table, angles = found.value, self.rings.solid_angles
        order = np.argsort(table, axis=0)
        at = np.argmax(np.cumsum(angles[order], axis=0) >= BEST, axis=0)[None]
        quantile = np.take_along_axis(table, np.take_along_axis(order, at, axis=0), axis=0)
        well = table >= BEST * quantile
        best = angles @ (well * table) / (angles @ well)
        value, error = (
            np.divide(one, best, out=np.ones_like(one), where=best > 0) for one in (table, found.error)
        )
        return _Estimate(np.clip(value, 0, 1), error)

    def with_reach(self, found: _Estimate, half_angle_deg: float) -> _Estimate:
        """The same with an error that counts what values may differ by within the cones they are means of."""
        unit = self.rings.directions.astype(np.float32)
        near = np.abs(unit @ unit.T) >= np.cos(np.deg2rad(half_angle_deg))
        weight = near * self.rings.solid_angles
        weight /= weight.sum(axis=1, keepdims=True)
        value = found.value
        spread = weight @ np.square(value) - 2 * value * (weight @ value) + np.square(value)
        reach = np.clip(SMOOTHED * spread, 0, value * (1 - value))
        return _Estimate(value, np.minimum(np.sqrt(np.square(found.error) + reach), 1))

    def everywhere(self, found: _Estimate, box: int) -> tuple[Map, Map]:
        """A and its error at every coefficient: 1 at the origin, 0 beyond the limit, both without error."""
        amplitude, error = (at_coefficients(table, self.rings, box) for table in (found.value, found.error))
        amplitude[0, 0, 0], error[0, 0, 0] = 1, 0
        for values in (amplitude, error):
            values[shell_radius(box) >= self.limit + 0.5] = 0
        return amplitude, error

    def _pooling(self, shells: int) -> Array:
        """(shells, shells) weights of shells (rows) in the estimate for each."""
        shell = np.arange(shells)
        width = np.maximum(POOLING * shell, NARROWEST_POOLING)
        weights = np.exp(-0.5 * np.square((shell[:, None] - shell) / width))
        weights[0] = 0
        weights[self.limit + 1 :] = 0
        return weights


def _pooled_squares(above: Array, below: Array, pooling: Array) -> Array:
    """(3, directions, shells) sums of w^2 a^2, w^2 a b and w^2 b^2."""
    return np.stack([one @ np.square(pooling) for one in (np.square(above), above * below, np.square(below))])


def _noise_everywhere(noise: Array, count: Array, cones: _Cones, box: int) -> Map:
    # unlike A, noise does differ between shells: the mean of each, times how directions differ
    mean = cones.mean(noise, count)
    table = mean * cones.ratio(noise / _positive(mean), count).value
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


def _positive(values: NDArray[np.floating]) -> Array:
    return np.maximum(values, np.finfo(np.float32).tiny)
