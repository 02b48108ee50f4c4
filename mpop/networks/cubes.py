"""Cubes cut from maps in memory, for training, and maps put together from tiles, for prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpop.errors import InputError

HELD_OUT = 0.1
"""Part of the mask that training never sees."""

SMALLEST = 16
"""Edge, in voxels, below which a cube holds too little to judge a network by."""

Centres = NDArray[np.int64]
"""(cubes, 3) voxels z, y, x; a cube of edge s has its centre at voxel s // 2."""


@dataclass(frozen=True)
class Places:
    """Where cubes of one edge may be cut: centres (n, 3) of voxels z, y, x."""

    edge: int
    centres: Centres


@dataclass(frozen=True)
class Split:
    """Cubes to train on and cubes to judge by, which share no voxel; held_out is None where there is no room."""

    training: Places
    held_out: Places | None


def places(mask: NDArray[np.floating], edge: int) -> Places:
    """Centres at every voxel of the mask, moved inwards where the cube would leave the map.

    Raises InputError for an empty mask and for a map smaller than a cube.
    """
    if min(mask.shape) < edge:
        raise InputError(f"cubes of {edge} voxels do not fit into a map of {min(mask.shape)}; use smaller ones")
    inside = np.argwhere(mask > 0)
    if not len(inside):
        raise InputError("the mask is empty: no voxel is above 0")
    return _within(inside, edge, [(0, size) for size in mask.shape])


def split(mask: NDArray[np.floating], edge: int, multiple: int = 8, held_out: float = HELD_OUT) -> Split:
    """Divide the map by a plane: beyond it lies the part `held_out` of the mask, to judge by.

    The plane is parallel to a face of the map, at the end where the cubes beyond it can be largest (their edge is
    a multiple of `multiple`, at most `edge`). Cubes to train on are moved to before the plane, so that they see
    everything there.
    """
    whole = places(mask, edge)
    ends = [_end(mask, axis, last, held_out) for axis in range(3) for last in (True, False)]
    end = max(ends, key=lambda end: end.room)
    room = min(end.room, edge) // multiple * multiple
    if room < SMALLEST or mask.shape[end.axis] - end.room < edge:
        return Split(whole, None)
    bounds = [(0, size) for size in mask.shape]
    bounds[end.axis] = end.before
    training = _within(whole.centres, edge, bounds)
    inside = np.argwhere(mask > 0)
    low, high = bounds[end.axis] = end.beyond
    beyond = inside[(inside[:, end.axis] >= low) & (inside[:, end.axis] < high)]
    return Split(training, _within(beyond, room, bounds))


@dataclass(frozen=True)
class _End:
    """Voxels from first to before stop along an axis, before a plane and beyond it."""

    axis: int
    before: tuple[int, int]
    beyond: tuple[int, int]

    @property
    def room(self) -> int:
        return self.beyond[1] - self.beyond[0]


def _end(mask: NDArray[np.floating], axis: int, last: bool, part: float) -> _End:
    """The end of the map, first or last along an axis, that holds a part of the mask, or the little more."""
    others = tuple(other for other in range(3) if other != axis)
    profile = np.count_nonzero(mask > 0, axis=others)
    taken = np.cumsum(profile[::-1] if last else profile)
    room = int(np.searchsorted(taken, part * taken[-1])) + 1
    size = len(profile)
    if last:
        return _End(axis, (0, size - room), (size - room, size))
    return _End(axis, (room, size), (0, room))


def _within(centres: Centres, edge: int, bounds: list[tuple[int, int]]) -> Places:
    """Centres moved to where cubes lie within bounds (first, stop) of each axis."""
    low = [first + edge // 2 for first, _ in bounds]
    high = [stop - (edge - edge // 2) for _, stop in bounds]
    return Places(edge, np.clip(centres, low, high))


def cut(maps: Tensor, centres: Centres, edge: int) -> Tensor:
    """Cubes (cubes, maps, edge, edge, edge) of maps (maps, z, y, x), on the device of the maps."""
    corners = torch.from_numpy(centres - edge // 2).to(maps.device)
    windows = maps.unfold(1, edge, 1).unfold(2, edge, 1).unfold(3, edge, 1)
    return windows[:, corners[:, 0], corners[:, 1], corners[:, 2]].transpose(0, 1).contiguous()
