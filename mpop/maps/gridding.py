"""A map from sums over central slices on a grid finer than the box, as RELION reconstructs it.

    V = FT^-1[ D * G ],    D sums of CTF * image / sigma^2,   W sums of CTF^2 / sigma^2,   W' = W + 1 / (T tau2)

G is an inverse density: it is 1 at first, and divided by the convolution of G W' with a blob ten times over (Pipe
& Menon 1999; Matej & Lewitt 2001). Without a prior, W' = W. The map is then cut from the finer grid's field of
view, masked to a sphere, and divided by the transform of the trilinear kernel.

Numbers are those of `relion_external_reconstruct`, to single precision, so that what a correction changes is the
correction's doing. Ten divisions raise small differences to the tenth power, and so the blob's table, and the size
of the grid, are RELION's as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import iv, jv

from mpop.geometry.frequencies import wrapped_indices

Array = NDArray[np.float64]

ITERATIONS = 10
BLOB_RADIUS = 3.8
"""Of the Kaiser-Bessel blob, in voxels of the finer grid."""
BLOB_TAPER = 15.0
BLOB_STEP = 0.5 / 10_000
"""The blob's transform is read from a table of this step, at the entry below a frequency."""
MASK_EDGE = 3.0
"""Voxels over which the sphere's mask falls."""
NO_PRIOR = 1e-3
"""Where tau2 is 0, 1 / (T tau2) is W over this."""


@dataclass(frozen=True)
class SliceSums:
    """Sums over slices in rfftn layout, (padded, padded, padded // 2 + 1), with padded = padding * box.

    reach: shells of the box that hold data.
    """

    data: NDArray[np.complex64]
    weight: NDArray[np.float32]
    box: int
    padding: float
    reach: int


def reconstruct(sums: SliceSums, prior: Array | None = None) -> NDArray[np.float32]:
    """The map (z, y, x).

    prior: T tau2 of shells 0 .. box // 2, power of |transform| / box^2; None: not regularised.
    """
    grid = _Grid.of(sums)
    weight = grid.cut(sums.weight.astype(np.float64))
    if prior is not None:
        weight += grid.regularisation(weight, prior, sums.padding)
    weight *= grid.within
    density = _inverse_density(weight, grid)
    return _to_box(grid.paste(grid.cut(sums.data) * density, sums.weight.shape[0]), sums)


