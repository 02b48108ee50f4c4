"""Data and correction weighted anew where directions were well measured.

Corrections weigh data against density by models of either. Where the data are good, the other half-map tells the
right share itself: of all y1 + a (x1 - y1), x1 a half-map and y1 its correction, the one nearest to the truth has

    1 - a = < d1 (x1 - x2) > / < |d1|^2 >,    d1 = x1 - y1

as the noise of x2 is neither in x1 nor in y1. The means are over the well-measured coefficients of a shell, within
the mask. In the mean of two half-maps noise has half the power, so that less of the corrections is left in it:

    1 - a = ( < d1 (x1 - x2) > + < d2 (x2 - x1) > ) / < |d1 + d2|^2 >

Elsewhere corrections stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from mpop.maps.evenness import well_measured
from mpop.maps.filters import inverse, transform
from mpop.maps.shells import shell_radius
from mpop.maps.transfer import TransferModel

Map = NDArray[np.float32]
Array = NDArray[np.float64]


def reweighted(half: Map, other: Map, corrected: Map, model: TransferModel, mask: Map) -> Map:
    """A half-map's correction, nearer to its data where these are good. It must hold no noise of the other."""
    well = _WellMeasured(model, mask)
    left = well.part(half - corrected)
    error, power = well.power(left, well.part(half - other)), well.power(left, left)
    return corrected + well.scaled(left, _share_of_data(error, power))


def reweighted_mean(halves: Sequence[Map], corrected: Sequence[Map], model: TransferModel, mask: Map) -> Map:
    """The mean of two half-maps' corrections, nearer to the mean of the data where these are good."""
    well = _WellMeasured(model, mask)
    first, second = (well.part(half - one) for half, one in zip(halves, corrected, strict=True))
    error = well.power(first - second, well.part(halves[0] - halves[1]))
    both = first + second
    mean = (corrected[0] + corrected[1]) / np.float32(2)
    return mean + well.scaled(both / np.float32(2), _share_of_data(error, well.power(both, both)))


def _share_of_data(error: Array, power: Array) -> Array:
    """a by shell; none where nothing is left of the data."""
    return 1 - np.clip(np.divide(error, power, out=np.ones_like(power), where=power > 0), 0, 1)


class _WellMeasured:
    """The coefficients that were well measured."""

    def __init__(self, model: TransferModel, mask: Map) -> None:
        self.box, self.mask = model.box, mask
        self.well = well_measured(model)
        self.radius = shell_radius(self.box)[self.well]
        self.shell = np.rint(self.radius).astype(np.intp)

    def part(self, volume: Map) -> Map:
        """What a map holds in these, so that no mask brings others among them."""
        spectrum = transform(volume)
        spectrum[~self.well] = 0
        return inverse(spectrum, self.box)

    def power(self, first: Map, second: Map) -> Array:
        """(shells,) sums of first conj(second) within the mask, smooth."""
        one, two = (transform(volume * self.mask)[self.well] for volume in (first, second))
        sums = np.bincount(self.shell, np.real(one * two.conj()), self.box)
        return gaussian_filter1d(sums[: self.box // 2 + 1], 1.0)

    def scaled(self, volume: Map, factors: Array) -> Map:
        """A map of these coefficients with each shell times a factor."""
        spectrum = transform(volume)
        spectrum[self.well] *= np.interp(self.radius, np.arange(len(factors)), factors).astype(np.float32)
        return inverse(spectrum, self.box)
