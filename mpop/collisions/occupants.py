"""What stands in one tomogram: the particles of each species, with the body of the species.

Plain data, so that states that are nowhere committed can be searched too.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mpop.collisions.bodies import Body
from mpop.collisions.overlap import Placed
from mpop.errors import InputError
from mpop.geometry.euler import euler_to_matrix
from mpop.records.tilt_series import ParticleSet

SCORES = ("rlnAutopickFigureOfMerit", "rlnMaxValueProbDistribution", "rlnLogLikeliContribution")
"""Columns of particle tables that say how well a particle fits its reference; more is better."""


@dataclass(frozen=True)
class Shape:
    """A species as far as collisions are concerned. resolution_A: None when it is not known."""

    id: str
    name: str
    body: Body
    symmetry: str = "C1"
    resolution_A: float | None = None


@dataclass(frozen=True)
class Occupant:
    """The particles of one species in one tomogram.

    ids (p,) uint64; position_A (p, 3) x, y, z; angles_deg (p, 3) rot, tilt, psi; score (p,), more is better, None
    when it is not known; incoming (p,) bool: offered, while the others were there before.
    """

    shape: Shape
    ids: NDArray[np.uint64]
    position_A: NDArray[np.float64]
    angles_deg: NDArray[np.float64]
    score: NDArray[np.float64] | None = None
    incoming: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        if not len(self.incoming):
            object.__setattr__(self, "incoming", np.zeros(len(self.ids), bool))
        if not (np.isfinite(self.position_A).all() and np.isfinite(self.angles_deg).all()):
            raise InputError(f"species {self.shape.name} has particles at no place: NaN or infinity")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def placed(self) -> Placed:
        """Bodies at their places."""
        rotation = np.ascontiguousarray(euler_to_matrix(self.angles_deg))
        return Placed(self.shape.body, self.position_A, rotation)

    def select(self, rows: NDArray[np.bool_]) -> Occupant:
        """Some of the particles."""
        score = None if self.score is None else self.score[rows]
        return replace(
            self,
            ids=self.ids[rows],
            position_A=self.position_A[rows],
            angles_deg=self.angles_deg[rows],
            score=score,
            incoming=self.incoming[rows],
        )


def occupant(shape: Shape, particles: ParticleSet, known: NDArray[np.uint64] | None = None) -> Occupant:
    """Particles as they stand, trajectories at their mean place and middle orientation.

    known: ids that were there before; the others are incoming. None: all were.
    """
    middle = particles.angles_deg.shape[1] // 2
    incoming = np.zeros(len(particles), bool) if known is None else ~np.isin(particles.id, known)
    return Occupant(
        shape,
        particles.id,
        particles.position_A.mean(axis=1),
        particles.angles_deg[:, middle],
        _score(particles),
        incoming,
    )


def _score(particles: ParticleSet) -> NDArray[np.float64] | None:
    """The first column of the imported table that is a score."""
    for column in SCORES:
        with contextlib.suppress(KeyError, ValueError, TypeError):
            score = np.array(particles.extra[column], dtype=np.float64)
            if np.isfinite(score).all():
                return score
    return None
