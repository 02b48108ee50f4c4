"""How particles fit their maps by two descriptions of the same images, and how sure the difference is.

A particle's images gain 2 a AB - a^2 A2 nats by a description, a the amplitude that all particles have in common
(`mpop.refinement.target`). What they gain more by the other one, summed over particles, has an error that comes
from how particles differ; so many of these errors from zero the answer is certain, or worth a warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DOUBTFUL_Z, CERTAIN_Z = 4.0, 5.0
"""Standard deviations of a Gaussian. By chance, the first is exceeded once in 30 000 questions, the second once in
three million."""
FEWEST_PARTICLES = 8
"""That tell an error."""
MIRRORS = {
    "x": np.array([-1.0, 1.0, 1.0]),
    "y": np.array([1.0, -1.0, 1.0]),
    "z": np.array([1.0, 1.0, -1.0]),
    "all axes": np.array([-1.0, -1.0, -1.0]),
}


@dataclass(frozen=True)
class ParticleFits:
    """AB and A2 of p particles, summed over the images of each."""

    ab: Array
    a2: Array

    @classmethod
    def together(cls, parts: Iterable[ParticleFits]) -> ParticleFits:
        """Of all particles of all parts."""
        parts = list(parts)
        return cls(np.concatenate([one.ab for one in parts]), np.concatenate([one.a2 for one in parts]))

    @property
    def amplitude(self) -> float:
        """The best common amplitude; negative where images show the negative of the reference."""
        a2 = float(self.a2.sum())
        return float(self.ab.sum()) / a2 if a2 > 0 else 0.0

    @property
    def value(self) -> float:
        """L, 0 where images are no better with the reference than without."""
        return max(self.amplitude, 0.0) * max(float(self.ab.sum()), 0.0)

    def gains(self, negative: bool = False) -> Array:
        """(p,) nats by the reference; negative: by its negative."""
        amplitude = min(self.amplitude, 0.0) if negative else max(self.amplitude, 0.0)
        return 2 * amplitude * self.ab - amplitude**2 * self.a2


@dataclass(frozen=True)
class Evidence:
    """For the other description, summed over particles: nats, and how many standard deviations of a Gaussian it is
    as unlikely as."""

    nats: float
    z: float
    particles: int

    @classmethod
    def of(cls, differences: Array, expected: Array | None = None) -> Evidence:
        """differences: (p,) nats; expected: to what they are in proportion, if not all are alike."""
        count = len(differences)
        total = float(differences.sum())
        alike = np.ones(count) if expected is None else expected
        rest = differences - total * alike / alike.sum()
        error = np.sqrt(np.square(rest).sum() * count / (count - 1)) if count >= FEWEST_PARTICLES else np.inf
        return cls(total, _gaussian(total / error, count - 1) if error > 0 else 0.0, count)

    @property
    def certain(self) -> bool:
        """A reason to stop."""
        return self.z > CERTAIN_Z

    @property
    def doubtful(self) -> bool:
        """A reason to warn."""
        return self.z > DOUBTFUL_Z

    @property
    def refuted(self) -> bool:
        """Certainly as imported."""
        return self.z < -CERTAIN_Z

    @property
    def words(self) -> str:
        """The figure that shows it."""
        return f"{self.nats:.0f} nats more, {self.z:.1f} standard deviations, {self.particles} particles"


def _gaussian(t: float, freedom: int) -> float:
    """What is as unlikely in a Gaussian as t in Student's distribution (Wallace 1959), as errors are estimated."""
    return float(np.sign(t) * np.sqrt(freedom * np.log1p(t**2 / freedom)) * (8 * freedom + 1) / (8 * freedom + 3))


def contrast(fits: ParticleFits) -> Evidence:
    """For the negative of the half-maps."""
    return Evidence.of(fits.gains(negative=True) - fits.gains())


def difference(imported: ParticleFits, other: ParticleFits) -> Evidence:
    """For another description of the same particles."""
    return Evidence.of(other.gains() - imported.gains())
