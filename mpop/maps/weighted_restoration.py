"""One half-map restored alone, from the weights with which it was measured.

Sums over slices say how much every coefficient x of a half-map can be trusted: its noise has the variance 1 / w.
With the power S of the density the most likely map is

    y = (w x + p / S) / (w + 1 / S)

with p another estimate of the density. RELION takes p = 0 and S = tau2 = SSNR / mean(w) of a shell, the SSNR from
the FSC. With preferred views that damps most what was measured least. Here p is what the density may be: nothing
outside of the mask, and nothing below the solvent's, so that directions without data follow from the others. In
the end p is weighted by the FSC, as doubtful detail at full strength would turn particles to its noise. Directions
that were measured well keep their detail beyond the resolution of all.

Nothing of the other half-map enters but the FSC, as in RELION.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import inverse, multiply_radially, transform
from mpop.maps.gridding import SliceSums, coefficient_weights
from mpop.maps.restoration import above_solvent, solvent_noise
from mpop.maps.shells import means_over, shell_numbers

Map = NDArray[np.float32]
Array = NDArray[np.float64]

LEAST_WEIGHT = 1e-3
"""Of the shell's mean: coefficients count as measured at least so well, as in the maps of which RELION takes the
FSC."""
PROJECTIONS = 10
"""Alternations of data and density."""
SOLVENT_MARGIN = 1.0
"""Density counts from so many standard deviations of the solvent's noise above its mean."""


@dataclass(frozen=True)
class Evidence:
    """noise: (box, box, box // 2 + 1) power of noise of each coefficient, rfftn layout; signal: (shells,) power of
    the density; unevenness: (shells,) mean(w) mean(1 / w), 1 for even views. Powers are of |transform|."""

    noise: Map
    signal: Array
    unevenness: Array

    @property
    def box(self) -> int:
        """Voxels along an edge."""
        return len(self.noise)

    def blend(self, data: NDArray[np.complex64], prior: Map, error: Array) -> Map:
        """The most likely map given data (a transform) and another estimate of it.

        error: (shells,) power of the error of that. Nothing is left in shells without any, and beyond Nyquist.
        """
        power = np.append(error, 0.0).astype(np.float32)[_shells(self.box)]
        spectrum = (power * data + self.noise * transform(prior)) / (power + self.noise)
        return inverse(np.where(power > 0, spectrum, np.complex64(0)), self.box)


def evidence(sums: SliceSums, prior: Array) -> Evidence:
    """What the weights of slices and RELION's T tau2 (shells 0 .. box // 2) say about every coefficient."""
    unit = float(sums.box) ** 4  # RELION's transforms are divided by box^2
    return evidence_of_weights(coefficient_weights(sums) / np.float32(unit), prior * unit)


def evidence_of_weights(weight: Map, signal: Array) -> Evidence:
    """The same of the weights (box, box, box // 2 + 1) themselves, and of the power of the density.

    Weights are inverse variances of coefficients of a map's transform, rfftn layout, in the units of the signal.
    """
    shell = _shells(len(weight))
    weight = np.maximum(weight, (LEAST_WEIGHT * means_over(shell, weight)).astype(np.float32)[shell])
    with np.errstate(divide="ignore"):
        noise = np.where(weight > 0, 1 / weight, np.float32(0))
    unevenness = (means_over(shell, weight) * means_over(shell, noise))[:-1]
    unmeasured = noise.max() or np.float32(1)
    return Evidence(np.where(weight > 0, noise, unmeasured).astype(np.float32), signal, unevenness)


def restore(volume: Map, known: Evidence, mask: Map, fsc: Array) -> Map:
    """The density that agrees with a half-map (z, y, x) as far as that was measured.

    volume: reconstructed without a prior. mask: from 0 to 1, around the particle. fsc: (shells,) of the half-maps.
    The solvent stays at its level.
    """
    level = np.float32(volume[mask == 0].mean()) if (mask == 0).any() else np.float32(0)
    data = transform(volume - level)
    restored = known.blend(data, np.zeros_like(volume), known.signal)
    margin = SOLVENT_MARGIN * solvent_noise(restored, mask)
    for _ in range(PROJECTIONS):
        restored = known.blend(data, above_solvent(restored, mask, margin), known.signal)
    likely = multiply_radially(above_solvent(restored, mask, margin), np.clip(fsc, 0, 1))
    return known.blend(data, likely, known.signal) + level


def _shells(box: int) -> NDArray[np.intp]:
    """Shell of each coefficient; all beyond Nyquist together are box // 2 + 1."""
    return np.minimum(shell_numbers(box), box // 2 + 1)
