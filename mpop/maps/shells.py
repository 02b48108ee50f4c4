"""Shells of Fourier space: whole numbers of the distance from the origin, and what maps hold in each.

A transform is in rfftn layout, (box, box, box // 2 + 1): of two Friedel mates it holds one, but in the columns
where it holds both. Sums are over the full transform, each coefficient and its mate; means of values are over what
the layout holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.frequencies import wrapped_indices

Array = NDArray[np.float64]


@lru_cache(maxsize=4)
def shell_radius(box: int) -> NDArray[np.float32]:
    """(box, box, box // 2 + 1) distance from the Fourier origin in voxels, in rfftn layout."""
    axis, half = np.square(wrapped_indices(box)), np.square(np.arange(box // 2 + 1))
    return np.sqrt(axis[:, None, None] + axis[None, :, None] + half).astype(np.float32)


def shell_radii(box: int) -> Iterator[NDArray[np.float32]]:
    """`shell_radius` plane by plane, (box, box // 2 + 1) each, for maps whose radii are not worth the memory."""
    squares = np.square(wrapped_indices(box))
    plane = squares[:, None] + np.square(np.arange(box // 2 + 1))
    return (np.sqrt(square + plane).astype(np.float32) for square in squares)


def shell_numbers(box: int) -> NDArray[np.intp]:
    """(box, box, box // 2 + 1) shell of each coefficient, on to the corners."""
    return np.rint(shell_radius(box)).astype(np.intp)


def means_over(shell: NDArray[np.intp], values: NDArray[np.floating]) -> Array:
    """(shells,) means of values by the number of each; 0 where a number has none."""
    shell = shell.ravel()
    return np.bincount(shell, values.ravel()) / np.maximum(np.bincount(shell), 1)


def shell_means(values: NDArray[np.floating]) -> Array:
    """Mean of (box, box, box // 2 + 1) in rfftn layout over shells 0 .. box // 2."""
    size = values.shape[0] // 2 + 1
    sums, counts = np.zeros(size), np.zeros(size)
    for plane, radius in zip(values, shell_radii(values.shape[0]), strict=True):
        shell = np.minimum(np.rint(radius).astype(np.int64), size).ravel()
        sums += np.bincount(shell, plane.ravel(), minlength=size + 1)[:size]
        counts += np.bincount(shell, minlength=size + 1)[:size]
    return sums / counts


def mean_amplitudes(spectrum: NDArray[np.complex64]) -> Array:
    """(box // 2 + 1,) mean |F| of each shell of a transform (box, box, box // 2 + 1)."""
    box = len(spectrum)
    return shell_sums(lambda plane: [amplitude_of(spectrum[plane])], box)[0] / shell_counts(box)


def real_product(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Re(a conj b)."""
    parts: NDArray[np.float32] = a.view(np.float32) * b.view(np.float32)
    return parts[..., ::2] + parts[..., 1::2]


def amplitude_of(values: NDArray[np.complex64]) -> NDArray[np.float32]:
    """|F|, where its square is neither too large nor too small for single precision; quicker than np.abs."""
    return np.sqrt(real_product(values, values), dtype=np.float32)


def shell_counts(box: int) -> Array:
    """(box // 2 + 1,) coefficients of the full transform in each shell."""
    ones = np.ones((box, box // 2 + 1), dtype=np.float32)
    return shell_sums(lambda plane: [ones], box)[0]


def shell_sums(of_plane: Callable[[int], Sequence[NDArray[np.float32]]], box: int) -> Array:
    """(q, box // 2 + 1) sums over shells of the full transform, of q quantities.

    of_plane: the quantities of a plane of a transform, (box, box // 2 + 1) each. It is asked plane by plane, as
    whole cubes of products and shell numbers would take more memory than the maps. Opposite places along an axis
    are in one shell and added up first, so that shells are looked up for an eighth of the transform.
    """
    length = box // 2 + 1
    mates = np.full(length, 2.0, dtype=np.float32)
    mates[columns_of_mates(box)] = 1
    squares = np.square(np.arange(length))
    totals = []
    for plane in range(length):
        values = of_plane(plane)
        if 0 < plane != box - plane:
            values = [one + other for one, other in zip(values, of_plane(box - plane), strict=True)]
        shell = np.rint(np.sqrt(squares[plane] + squares[:, None] + squares)).astype(np.intp).ravel()
        for one in values:
            octant = one[:length] * mates
            octant[1 : box - length + 1] += one[: length - 1 : -1] * mates
            totals.append(np.bincount(shell, octant.ravel(), minlength=length)[:length])
    return np.sum(np.reshape(totals, (length, -1, length)), axis=0)


def columns_of_mates(box: int) -> list[int]:
    """The columns of a transform that hold both of each pair of Friedel mates; all others hold one."""
    return [0, box // 2] if box % 2 == 0 else [0]
