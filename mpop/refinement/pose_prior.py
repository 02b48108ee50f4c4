"""Where poses are expected: around those that a job started from, as a Gaussian.

In stacks, and in the parameters of tilt series too (`mpop.refinement.system`): an image at a few electrons and a
reference at low resolution tell less of a pose than the program that the poses come from did.

How wide that Gaussian is, is not known at first. Each pass over the images tells: with d the offset of an image
along an axis, and C how uncertain that is, the most likely width for all of them is

    sigma^2 = mean(d^2 + C)

(the M-step of expectation-maximisation). See `mpop.refinement.stack.pose_spread` and
`SeriesSystem.spreads`. Rare views make much of what they are compared with themselves, so that
their images say little against a wrong pose; how far poses are off they learn from all the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

PRIOR_WEIGHT = 2.0
"""Of the prior beside the likelihood, which is that of a reference without errors: half-maps have some, and images
find their own noise in them."""


@dataclass(frozen=True)
class PoseSpread:
    """How far images turned out to be from where they were expected: sums of d^2 + C per axis, which add."""

    turned_rad2: float = 0.0
    moved_A2: float = 0.0
    images: int = 0

    def __add__(self, other: PoseSpread) -> PoseSpread:
        return PoseSpread(
            self.turned_rad2 + other.turned_rad2, self.moved_A2 + other.moved_A2, self.images + other.images
        )

    @property
    def sigma_deg(self) -> float:
        """Per axis."""
        return float(np.rad2deg(np.sqrt(self.turned_rad2 / self.images)))

    @property
    def sigma_A(self) -> float:
        """Per axis."""
        return float(np.sqrt(self.moved_A2 / self.images))


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

    def offsets(self, rotation: Array, shift_px: Array) -> tuple[Array, Array]:
        """How far poses are from where they are expected: rotation vectors (n, 3) in rad, shifts (n, 2)."""
        turned = Rotation.from_matrix(rotation @ self.rotation.swapaxes(1, 2)).as_rotvec()
        return turned, shift_px - self.shift_px

    def penalty(self, rotation: Array, shift_px: Array) -> tuple[Array, Array]:
        """-ln p of every pose (n,), and its derivatives (n, 5) by a turn of the image's frame (rad) and by
        shift."""
        turned, moved = self.offsets(rotation, shift_px)
        turned, moved = turned / self.sigma_rad, moved / self.sigma_px
        value = 0.5 * (np.square(turned).sum(axis=1) + np.square(moved).sum(axis=1))
        return value, np.concatenate([turned / self.sigma_rad, moved / self.sigma_px], axis=1)
