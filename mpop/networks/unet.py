"""The 3-D U-Net that corrects and denoises maps.

`UNet(64)` is the network of the spIsoNet paper (23.76 million parameters), `UNet(16)` a small one for processors
without an accelerator (2.08 million).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mpop.errors import InputError

WIDEST = 320
"""Channels beyond which deeper levels do not grow."""

CONVOLUTIONS = 3
"""Per level; the deepest level has one less."""


class UNet(nn.Module):
    """What is to be added to a map of one channel, found at 1 + depth scales; returns the sum.

    Input and output are (batch, 1, z, y, x); edges must be multiples of `multiple`. Nothing bounds the size from
    above, so the network that was trained on cubes takes a whole map.
    """

    def __init__(self, width: int = 64, depth: int = 3) -> None:
        """width: channels at full resolution; each of the depth levels below has twice as many, 320 at most."""
        super().__init__()
        if width < 1 or depth < 1:
            raise InputError(f"a network of width {width} and depth {depth}; both must be at least 1")
        self.width, self.depth = width, depth
        widths = [min(width * 2**level, WIDEST) for level in range(depth + 1)]
        self.stem = nn.Conv3d(1, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(_level(size, size, CONVOLUTIONS) for size in widths[:-1])
        self.downs = nn.ModuleList(_step(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths))
        self.bottom = _level(widths[-1], widths[-1], CONVOLUTIONS - 1)
        self.ups = nn.ModuleList(
            nn.ConvTranspose3d(coarse, fine, 2, stride=2) for fine, coarse in pairwise(widths)
        )
        self.decoders = nn.ModuleList(_level(2 * size, size, CONVOLUTIONS) for size in widths[:-1])
        self.activation = nn.LeakyReLU()
        self.head = nn.Conv3d(widths[0], 1, 3, padding=1)

    @property
    def multiple(self) -> int:
        """What edges of the input must be multiples of."""
        return 2**self.depth

    @property
    def reach(self) -> int:
        """Voxels from which a voxel of the output can depend on the input, along an axis, at most."""
        levels = sum(2 * CONVOLUTIONS * 2**level + 2**level for level in range(self.depth))
        return 2 + levels + (CONVOLUTIONS - 1) * self.multiple

    def forward(self, maps: Tensor) -> Tensor:
        """The maps with what the network adds to them."""
        features = self.stem(maps)
        skipped = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skipped.append(features)
            features = down(features)
        features = self.bottom(features)
        for level in reversed(range(self.depth)):
            joined = torch.cat([skipped[level], self.ups[level](features)], dim=1)
            features = self.decoders[level](self.activation(joined))
        return maps + self.head(features)


def parameters(network: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(parameter.numel() for parameter in network.parameters())


def _step(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias, as the normalisation after it has one."""
    convolution = nn.Conv3d(inputs, outputs, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(outputs), nn.LeakyReLU())


def _level(inputs: int, outputs: int, convolutions: int) -> nn.Sequential:
    sizes = [inputs] + [outputs] * convolutions
    return nn.Sequential(*(_step(one, other, 3) for one, other in pairwise(sizes)))
