"""Whether one half-map is shifted against the other: their FSC falls with that, the finer the detail the more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_SHIFT = 0.75
"""Voxels: half-maps of one reconstruction lie closer together."""
LEAST_COARSE_SHIFT = 0.15
"""Of a voxel of the binned maps: nearer than that, their peak is not known."""
STANDS_OUT = 6.0
"""Standard deviations of the correlation over all shifts: noise has less anywhere."""
AGREEMENT_GAIN = 0.02
"""Of the mean FSC of coarse shells, when the shift is taken back."""

Spectrum = NDArray[np.complexfloating]


def shift_between(a: Spectrum, b: Spectrum) -> NDArray[np.float64] | None:
    """(3,) voxels x, y, z by which the second of two maps lies off the first, by their rfftn; None where they have
    nothing in common that would tell.

    The peak of their correlation, between voxels that of a parabola.
    """
    box = len(a)
    correlation = np.fft.irfftn(b * a.conj(), s=(box,) * 3, axes=(0, 1, 2))
    peak = np.unravel_index(int(correlation.argmax()), correlation.shape)
    if correlation[peak] < STANDS_OUT * correlation.std():
        return None
    found = []
    for axis in range(3):
        before, here, after = (
            float(correlation[tuple((p + step * (i == axis)) % box for i, p in enumerate(peak))])
            for step in (-1, 0, 1)
        )
        curvature = 2 * here - before - after
        between = (after - before) / (2 * curvature) if curvature > 0 else 0.0
        found.append((int(peak[axis]) + box // 2) % box - box // 2 + between)
    return np.array(found[::-1])


def shifted_back(b: Spectrum, shift: NDArray[np.float64]) -> Spectrum:
    """The spectrum of a map moved by minus (3,) voxels x, y, z."""
    box = len(b)
    x, y, z = np.fft.rfftfreq(box), np.fft.fftfreq(box), np.fft.fftfreq(box)
    phase = z[:, None, None] * shift[2] + y[:, None] * shift[1] + x * shift[0]
    return b * np.exp(2j * np.pi * phase)
