"""Slices and scores on whichever device: numba kernels on the CPU, torch elsewhere.

With R the slice of the reference that an image shows, and P and Q its premultiplied data and power
(`mpop.projection.kernels`), AB = Re <R, P> and A2 = <Q, |R|^2>. At an amplitude a of the reference the image gains
2 a AB - a^2 A2 nats by it. That is what refinement maximises, by everything that the image depends on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.projection import kernels
from mpop.projection.disc import HalfDisc
from mpop.projection.named import Score
from mpop.projection.reference import Reference


def project_slices(reference: Reference, disc: HalfDisc, rows: NDArray[np.float64]) -> NDArray:
    """Central slices of a reference. rows: (n, 2, 3) in voxels. Returns (n, pixels) complex.

    Raises ValueError when a slice leaves the reference.
    """
    check_reach(reference, disc, rows)
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
) -> Score:
    """AB and A2 of n images, and their derivatives by shift (pixels) and slice rows (voxels).

    data, power: (n, pixels) P and Q; rows: (n, 2, 3) in voxels; shifts: (n, 2) in pixels. device: `cpu`, or what
    torch knows (`cuda:0`). Raises ValueError when a slice leaves the reference.
    """
    check_reach(reference, disc, rows)
    if device != "cpu":
        from mpop.projection import torch_backend  # kernels wait for no torch

        return torch_backend.score_with_gradients(reference, disc, data, power, rows, shifts, device)
    out = np.empty((len(rows), kernels.N_OUT))
    kernels.score_with_gradients(
        reference.values, data, power, rows, shifts, disc.size, disc.row_y, disc.row_x, disc.row_start, out
    )
    return Score.of_columns(out)


def check_reach(reference: Reference, disc: HalfDisc, rows: NDArray[np.float64]) -> None:
    """The kernels read eight voxels per component and look at no bounds: they must all be there.

    |k_x r_0 + k_y r_1| is at most |k| times the larger singular value of the rows.
    """
    (a, b), (_, d) = np.moveaxis(rows @ rows.swapaxes(-1, -2), 0, -1)
    stretch = np.sqrt((a + d) / 2 + np.hypot((a - d) / 2, b)).max(initial=0.0)
    radius = disc.r_max * stretch
    if not radius < reference.reach + 0.5:  # rounding may take it over reach; NaN is refused too
        raise ValueError(f"slices of {radius:.2f} voxels radius; the reference reaches to {reference.reach}")
