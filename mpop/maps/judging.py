"""What a correction did to a half-map: whether the data still hold, and where it changed what.

With the model x = A y + n of what a half-map x holds (`mpop.maps.transfer`), filtering the true density y
leaves the noise n, and e y where A is off by e. So the residue r = x - A y1 of a corrected map y1 must be no
larger. A correction that keeps to its data keeps some of their noise too, and errors as large as that must not
hide behind it: what is left of the noise in r is found with the other half-map x', whose noise is in neither x
nor y1. With S the power of the density, and V that of noise and e y together,

    chi^2 = sum |r|^2 / V / sum (Re r (x - x')* + <e^2> S) / V

over the measured coefficients of maps within the mask. It is 1 for the true density, and at most that for a map
that is as near to it as the data are. A correction that follows its data leaves less than A may be wrong by:
where noise is faint, it is well below 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from mpop.maps.conventions import CONSISTENT
from mpop.maps.filters import inverse, transform
from mpop.maps.shells import shell_numbers, shell_radius
from mpop.maps.transfer import TransferModel, noise_within

Map = NDArray[np.float32]
Array = NDArray[np.float64]

MEASURED = 0.5
"""A coefficient counts as measured when at least this part of it is known from data."""
POOLED_SHELLS = 2.0
"""Standard deviation of the weights of shells in the share of noise that is left in each."""


@dataclass(frozen=True)
class Changes:
    """What became of one half-map. frequency: (k,) in 1/A. NaN where a shell has no such coefficient.

    chi2: of all measured coefficients; chi2_by_shell (k,). power_before, power_after: mean power by shell, rows of
    measured and of other coefficients (2, k). inferred_part: of the power of the change, what is in coefficients
    that were not measured. measured_part: of the coefficients within the limit, how many were measured.
    """

    frequency: Array
    chi2: float
    chi2_by_shell: Array
    power_before: Array
    power_after: Array
    inferred_part: float
    measured_part: float

    @property
    def is_consistent(self) -> bool:
        """Whether the data still hold where they were good."""
        return self.chi2 <= CONSISTENT


def changes(
    half: Map, other: Map, corrected: Map, model: TransferModel, mask: Map, pixel_size_A: float
) -> Changes:
    """Compare a half-map (z, y, x) with what was made of it; what counts as measured is so within the mask.

    other: the other half-map as it was measured, whose noise must not be in `corrected`.
    """
    box = len(half)
    radius = shell_radius(box)
    shells = model.limit + 1
    within = (radius > 0.5) & (radius < shells - 0.5)
    once = np.broadcast_to(_once(box), radius.shape)[within]
    known = within & (model.measured(noise_within(mask)) >= MEASURED)
    residue, remaining, noise, doubt = _residues(half, other, corrected, model, mask, known)
    pooled = (gaussian_filter1d(one, POOLED_SHELLS) for one in (remaining, noise))
    expected = doubt + noise * _share(*pooled)
    expected_of_all = float(doubt.sum() + noise.sum() * _share(remaining.sum(), noise.sum()))
    measured = known[within]
    x, y = transform(half)[within], transform(corrected)[within]
    shell = np.rint(radius[within]).astype(np.intp)
    change = once * np.square(np.abs(y - x))
    before, after = (
        np.stack([_means(np.square(np.abs(one)), shell, chosen, shells) for chosen in (measured, ~measured)])
        for one in (x, y)
    )
    return Changes(
        np.arange(shells) / (box * pixel_size_A),
        float(residue.sum() / expected_of_all) if expected_of_all > 0 else 0.0,
        np.divide(residue, expected, out=np.full(shells, np.nan), where=expected > 0),
        before,
        after,
        float(change[~measured].sum() / change.sum()) if change.any() else 0.0,
        float(once[measured].sum() / once.sum()),
    )


def _residues(
    half: Map, other: Map, corrected: Map, model: TransferModel, mask: Map, measured: NDArray[np.bool_]
) -> Array:
    """(4, limit + 1) weighted sums over shells: of the residue, the noise left in it, all noise, and e y."""
    box = model.box
    noise = np.float32(noise_within(mask)) * model.noise
    error = noise + model.doubt
    weight = np.where(measured, 1 / error, 0).astype(np.float32)
    x = transform(half)
    left, difference = (
        transform(inverse(np.sqrt(weight) * one, box) * mask)
        for one in (x - model.amplitude * transform(corrected), x - transform(other))
    )
    shell = shell_numbers(box).ravel()
    remaining = np.real(left * difference.conj())
    values = (np.square(np.abs(left)), remaining, weight * noise, weight * model.doubt)
    sums = [np.bincount(shell, (_once(box) * one).ravel())[: model.limit + 1] for one in values]
    return np.stack(sums, dtype=np.float64)


def _once(box: int) -> Array:
    """(box // 2 + 1,) weights of the columns, as the first holds both k and -k."""
    return np.where(np.arange(box // 2 + 1) == 0, 0.5, 1.0)


def _share(remaining: Array, noise: Array) -> Array:
    return np.clip(np.divide(remaining, noise, out=np.zeros_like(noise), where=noise > 0), 0, 1)


def _means(values: NDArray, shell: NDArray[np.intp], chosen: NDArray[np.bool_], shells: int) -> Array:
    count = np.bincount(shell[chosen], minlength=shells)[:shells]
    total = np.bincount(shell[chosen], values[chosen], shells)[:shells]
    return np.divide(total, count, out=np.full(shells, np.nan), where=count > 0)
