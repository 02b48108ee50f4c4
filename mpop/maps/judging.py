"""What a correction did to a half-map: whether the data still hold, and where it changed what.

With the model x = A y + n of what a half-map x holds (`mpop.maps.transfer`), a corrected map y is consistent with
the data where it was measured if filtering it back leaves a residue no larger than the noise, and what A may be
wrong by, together N:

    chi^2 = < |A y - x|^2 / N >   over measured coefficients, at most about 1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import shell_radius, transform
from mpop.maps.transfer import TransferModel, noise_within

Map = NDArray[np.float32]
Array = NDArray[np.float64]

MEASURED = 0.5
"""A coefficient counts as measured when at least this part of it is known from data."""
CONSISTENT = 1.1
"""Largest chi^2 of a map that keeps to its data: noise itself gives 1, and its power is known to some percent."""


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


def changes(half: Map, corrected: Map, model: TransferModel, mask: Map, pixel_size_A: float) -> Changes:
    """Compare a half-map (z, y, x) with what was made of it; what counts as measured is so within the mask."""
    box = len(half)
    radius = shell_radius(box)
    shells = model.limit + 1
    within = (radius > 0.5) & (radius < shells - 0.5)
    # the first column holds both k and -k
    once = np.broadcast_to(np.where(np.arange(box // 2 + 1) == 0, 0.5, 1.0), radius.shape)[within]
    measured = (model.measured(noise_within(mask)) >= MEASURED)[within]
    x, y = transform(half)[within], transform(corrected)[within]
    shell = np.rint(radius[within]).astype(np.intp)
    residue = np.square(np.abs(model.amplitude[within] * y - x)) / model.error_of_data[within]
    change = once * np.square(np.abs(y - x))
    before, after = (
        np.stack([_means(np.square(np.abs(one)), shell, chosen, shells) for chosen in (measured, ~measured)])
        for one in (x, y)
    )
    return Changes(
        np.arange(shells) / (box * pixel_size_A),
        float(residue[measured].mean()) if measured.any() else 0.0,
        _means(residue, shell, measured, shells),
        before,
        after,
        float(change[~measured].sum() / change.sum()) if change.any() else 0.0,
        float(once[measured].sum() / once.sum()),
    )


def _means(values: NDArray, shell: NDArray[np.intp], chosen: NDArray[np.bool_], shells: int) -> Array:
    count = np.bincount(shell[chosen], minlength=shells)[:shells]
    total = np.bincount(shell[chosen], values[chosen], shells)[:shells]
    return np.divide(total, count, out=np.full(shells, np.nan), where=count > 0)
