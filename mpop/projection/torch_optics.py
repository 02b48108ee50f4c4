"""Scores with optics in torch: what runs on a GPU, and the oracle of `mpop.projection.optics_score`.

Nothing is shared with it but definitions: the whole way from windows to AB and A2 is written down once, forward,
and autograd differentiates it."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpop.optics.imaging import Imaging
from mpop.optics.wavelength import electron_wavelength_A
from mpop.projection.disc import HalfDisc
from mpop.projection.named import Score
from mpop.projection.reference import Reference
from mpop.projection.torch_backend import on_device, slices_of
from mpop.projection.whitened import WhitenedImages

BATCH_COEFFICIENTS = 1 << 21
"""Of large windows per batch; each takes some 200 bytes in float32, twice that in float64."""
PARAMETERS = (
    "shift",
    "rows",
    "defocus",
    "defocus_delta",
    "defocus_angle",
    "phase_shift",
    "cs",
    "beam_tilt",
    "weight",
)


def score_with_optics(
    reference: Reference,
    disc: HalfDisc,
    images: WhitenedImages,
    imaging: Imaging,
    rows: NDArray[np.float64],
    shifts: NDArray[np.float64],
    device: str = "cpu",
) -> Score:
    """As `optics_score.score_with_optics`."""
    volume, k = on_device(reference, disc, device)
    step = max(1, BATCH_COEFFICIENTS // max(1, images.spectra[0].size)) if len(images) else 1
    parts = []
    for start in range(0, len(images), step):
        chosen = slice(start, start + step)
        one, part = imaging.part(chosen), images.part(chosen)
        count = len(part)
        values = {
            "shift": shifts[chosen],
            "rows": rows[chosen],
            "defocus": one.defocus_um,
            "defocus_delta": one.defocus_delta_um,
            "defocus_angle": one.defocus_angle_deg,
            "phase_shift": one.phase_shift_pi,
            "cs": np.full(count, one.model.cs_mm),
            "beam_tilt": one.beam_tilt_mrad,
            "weight": np.ones(count),
        }
        with torch.enable_grad():
            leaves = {
                name: torch.tensor(value, dtype=torch.float64, device=device, requires_grad=True)
                for name, value in values.items()
            }
            ab, a2 = _sums(volume, k, disc, part, one, leaves)
            ab_by = torch.autograd.grad(ab.sum(), [leaves[name] for name in PARAMETERS], retain_graph=True)
            a2_by = torch.autograd.grad(a2.sum(), [leaves[name] for name in PARAMETERS], allow_unused=True)
        parts.append(
            Score(
                _array(ab),
                _array(a2),
                {name: _array(by) for name, by in zip(PARAMETERS, ab_by, strict=True)},
                {name: _array(by) for name, by in zip(PARAMETERS, a2_by, strict=True) if by is not None},
            )
        )
    return Score.together(parts)


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().double().cpu().numpy()


def _sums(
    volume: Tensor, k: Tensor, disc: HalfDisc, images: WhitenedImages, imaging: Imaging, leaves: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """AB and A2 (n,)."""
    real = volume.dtype
    spectra = torch.as_tensor(images.spectra, device=volume.device).to(real.to_complex())
    large, size = spectra.shape[1], disc.size
    ctf, odd = _aberrations(large, images.pixel_size_A, imaging, leaves)
    window = torch.fft.irfft2(spectra * ctf.to(real) * torch.polar(torch.ones_like(odd), -odd).to(spectra.dtype))
    first = (large - size) // 2
    window = window[:, first : first + size, first : first + size]
    data = torch.fft.rfft2(torch.fft.ifftshift(window, dim=(1, 2))) / size**2
    square = torch.fft.fftshift(torch.fft.irfft2(ctf.square().to(real.to_complex())), dim=(1, 2))
    square = square[:, first : first + size, first : first + size]
    band = torch.fft.rfft2(torch.fft.ifftshift(square, dim=(1, 2))).real
    weights = torch.as_tensor(images.weights, device=volume.device).to(real)[torch.as_tensor(images.group)]
    power = (band * weights).clamp(min=0.0)
    index = torch.as_tensor(disc.index, device=volume.device)
    slices = slices_of(volume, k, leaves["rows"].to(real))
    slices = slices * leaves["weight"][:, None].to(real)
    shifts = leaves["shift"].to(real)
    angle = 2 * math.pi / size * (shifts[:, :1] * k[:, 0] + shifts[:, 1:] * k[:, 1])
    centred = data.flatten(1)[:, index] * torch.polar(torch.ones_like(angle), angle)
    ab = (slices.conj() * centred).real.sum(dim=1)
    a2 = (power.flatten(1)[:, index] * torch.view_as_real(slices).square().sum(dim=-1)).sum(dim=1)
    return ab, a2


def _aberrations(
    size: int, pixel_size_A: float, imaging: Imaging, leaves: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """The CTF and the odd phase, (n, size, size // 2 + 1), float64."""
    device = leaves["defocus"].device
    x = torch.fft.rfftfreq(size, pixel_size_A, dtype=torch.float64, device=device)[None, :]
    y = torch.fft.fftfreq(size, pixel_size_A, dtype=torch.float64, device=device)[:, None]
    k2, theta = x**2 + y**2, torch.atan2(y.expand(-1, x.shape[1]), x.expand(len(y), -1))
    wavelength = electron_wavelength_A(imaging.model.voltage_kV)

    def each(name: str) -> Tensor:
        return leaves[name][:, None, None]

    defocus_A = 1e4 * (
        each("defocus") + each("defocus_delta") / 2 * torch.cos(2 * (theta - torch.deg2rad(each("defocus_angle"))))
    )
    cs_A = 1e7 * each("cs")
    chi = math.pi * wavelength * defocus_A * k2 - math.pi / 2 * cs_A * wavelength**3 * k2**2
    chi = chi + math.pi * each("phase_shift") + math.asin(imaging.model.amplitude_contrast)
    # by Cs the odd phase is not differentiated: beam tilt is what it is measured as
    tilt = 1e-3 * leaves["beam_tilt"]
    odd = 2 * math.pi * 1e7 * imaging.model.cs_mm * wavelength**2 * k2
    odd = odd * (x * tilt[:, :1, None] + y * tilt[:, 1:, None])
    nyquist = (x == x.max()) | (y == y.min())
    return torch.sin(chi), torch.where(nyquist, 0.0, odd)
