"""Withhold coefficients that were measured, to compare with them what a correction infers in their place.

The pattern A of what half-maps hold (`mpop.maps.transfer`) is turned by a rotation R of the cube, so that its
gaps fall where the data are good. Half-maps that had these gaps too would be

    x'(k) = A(R k) x(k) + noise of the power that is missing to max(N(k), N(R k))

They are corrected as the real ones are, and the result y1' is held against the other half-map as it was measured,
x2, in the coefficients that were withheld: no network and no constraint has seen those. As x2 is noisy itself,

    <y1', x2> / sqrt( <y1', y1'> <x2, x2> ) / sqrt( FSC(x1, x2) )

estimates the correlation of what was inferred with the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from mpop.maps.conventions import TRUSTED
from mpop.maps.directions import centred
from mpop.maps.filters import inverse, transform
from mpop.maps.shells import shell_numbers, shell_radius
from mpop.maps.transfer import TransferModel, noise_within

Map = NDArray[np.float32]
Array = NDArray[np.float64]

MEASURED, WITHHELD = 0.5, 0.1
"""A coefficient is withheld if more than the first part of it was measured, and less than the second is left."""
ENOUGH = 0.05
"""Of the coefficients within the limit, at least so many must be withheld to say anything."""
POOLED_SHELLS = 2
"""Shells on each side that are summed with a shell: a gap holds few coefficients of each."""
NOISY = 0.1
"""Below this FSC of the half-maps nothing can be compared."""


@dataclass(frozen=True)
class HoldOut:
    """Half-maps (z, y, x) with more gaps than were measured. withheld: where these are, in rfftn layout."""

    half1: Map
    half2: Map
    withheld: NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Correlation with the truth, estimated in withheld coefficients, by shell. NaN where the data say nothing.

    before: of the half-map with the gaps; after: of the same when corrected. frequency: (k,) in 1/A.
    """

    frequency: Array
    before: Array
    after: Array

    @property
    def supported_to_A(self) -> float | None:
        """Resolution to which what was inferred is supported; None when it is not, or nothing can be said."""
        known = np.flatnonzero(np.isfinite(self.after))  # the lowest shells of a gap may hold nothing to compare
        trusted = self.after[known] >= TRUSTED
        last = len(known) if trusted.all() else int(np.argmin(trusted))
        return None if last == 0 else float(1 / self.frequency[known[last - 1]])


def withhold(half1: Map, half2: Map, mask: Map, model: TransferModel, seed: int = 0) -> HoldOut | None:
    """Half-maps with gaps of the shape of theirs where they are well measured; None where there is no room."""
    measured = model.measured(noise_within(mask))
    within = shell_radius(model.box) < model.limit + 0.5
    turns = [(turn, turned(measured, turn)) for turn in _rotations()]
    gained = [float((measured * (1 - other))[within].sum()) for _, other in turns]
    turn, other = turns[int(np.argmax(gained))]
    withheld = within & (measured > MEASURED) & (other * measured < WITHHELD)
    if withheld.sum() < ENOUGH * within.sum():
        return None
    amplitude, noise = turned(model.amplitude, turn), turned(model.noise, turn)
    # what the gaps leave of the noise is made up for
    missing = np.sqrt(np.maximum(np.maximum(noise, model.noise) - np.square(amplitude) * model.noise, 0))
    rng = np.random.default_rng(seed)
    made = [_with_gaps(half, amplitude, missing, rng) for half in (half1, half2)]
    return HoldOut(made[0], made[1], withheld)


def agreement(corrected: Map, gaps: HoldOut, half1: Map, half2: Map, mask: Map, pixel_size_A: float) -> Agreement:
    """How what was inferred for the first half-map with gaps agrees with what was measured.

    half1, half2: as they were measured. All maps are masked before they are compared.
    """
    box = len(half1)
    first, second, before, after = (transform(one * mask) for one in (half1, half2, gaps.half1, corrected))
    shell = shell_numbers(box)[gaps.withheld]
    measured = _correlation(first[gaps.withheld], second[gaps.withheld], shell, box)
    reach = np.sqrt(np.where(measured >= NOISY, measured, np.nan))
    return Agreement(
        np.arange(box // 2) / (box * pixel_size_A),
        _correlation(before[gaps.withheld], second[gaps.withheld], shell, box) / reach,
        _correlation(after[gaps.withheld], second[gaps.withheld], shell, box) / reach,
    )


def turned(half: Map, turn: tuple[tuple[int, ...], tuple[bool, ...]]) -> Map:
    """A quantity equal for k and -k, in rfftn layout, with its axes in another order, some of them mirrored."""
    order, flips = turn
    box = len(half)
    mirror = -np.arange(box) % box
    full = np.fft.ifftshift(centred(half, box))
    full = full.transpose(order)
    for axis, flip in enumerate(flips):
        full = full.take(mirror, axis=axis) if flip else full
    return full[:, :, : box // 2 + 1]


def _rotations() -> Iterator[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """All ways to turn a quantity that is equal for k and -k: to mirror all three axes changes nothing."""
    for order in permutations((0, 1, 2)):
        for flips in product((False, True), repeat=2):
            yield order, (False, *flips)


def _with_gaps(half: Map, amplitude: Map, missing: Map, rng: np.random.Generator) -> Map:
    spectrum = amplitude * transform(half)
    white = rng.standard_normal(half.shape, dtype=np.float32) / np.float32(len(half) ** 1.5)
    return inverse((spectrum + missing * transform(white)).astype(np.complex64), len(half))


def _correlation(a: NDArray[np.complex64], b: NDArray[np.complex64], shell: NDArray[np.intp], box: int) -> Array:
    """By shell, with its neighbours; NaN where there are no coefficients."""
    products = ((a * b.conj()).real, np.square(np.abs(a)), np.square(np.abs(b)))
    cross, power1, power2 = (
        _pooled(np.bincount(shell, one, box)[: box // 2].astype(np.float64)) for one in products
    )
    norm = np.sqrt(power1 * power2)
    return np.divide(cross, norm, out=np.full(len(cross), np.nan), where=norm > 0)


def _pooled(values: NDArray) -> Array:
    return np.convolve(values, np.ones(2 * POOLED_SHELLS + 1), mode="same")
