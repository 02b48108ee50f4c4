"""What refinement maximises: how well the particle images of one series fit their species' half-maps.

For images X = a CTF E R + noise, with R the slice of the reference (filtered to its expected signal), the
log-likelihood gained over "no particle here" is, at the best common amplitude a = sum AB / sum A2,

    L = sum over species  (sum AB)^2 / (sum A2),

sums over all images of a species in the series, AB and A2 as in `mpop.projection.kernels`. This is M's pooled
correlation c = sum AB / sqrt(sum A2 sum B2) (M, "Optimization procedure"), squared and times the data's own
power sum B2: the same optimum, but in units of the noise, so that species weigh in by what they know and
priors can be added to it. Then

    dL = sum over images  2 a dAB - a^2 dA2.

A particle of half 1 is only ever compared with half-map 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference
from mpop.projection.score import score_with_gradients


@dataclass(frozen=True)
class SpeciesImages:
    """All images of one species in one series; those of half 1 come first.

    particle, tilt (m,): which row of the particle set, which tilt. origin_px (m, 2): where phases are zero.
    data, power (m, pixels): packed P and Q. n_half1: how many belong to half 1.
    """

    references: tuple[Reference, Reference]
    disc: HalfDisc
    particle: NDArray[np.int64]
    tilt: NDArray[np.int64]
    origin_px: NDArray[np.int64]
    data: NDArray[np.complexfloating]
    power: NDArray[np.floating]
    n_half1: int
    pixel_size_A: float

    @property
    def row_scale(self) -> float:
        """Voxels of the reference per Fourier pixel of an image."""
        return self.references[0].extent_A / (self.disc.size * self.pixel_size_A)


@dataclass(frozen=True)
class SpeciesScore:
    """L of one species and its derivatives by shift (m, 2) in A and by slice rows (m, 2, 3)."""

    value: float
    amplitude: float
    reference_power: NDArray[np.float64]
    """(m,) A2 of each image."""
    d_shift: NDArray[np.float64]
    d_rows: NDArray[np.float64]


def score_species(
    images: SpeciesImages, shift_A: NDArray[np.float64], rows: NDArray[np.float64], device: str = "cpu"
) -> SpeciesScore:
    """L and gradients.

    shift_A: (m, 2) from the origin pixel; rows: (m, 2, 3) as `mpop.geometry.tilt.slice_rows`.
    """
    halves = (slice(0, images.n_half1), slice(images.n_half1, None))
    scores = [
        score_with_gradients(
            reference,
            images.disc,
            images.data[half],
            images.power[half],
            rows[half] * images.row_scale,
            shift_A[half] / images.pixel_size_A,
            device,
        )
        for reference, half in zip(images.references, halves, strict=True)
    ]
    power = np.concatenate([score.a2 for score in scores])
    ab, a2 = np.concatenate([score.ab for score in scores]).sum(), power.sum()
    is_finite = bool(np.isfinite(ab) and np.isfinite(a2))
    # against the reference is as bad as without it
    amplitude = (max(ab / a2, 0.0) if a2 > 0 else 0.0) if is_finite else np.nan
    by_shift, by_rows = (
        np.concatenate([score.gain_by(name, amplitude) for score in scores]) for name in ("shift", "rows")
    )
    return SpeciesScore(
        value=amplitude * max(ab, 0.0),
        amplitude=amplitude,
        reference_power=power,
        d_shift=by_shift / images.pixel_size_A,
        d_rows=by_rows * images.row_scale,
    )
