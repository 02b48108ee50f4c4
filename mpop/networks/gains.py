"""A network that says how much of every band of a map to keep at every voxel.

What comes out is the measured map, band by band, times numbers from 0 to 1. So a denoiser made of it can take away
and cannot add: where the map holds nothing, nothing appears. It begins as the filter by the FSC and learns from
there in which places, and under which densities, there is more signal than on average, or less.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

LEAST, MOST = 1e-3, 1 - 1e-4
"""Gains to begin with are within this range, so that training can move them."""


class GainNetwork(nn.Module):
    """Gains (batch, bands, z, y, x) from 0 to 1 of bands of the same shape; edges must be multiples of 4."""

    def __init__(self, bands: int, width: int, start: Tensor, scale: Tensor) -> None:
        """width: channels at half the resolution. start: (bands,) gains without training. scale: (bands,) standard
        deviations of the bands."""
        super().__init__()
        self.bands, self.width = bands, width
        kept = start.clamp(LEAST, MOST)
        # both follow from the half-maps, and are not part of what is learnt
        self.register_buffer("start", (kept / (1 - kept)).log()[None, :, None, None, None], persistent=False)
        self.register_buffer("scale", scale[None, :, None, None, None], persistent=False)
        self.activation = nn.LeakyReLU(0.1)
        self.stem = nn.Conv3d(bands, width, 4, stride=2, padding=1)
        self.fine = _Residual(width)
        self.down = nn.Conv3d(width, 2 * width, 2, stride=2)
        self.coarse = nn.Sequential(_Residual(2 * width), _Residual(2 * width))
        self.up = nn.ConvTranspose3d(2 * width, width, 2, stride=2)
        self.joined = nn.Sequential(nn.Conv3d(2 * width, width, 1), _Residual(width))
        self.head = nn.Conv3d(width, bands, 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    multiple = 4
    reach = 36
    """Voxels from which a gain can depend on the input, along an axis, at most."""

    def forward(self, bands: Tensor) -> Tensor:
        """The gains."""
        fine = self.fine(self.activation(self.stem(bands / self.get_buffer("scale"))))
        coarse = self.up(self.coarse(self.activation(self.down(fine))))
        change = self.head(self.joined(torch.cat([fine, coarse], dim=1))).float()
        change = interpolate(change, scale_factor=2, mode="trilinear")
        return torch.sigmoid(self.get_buffer("start") + change)


class _Residual(nn.Module):
    """What two convolutions add."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(width, width, 3, padding=1)
        self.second = nn.Conv3d(width, width, 3, padding=1)
        self.activation = nn.LeakyReLU(0.1)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(features + self.second(self.activation(self.first(features))))
