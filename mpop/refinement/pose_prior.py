"""Where poses are expected: around those that a job started from, as a Gaussian.

The same prior as of particles in tilt series (`mpop.refinement.system`): an image at a few electrons and a
reference at low resolution tell less of a pose than the program that the poses come from did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PosePrior:
    """rotation (n, 3, 3) and shift_px (n, 2) that are expected; standard deviations per axis, rad and pixels."""

    rotation: Array
    shift_px: Array
    sigma_rad: float
    sigma_px: float

    def part(self, chosen: NDArray[np.int64] | slice) -> PosePrior:
        """That of some of the images."""
        return PosePrior(self.rotation[chosen], self.shift_px[chosen], self.sigma_rad, self.sigma_px)

    def penalty(self, rotation: Array, shift_px: Array) -> tuple[Array, Array]:
        """-ln p of every pose (n,), and its derivatives (n, 5) by a turn of the image's frame (rad) and by
        shift."""
        turned = Rotation.from_matrix(rotation @ self.rotation.swapaxes(1, 2)).as_rotvec() / self.sigma_rad
        moved = (shift_px - self.shift_px) / self.sigma_px
        value = 0.5 * (np.square(turned).sum(axis=1) + np.square(moved).sum(axis=1))
        return value, np.concatenate([turned / self.sigma_rad, moved / self.sigma_px], axis=1)
