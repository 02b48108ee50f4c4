"""Slices and scores on whichever device: numba kernels on the CPU, torch elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.projection import kernels
from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference


def project_slices(reference: Reference, disc: HalfDisc, rows: NDArray[np.float64]) -> NDArray:
    """Central slices of a reference. rows: (n, 2, 3) in voxels. Returns (n, pixels) complex."""
    out = np.empty((len(rows), len(disc), 2), dtype=reference.values.dtype)
    kernels.project_slices(reference.values, rows, disc.row_y, disc.row_x, disc.row_start, out)
    return out.view(np.complex64 if out.dtype == np.float32 else np.complex128)[..., 0]


def score_with_gradients(
    reference: Reference,
    disc: HalfDisc,
    data: NDArray[np.complexfloating],
    power: NDArray[np.floating],
    rows: NDArray[np.float64],
    shifts: NDArray[np.float64],
    device: str = "cpu",
) -> NDArray[np.float64]:
    """(n, N_OUT) AB, A2 and their derivatives; see `kernels.score_with_gradients`."""
    out = np.empty((len(rows), kernels.N_OUT))
    kernels.score_with_gradients(
        reference.values, data, power, rows, shifts, disc.size, disc.row_y, disc.row_x, disc.row_start, out
    )
    return out
