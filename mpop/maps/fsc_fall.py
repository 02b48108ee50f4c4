"""Whether half-maps agree less than others of the same images, beyond what chance does.

Both FSC are taken up to the resolution of the better one, as means over shells, each with as many votes as it
has independent coefficients. Some loss is no ruin, and large maps would show the smallest: what is compared with
is the FSC that the earlier half-maps would have with a tenth of their particles less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.maps.fsc import FSCReport, independent_pairs

Array = NDArray[np.float64]

TOLERATED_LOSS = 0.1
"""Of the particles, or as much of their signal."""
CERTAIN_Z = 5.0


@dataclass(frozen=True)
class Fall:
    """Mean FSC before and after up to last_A, and z: how many standard errors the second is below what the first
    would be with `TOLERATED_LOSS`."""

    before: float
    after: float
    z: float
    last_A: float

    @property
    def certain(self) -> bool:
        """Not by chance."""
        return self.z > CERTAIN_Z

    @property
    def words(self) -> str:
        """The figure that shows it."""
        return (
            f"the mean FSC to {self.last_A:.1f} A went from {self.before:.2f} to {self.after:.2f}, "
            f"{self.z:.0f} standard errors below what a tenth of the particles less would give"
        )


def fall(before: FSCReport, after: FSCReport, mask: NDArray[np.float32], copies: int) -> Fall | None:
    """How far the masked FSC fell; None where the half-maps before agree nowhere.

    mask: that of both. copies: of the asymmetric unit, by symmetry; they are no independent measurements. Errors
    of both count as independent. They are not, as the images are the same, so that the error is less than that.
    """
    if before.resolution_A is None:
        return None
    last_A = min(one.resolution_A for one in (before, after) if one.resolution_A is not None)
    frequency = before.masked.frequency
    used = (frequency > 0) & (frequency <= 1 / last_A)
    pairs = independent_pairs(mask)[used] / copies
    was, now = (np.clip(one.masked.correlation[used], -0.999, 0.999) for one in (before, after))
    ratio = (1 - TOLERATED_LOSS) * was / (1 - was)
    expected = np.where(was > 0, ratio / (1 + ratio), was)
    variance = sum(np.square(1 - np.square(one)) / (2 * pairs) for one in (expected, now))
    votes = pairs / pairs.sum()
    error = float(np.sqrt((np.square(votes) * variance).sum()))
    return Fall(float(votes @ was), float(votes @ now), float(votes @ (expected - now)) / error, last_A)
