"""Central slices and scores in torch: what runs on a GPU, and the oracle that the numba kernels are held to.

Nothing is shared with `mpop.projection.kernels` but the definition of the score there: torch's `grid_sample`
interpolates and autograd differentiates, in batches of images that bound the memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from mpop.projection.disc import HalfDisc
from mpop.projection.kernels import N_OUT
from mpop.projection.named import Score
from mpop.projection.reference import Reference

BATCH_COMPONENTS = 1 << 21
"""Fourier components per batch; each takes some 200 bytes in float32, twice that in float64."""


def project_slices(
    reference: Reference, disc: HalfDisc, rows: NDArray[np.floating] | Tensor, device: str = "cpu"
) -> NDArray[np.complexfloating]:
    """Slices of a reference. rows: (n, 2, 3) in voxels. Returns (n, pixels) in the reference's precision."""
    volume, k = on_device(reference, disc, device)
    dtype = np.complex64 if volume.dtype == torch.float32 else np.complex128
    out = np.empty((len(rows), len(disc)), dtype=dtype)
    with torch.no_grad():
        for batch in _batches(len(rows), len(disc)):
            out[batch] = slices_of(volume, k, torch.as_tensor(rows[batch]).to(k)).cpu().numpy()
    return out


def score_with_gradients(
    reference: Reference,
    disc: HalfDisc,
    data: NDArray[np.complexfloating] | Tensor,
    power: NDArray[np.floating] | Tensor,
    rows: NDArray[np.floating] | Tensor,
    shifts: NDArray[np.floating] | Tensor,
    device: str = "cpu",
) -> Score:
    """AB, A2 and their derivatives; arguments as `score.score_with_gradients`.

    What is a tensor on the device already is not copied again.
    """
    volume, k = on_device(reference, disc, device)
    out = np.empty((len(rows), N_OUT))
    for batch in _batches(len(rows), len(disc)):
        out[batch] = _score_batch(
            volume,
            k,
            2 * np.pi / disc.size,
            torch.as_tensor(data[batch], device=device).to(volume.dtype.to_complex()),
            torch.as_tensor(power[batch]).to(volume),
            torch.as_tensor(rows[batch]).to(volume),
            torch.as_tensor(shifts[batch]).to(volume),
        )
    return Score.of_columns(out)


def _score_batch(
    volume: Tensor, k: Tensor, turn: float, data: Tensor, power: Tensor, rows: Tensor, shifts: Tensor
) -> NDArray[np.float64]:
    """Each image's AB and A2 depend on its own rows and shift only: derivatives of their sums are all there is."""
    with torch.enable_grad():
        rows, shifts = rows.detach().requires_grad_(), shifts.detach().requires_grad_()
        slices = slices_of(volume, k, rows)
        angle = turn * (shifts[:, :1] * k[:, 0] + shifts[:, 1:] * k[:, 1])
        centred = data * torch.polar(torch.ones_like(angle), angle)
        ab = (slices.conj() * centred).real.sum(dim=1)
        a2 = (power * torch.view_as_real(slices).square().sum(dim=-1)).sum(dim=1)
        ab_shifts, ab_rows = torch.autograd.grad(ab.sum(), (shifts, rows), retain_graph=True)
        (a2_rows,) = torch.autograd.grad(a2.sum(), rows)
    columns = [ab[:, None], a2[:, None], ab_shifts, ab_rows.flatten(1), a2_rows.flatten(1)]
    return torch.cat([column.detach() for column in columns], dim=1).double().cpu().numpy()


def slices_of(volume: Tensor, k: Tensor, rows: Tensor) -> Tensor:
    """V(k_x r_0 + k_y r_1). volume: (2, z, y, x); k: (pixels, 2); rows: (n, 2, 3). Returns (n, pixels)."""
    points = k[:, :1] * rows[:, None, 0] + k[:, 1:] * rows[:, None, 1]
    mate = points[..., 0] < 0  # the Friedel mate lies in the stored half
    points = torch.where(mate[..., None], -points, points)
    # grid_sample counts from -1 at the first voxel of an axis to 1 at the last: k_x = 0 to reach + 1
    last = volume.shape[-1] - 1
    grid = points * points.new_tensor([2.0, 1.0, 1.0]) / last - points.new_tensor([1.0, 0.0, 0.0])
    real, imaginary = grid_sample(volume[None], grid[None, :, :, None], align_corners=True)[0, ..., 0]
    return torch.complex(real, torch.where(mate, -imaginary, imaginary))


def on_device(reference: Reference, disc: HalfDisc, device: str) -> tuple[Tensor, Tensor]:
    """The volume as (2, z, y, x) and the disc's k as (pixels, 2), in the reference's precision."""
    volume = torch.as_tensor(reference.values, device=device).movedim(-1, 0)
    return volume, torch.as_tensor(disc.frequencies()).to(volume)


def _batches(images: int, pixels: int) -> Iterator[slice]:
    step = max(1, BATCH_COMPONENTS // max(1, pixels))
    return (slice(start, start + step) for start in range(0, images, step))
