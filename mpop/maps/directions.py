"""Directions on a hemisphere, and quantities by direction and shell laid out as a transform.

A real map's spectrum has the same power for k and -k, so that a hemisphere of directions is all there is. The
directions lie on rings of equal polar angle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.frequencies import wrapped_indices

Array = NDArray[np.floating]

FOURFOLD_FROM = 12
"""Directions on a ring."""


@dataclass(frozen=True)
class Rings:
    """Directions of a hemisphere on rings around z.

    polar: (r,) polar angle of each ring in radians. counts: (r,) directions on each, the first at azimuth 0.
    """

    polar: Array
    counts: NDArray[np.intp]

    @classmethod
    def spaced(cls, spacing_deg: float) -> Rings:
        """Rings, and directions on each, about as far apart as asked for.

        Large rings have a multiple of four, so that the lattice's symmetries map directions onto directions.
        """
        number = max(1, round(90.0 / spacing_deg))
        step = np.pi / 2 / number
        polar = (np.arange(number) + 0.5) * step
        counts = 2 * np.pi * np.sin(polar) / step
        counts = np.where(counts < FOURFOLD_FROM, np.maximum(3, np.rint(counts)), 4 * np.rint(counts / 4))
        return cls(polar, counts.astype(np.intp))

    @property
    def directions(self) -> Array:
        """(d, 3) unit vectors x, y, z, ring by ring."""
        polar = np.repeat(self.polar, self.counts)
        azimuth = np.concatenate([2 * np.pi * np.arange(count) / count for count in self.counts])
        return np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)

    @property
    def solid_angles(self) -> Array:
        """(d,) fraction of the hemisphere that each direction stands for."""
        edges = np.cos(np.linspace(0, np.pi / 2, len(self.polar) + 1))
        return np.repeat(-np.diff(edges) / self.counts, self.counts)


def at_coefficients(table: Array, rings: Rings, box: int) -> NDArray[np.float32]:
    """A table by direction and shell, (d, shells), at every coefficient: (box, box, box // 2 + 1) in rfftn layout.

    Linear between directions; each shell's own value along the radius; 0 beyond the last shell. Shell 0 is taken
    from the first direction.
    """
    axis = wrapped_indices(box).astype(np.float32)
    half = np.arange(box // 2 + 1, dtype=np.float32)
    values = np.zeros((box, box, box // 2 + 1), dtype=np.float32)
    shells = table.shape[1]
    flat = table.astype(np.float32).ravel()
    in_plane = np.square(axis)[:, None] + np.square(half)
    for plane, kz in zip(values, axis, strict=True):  # one by one to save memory
        row, column = np.nonzero(in_plane + kz * kz < np.square(np.float32(shells - 0.5)))
        sign = np.float32(-1 if kz < 0 else 1)
        radius = np.sqrt(in_plane[row, column] + kz * kz)
        shell = np.rint(radius).astype(np.intp)
        polar = np.arccos(np.abs(kz) / np.maximum(radius, np.float32(1)))
        azimuth = np.arctan2(sign * axis[row], sign * half[column])
        found = np.zeros_like(radius)
        for direction, weight in _neighbours(rings, polar, azimuth):
            found += weight * flat[direction * shells + shell]
        plane[row, column] = found
    values[0, 0, 0] = table[0, 0]
    return values


def between_directions(values: Array, rings: Rings, polar: Array, azimuth: Array) -> Array:
    """Values by direction, (d,), at other directions of the upper hemisphere, given in radians."""
    return sum(
        (weight * values[direction] for direction, weight in _neighbours(rings, polar, azimuth)), np.zeros(1)
    )


def centred(half: NDArray[np.float32], box: int) -> NDArray[np.float32]:
    """A quantity equal for k and -k, in rfftn layout, as a volume (z, y, x) with its origin at box // 2."""
    full = np.empty((box, box, box), dtype=half.dtype)
    full[:, :, : box // 2 + 1] = half
    mirror = -np.arange(box) % box
    columns = np.arange(box // 2 + 1, box)
    full[:, :, columns] = half[mirror][:, mirror][:, :, box - columns]
    return np.asarray(np.fft.fftshift(full))


def _neighbours(rings: Rings, polar: Array, azimuth: Array) -> Iterator[tuple[NDArray[np.intp], Array]]:
    """The four directions around each point of the upper hemisphere, and their weights, which add up to 1."""
    number = len(rings.polar)
    starts = np.cumsum(rings.counts) - rings.counts
    place = polar * np.float32(number / (np.pi / 2)) - np.float32(0.5)
    lower = np.floor(place)
    upper_weight = place - lower
    for ring, weight in ((lower, 1 - upper_weight), (lower + 1, upper_weight)):
        # past the pole a meridian goes on on the other side; past the equator so do the mirrored directions
        beyond = (ring < 0) | (ring >= number)
        kept = np.clip(ring, 0, number - 1).astype(np.intp)
        count = rings.counts[kept]
        turn = (azimuth / np.float32(2 * np.pi) + np.float32(0.5) * beyond) % 1 * count.astype(np.float32)
        first = np.floor(turn)
        part = turn - first
        first = first.astype(np.intp) % count
        yield starts[kept] + first, weight * (1 - part)
        yield starts[kept] + (first + 1) % count, weight * part
