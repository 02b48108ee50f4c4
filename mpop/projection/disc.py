"""The Fourier components of an image that take part in scoring, as one packed row of numbers.

A real image is known by half of its Fourier plane. Of that half the disc between two radii is kept, row by
row, so that kernels stream through contiguous memory and nothing outside the resolution limit is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.frequencies import ROUNDING


@dataclass(frozen=True)
class HalfDisc:
    """Components k_x >= 0, r_min <= |k| <= r_max of a (size, size) image; on k_x = 0 only k_y > 0.

    Frequencies in Fourier pixels (cycles per image). Each component stands for itself and its Friedel mate.
    """

    size: int
    r_min: float
    r_max: float
    row_y: NDArray[np.int32]
    """(rows,) k_y of each row."""
    row_x: NDArray[np.int32]
    """(rows,) first k_x of each row."""
    row_start: NDArray[np.int32]
    """(rows + 1,) where each row starts in the packed order."""
    index: NDArray[np.int64]
    """(pixels,) position in the flattened rfft2 layout (size, size // 2 + 1)."""
    radius: NDArray[np.float64]
    """(pixels,) |k|."""

    @classmethod
    def make(cls, size: int, r_max: float, r_min: float = 1.0) -> HalfDisc:
        """The half disc of a square image; r_max is cut below Nyquist."""
        r_max = min(r_max, size // 2 - 1)
        edge = r_max + ROUNDING
        reach = int(edge)
        rows: list[tuple[int, int, int]] = []
        for y in range(-reach, reach + 1):
            end = int(np.sqrt(edge**2 - y**2))
            inner = int(np.ceil(np.sqrt(r_min**2 - y**2))) if abs(y) < r_min else 0
            start = max(inner, 1) if y <= 0 else inner
            if start <= end:
                rows.append((y, start, end + 1))
        y, start, stop = np.array(rows, dtype=np.int32).reshape(-1, 3).T
        row_start = np.concatenate([[0], np.cumsum(stop - start)]).astype(np.int32)
        k_x = np.concatenate([np.arange(a, b) for a, b in zip(start, stop, strict=True)] or [np.zeros(0, int)])
        k_y = np.repeat(y, stop - start)
        index = (k_y % size).astype(np.int64) * (size // 2 + 1) + k_x
        return cls(size, r_min, r_max, y.copy(), start.copy(), row_start, index, np.hypot(k_x, k_y))

    def __len__(self) -> int:
        return len(self.index)

    def frequencies(self) -> NDArray[np.int32]:
        """(pixels, 2) k_x, k_y of each component."""
        length = np.diff(self.row_start)
        first = np.repeat(self.row_x - self.row_start[:-1], length)
        return np.stack([first + np.arange(len(self), dtype=np.int32), np.repeat(self.row_y, length)], axis=-1)

    def pack(self, plane: NDArray) -> NDArray:
        """(..., size, size // 2 + 1) to (..., pixels)."""
        return plane.reshape(*plane.shape[:-2], -1)[..., self.index]

    def unpack(self, packed: NDArray) -> NDArray:
        """(..., pixels) to (..., size, size // 2 + 1), zero elsewhere."""
        plane = np.zeros((*packed.shape[:-1], self.size * (self.size // 2 + 1)), dtype=packed.dtype)
        plane[..., self.index] = packed
        return plane.reshape(*packed.shape[:-1], self.size, self.size // 2 + 1)

    def inner(self, radius: float) -> tuple[HalfDisc, NDArray[np.int64]]:
        """The disc up to a radius, and where its components are in the packed order of the whole."""
        if radius >= self.r_max:
            return self, np.arange(len(self))
        smaller = HalfDisc.make(self.size, radius, self.r_min)
        order = np.argsort(self.index)
        return smaller, order[np.searchsorted(self.index, smaller.index, sorter=order)]