def coefficient_weights(sums: SliceSums) -> NDArray[np.float32]:
    """(box, box, box // 2 + 1) weight of each coefficient of the map's transform, rfftn layout.

    Its inverse is the variance that noise has in |transform| / box^2. The finer grid has padding^3 samples per
    coefficient, which count the less the further they lie from it.
    """
    padded, box = sums.weight.shape[0], sums.box
    beyond = math.ceil(sums.padding)  # columns before k_x = 0 are Friedel mates of those behind
    mates = np.roll(sums.weight[::-1, ::-1], 1, axis=(0, 1))[:, :, beyond:0:-1]
    weight = np.concatenate([mates, sums.weight], axis=2)
    rows = _triangles(wrapped_indices(box), wrapped_indices(padded), sums.padding)
    columns = _triangles(np.arange(box // 2 + 1), np.arange(-beyond, padded // 2 + 1), sums.padding)
    part = np.tensordot(weight, columns, axes=(2, 1))
    part = np.tensordot(rows, part, axes=(1, 0))
    part = np.tensordot(rows, part, axes=(1, 1)).transpose(1, 0, 2)
    return part * np.float32(sums.padding**3)


def _triangles(coarse: NDArray[np.int64], fine: NDArray[np.int64], padding: float) -> NDArray[np.float32]:
    """(coarse, fine) weights of a linear average about each coarse frequency; rows sum to 1."""
    near = np.maximum(0.0, 1 - np.abs(fine / padding - coarse[:, None]))
    return (near / near.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class _Grid:
    """The smallest odd grid that holds all data: rfftn layout, radius in finer voxels."""

    size: int
    limit: int
    radius: Array
    within: NDArray[np.bool_]
    blob: Array

    @classmethod
    def of(cls, sums: SliceSums) -> _Grid:
        limit = round(sums.padding * sums.reach)
        size = 2 * limit + 3
        axis = np.square(wrapped_indices(size))
        square = axis[:, None, None] + axis[None, :, None] + np.square(np.arange(size // 2 + 1))
        place = np.arange(size, dtype=np.float64)
        place[size // 2 :] -= size  # the middle one counts as negative
        place = np.square(place)
        distance = np.sqrt(place[:, None, None] + place[None, :, None] + place)
        blob = _blob_transform(distance / (sums.box * sums.padding))
        return cls(size, limit, np.sqrt(square), square < limit**2, blob)

    def _indices(self, padded: int) -> tuple[tuple[NDArray[np.int64], ...], tuple[NDArray[np.int64], ...]]:
        """Where the data lie on this grid and on the whole one."""
        rows, columns = np.arange(-self.limit, self.limit + 1), np.arange(self.limit + 1)
        here, there = rows % self.size, rows % padded
        return np.ix_(here, here, columns), np.ix_(there, there, columns)

    def cut(self, values: NDArray) -> NDArray:
        here, there = self._indices(values.shape[0])
        out = np.zeros(self.within.shape, dtype=values.dtype)
        out[here] = values[there]
        return out * self.within

    def paste(self, values: NDArray, padded: int) -> NDArray:
        here, there = self._indices(padded)
        out = np.zeros((padded, padded, padded // 2 + 1), dtype=values.dtype)
        out[there] = values[here]
        return out

    def regularisation(self, weight: Array, prior: Array, padding: float) -> Array:
        """1 / (T tau2) on the finer grid, which has padding^3 times as many samples."""
        shell = np.floor(self.radius / padding + 0.5).astype(int)
        power = padding**3 * prior[np.minimum(shell, len(prior) - 1)]
        inverse = np.divide(1.0, power, out=np.zeros_like(power), where=power > 0)
        silent = (power <= 0) & (weight > 1e-20)
        return np.where(silent, 1 / (NO_PRIOR * np.maximum(weight, 1e-20)), inverse)


def _inverse_density(weight: Array, grid: _Grid) -> Array:
    density = grid.within.astype(np.float64)
    for _ in range(ITERATIONS):
        real = np.asarray(scipy.fft.irfftn(density * weight, s=(grid.size,) * 3))
        convolved = np.abs(np.asarray(scipy.fft.rfftn(real * grid.blob)))
        density = np.where(grid.within, density / np.maximum(convolved, 1e-6), 0.0)
    return density


def _blob_transform(frequency: Array) -> Array:
    """Transform of the blob, 1 at the origin, 0 beyond half a cycle per voxel."""
    entries = round(0.5 / BLOB_STEP)
    x = 2 * np.pi * BLOB_RADIUS * BLOB_STEP * np.arange(entries + 1)
    argument = np.sqrt(np.abs(BLOB_TAPER**2 - x**2))
    values = np.where(x < BLOB_TAPER, iv(1.5, argument), jv(1.5, argument)) / argument**1.5
    table = values / values[0]
    table[-1] = 0.0
    return table[np.minimum((frequency / BLOB_STEP).astype(int), entries)]


def _to_box(spectrum: NDArray, sums: SliceSums) -> NDArray[np.float32]:
    """Cut the map out of its padded surroundings, mask it and undo the trilinear kernel."""
    padded, box = spectrum.shape[0], sums.box
    wide = scipy.fft.fftshift(scipy.fft.irfftn(spectrum, s=(padded,) * 3, norm="forward"))
    part = slice(padded // 2 - box // 2, padded // 2 - box // 2 + box)
    volume = np.asarray(wide)[part, part, part] / (sums.padding**3 * box)
    axis = np.square(np.arange(box) - box // 2).astype(np.float64)
    distance = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis)
    outside = 0.5 - 0.5 * np.cos(np.pi * np.clip((distance - box / 2) / MASK_EDGE, 0, 1))
    background = (outside * volume).sum() / outside.sum()
    masked = volume * (1 - outside) + outside * background
    return (masked / np.sinc(distance / (box * sums.padding)) ** 2).astype(np.float32)
