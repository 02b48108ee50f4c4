"""A network applied to a whole map: in one piece where it fits, otherwise in tiles that leave no seam."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import pad

from mpop.networks.unet import UNet

MARGIN = 16
"""Voxels at the inner faces of a tile that are computed and thrown away."""

FADE = 8
"""Voxels over which one tile passes into the next."""

TILE_FEATURES = 2**28
"""Voxels times channels of a tile: some 5 GiB at most while the network works on it."""


def tile_edge(network: UNet) -> int:
    """Voxels along the largest tile; depends on nothing but the network, so that results do not either."""
    return int(math.cbrt(TILE_FEATURES / network.width)) // network.multiple * network.multiple


def predict(
    apply: Callable[[Tensor], Tensor], volume: Tensor, edge: int, multiple: int = 8, margin: int = MARGIN
) -> Tensor:
    """What a network makes of a map (z, y, x), or of several (maps, z, y, x): on its device, of its shape.

    apply: the network on (1, maps, z, y, x); several maps need not become as many. edge: voxels along a tile; like
    all sizes it is brought to a `multiple`.
    Equal to one application to the whole map when the margin is at least the network's reach.
    """
    shape = volume.shape[-3:]
    # the lattice of voxels is periodic, as the Fourier transforms that made the map are
    padded = _padded(volume[None] if volume.dim() == 3 else volume, multiple)
    edge = max(edge // multiple, -(-(2 * margin + FADE) // multiple) + 1) * multiple
    total = torch.zeros(0)
    weights = torch.zeros_like(padded[0])
    with torch.no_grad():
        for tile in _tiles(padded.shape[1:], edge, multiple, margin):
            weight = tile.weight(margin).to(volume.device)
            found = apply(padded[(slice(None), *tile.slices)][None])[0]
            if not len(total):
                total = found.new_zeros((len(found), *padded.shape[1:]))
            total[(slice(None), *tile.slices)] += weight * found
            weights[tile.slices] += weight
    result = (total / weights)[:, : shape[0], : shape[1], : shape[2]]
    return result[0] if volume.dim() == 3 else result


@dataclass(frozen=True)
class _Tile:
    """starts and stops per axis in a map of this shape."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        return tuple(slice(start, stop) for start, stop in zip(self.starts, self.stops, strict=True))

    def weight(self, margin: int) -> Tensor:
        """1 inside; falls to 0 at `margin` voxels before those faces that are not the map's own."""
        ramps = []
        for start, stop, size in zip(self.starts, self.stops, self.shape, strict=True):
            voxels = torch.arange(start, stop)
            ramp = torch.ones(stop - start)
            if start > 0:
                ramp = ramp.minimum((voxels - start - margin + 1) / FADE)
            if stop < size:
                ramp = ramp.minimum((stop - voxels - margin) / FADE)
            ramps.append(ramp.clamp(0, 1))
        return ramps[0][:, None, None] * ramps[1][:, None] * ramps[2]


def _tiles(shape: tuple[int, ...], edge: int, multiple: int, margin: int) -> Iterator[_Tile]:
    stride = (edge - 2 * margin - FADE) // multiple * multiple
    starts = [[*range(0, max(size - edge, 0), stride), max(size - edge, 0)] for size in shape]
    for corner in product(*starts):
        stops = tuple(min(start + edge, size) for start, size in zip(corner, shape, strict=True))
        yield _Tile(corner, stops, tuple(shape))


def _padded(volume: Tensor, multiple: int) -> Tensor:
    """Maps (maps, z, y, x)."""
    missing = [(-size) % multiple for size in volume.shape[1:]]
    if not any(missing):
        return volume
    ends = [number for size in reversed(missing) for number in (0, size)]
    return pad(volume[None], ends, mode="circular")[0]
