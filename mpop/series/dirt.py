"""Dirt of tilt images: what is no ice and no particle, found and filled before noise is measured and particles are
cut.

Three kinds, each known by what protein cannot be:

* *hot and dead pixels*: one or a few pixels that lie far from the median of those around them, further than noise
  reaches. A particle is smooth at this scale.
* *blank* pixels: rows, columns and blocks of one constant value, as shifted or turned images have at their
  borders.
* *beads* and other heavy things: regions as dark as gold. A bead of 8 to 12 nm takes 40 to 60 % of the electrons
  out of the image, a protein complex some per cent, a carbon film 10 to 20 %. Contrast is measured against the
  level of the ice around, in parts of it; where an image has lost its level (its mean is 0) that is found from the
  exposure, since N electrons have noise sqrt(N). Without either, and with a phase plate, whose contrast of protein
  is as strong, beads are not looked for.

What is found is filled with the level around it. Noise in its place would say no more and add its variance: a
filled pixel adds nothing to P, and `mpop.series.extraction` takes it out of Q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numba import njit, prange
from numpy.typing import NDArray

from mpop.optics.wavelength import electron_wavelength_A

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

SPIKE = 8.0
"""Standard deviations of noise from the pixels around."""
SPIKE_TAIL = 3.1
"""And so many times as far as 99 % of all pixels: the same number for noise, and far more for images without
noise, whose particles are sharp."""
SPIKE_SAMPLE = 4000
AROUND = np.array([(y, x) for y in range(-2, 3) for x in range(-2, 3) if y or x])
BLANK_BLOCK = 8
CELL_A = 20.0
"""Beads are looked for in images binned to pixels of about this size."""
LEVEL_A = 750.0
"""The level of the ice is the median over squares of this size."""
SEED_CONTRAST, EDGE_CONTRAST = -0.25, -0.12
"""A bead is darker than the first somewhere near its centre, and than the second out to its edge."""
EDGE_CELLS = 2
"""So far out the edge is followed: a large dark region is not a bead."""
VISIBLE_LEVEL = 5.0
"""The values of an image are electrons if its level is more than this many standard deviations of a cell, and"""
PLAUSIBLE_LEVEL = 1 / 3
"""not less than this part of what its noise and exposure say."""
PHASE_PLATE_PI = 0.1


@dataclass(frozen=True)
class Exposure:
    """What is known of how a tilt was taken. electrons_per_A2: 0 where it is not known."""

    electrons_per_A2: float
    defocus_um: float
    phase_shift_pi: float
    voltage_kV: float


@dataclass(frozen=True)
class Erased:
    """What was taken out of images, in pixels; adds. blank_tilts: of a series, which were left out whole. outside:
    images of particles that were left out, as their centre lies outside of what was measured."""

    pixels: int = 0
    """Of all images."""
    hot: int = 0
    blank: int = 0
    beads: int = 0
    blank_tilts: tuple[int, ...] = ()
    outside: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(
            self.pixels + other.pixels,
            self.hot + other.hot,
            self.blank + other.blank,
            self.beads + other.beads,
            self.blank_tilts + other.blank_tilts,
            self.outside + other.outside,
        )

    def __bool__(self) -> bool:
        return self.hot + self.blank + self.beads > 0

    @property
    def part(self) -> float:
        """Of the area."""
        return (self.hot + self.blank + self.beads) / max(self.pixels, 1)


@dataclass(frozen=True)
class CleanImage:
    """An image (y, x) with its dirt filled. present: which pixels were measured, None: all of them."""

    image: Image
    present: Mask | None
    erased: Erased


def clean(image: Image, pixel_size_A: float, exposure: Exposure) -> CleanImage:
    """Find and fill the dirt of a raw tilt image, protein dark. The image given is left as it is; the same array
    comes back when there is no dirt."""
    blank = _blank(image)
    filled, hot = without_spikes(image, blank)
    level, beads = _beads(filled, blank, pixel_size_A, exposure)
    mask = beads if blank is None else beads | blank
    dirty = bool(mask.any())
    if dirty:
        if filled is image:
            filled = image.copy()
        y, x = np.nonzero(mask)
        filled[y, x] = level.at(y, x)
    if hot is not None:
        mask[hot] = True
    erased = Erased(
        image.size,
        0 if hot is None else len(hot[0]),
        0 if blank is None else int(blank.sum()),
        int(beads.sum()),
    )
    return CleanImage(filled, ~mask if dirty or hot is not None else None, erased)


def _blank(image: Image) -> Mask | None:
    """Rows, columns and blocks that hold one value and nothing else; None: there are none."""
    mask = np.zeros(image.shape, bool)
    mask[_constant(image)] = True
    mask[:, _constant(image.T)] = True
    size = BLANK_BLOCK
    rows, columns = image.shape[0] // size, image.shape[1] // size
    blocks = image[: rows * size, : columns * size].reshape(rows, size, columns, size).swapaxes(1, 2)
    constant = _constant(blocks)
    pad = [(0, image.shape[0] - rows * size), (0, image.shape[1] - columns * size)]
    for value in np.unique(blocks[constant, 0, 0]).tolist():
        here = scipy.ndimage.binary_dilation(constant & (blocks[..., 0, 0] == value), np.ones((3, 3)))
        near = np.pad(np.asarray(here).repeat(size, 0).repeat(size, 1), pad, mode="edge")
        mask |= near & (image == value)
    return mask if mask.any() else None


def _constant(parts: NDArray) -> Mask:
    """Which parts (leading axes; a row's last axis or a block's last two) hold one value only."""
    axes = tuple(range(1 if parts.ndim == 2 else 2, parts.ndim))
    first, last = (parts[(..., *(end,) * len(axes))] for end in (0, -1))
    constant = first == last  # few others pass this
    some = parts[constant]
    flat = some.reshape(len(some), math.prod(some.shape[1:]))
    constant[constant] = (flat == flat[:, :1]).all(axis=1)
    return constant


def without_spikes(image: Image, blank: Mask | None = None) -> tuple[Image, tuple[NDArray[np.int64], ...] | None]:
    """The image with its hot and dead pixels set to the median of those around, and where they are (None:
    nowhere)."""
    reach = _spike_reach(image, blank)
    if reach == 0.0:
        return image, None
    # a spike's border is a step; few steps between two pixels of noise are as high as that
    suspect = np.zeros(image.shape, bool)
    _mark_steps(image, np.float32(0.6 * reach), suspect)
    if blank is not None:
        suspect &= ~blank
    y, x = np.nonzero(suspect)
    around = _around(image, y, x)
    far = np.abs(image[y, x] - around) > reach
    if not far.any():
        return image, None
    spikes = np.zeros(image.shape, bool)
    spikes[y[far], x[far]] = True
    # what moved or binned the image has spread a spike over its neighbours
    spikes = np.asarray(scipy.ndimage.binary_dilation(spikes, np.ones((3, 3))), bool)
    if blank is not None:
        spikes &= ~blank
    hot = np.nonzero(spikes)
    filled = image.copy()
    filled[hot] = np.nan
    filled[hot] = _around(filled, *hot)
    return filled, hot


@njit(parallel=True, cache=True)
def _mark_steps(image, height, marked):
    """Mark pixels that differ by more than a height from the next one along y or x, and those that end a step."""
    for y in prange(image.shape[0]):
        for x in range(image.shape[1]):
            value = image[y, x]
            marked[y, x] = (
                (x > 0 and abs(value - image[y, x - 1]) > height)
                or (x + 1 < image.shape[1] and abs(value - image[y, x + 1]) > height)
                or (y > 0 and abs(value - image[y - 1, x]) > height)
                or (y + 1 < image.shape[0] and abs(value - image[y + 1, x]) > height)
            )


def _spike_reach(image: Image, blank: Mask | None) -> float:
    """How far a pixel must lie from those around it to be no noise, from an even sample of pixels."""
    step = max(1, round(math.sqrt(image.size / SPIKE_SAMPLE)))
    y, x = (axis.ravel() for axis in np.mgrid[0 : image.shape[0] : step, 0 : image.shape[1] : step])
    if blank is not None:
        kept = ~blank[y, x]
        y, x = y[kept], x[kept]
    if len(y) == 0:
        return 0.0
    off = np.abs(image[y, x] - _around(image, y, x))
    return max(SPIKE * 1.4826 * float(np.median(off)), SPIKE_TAIL * float(np.quantile(off, 0.99)))


def _around(image: Image, y: NDArray[np.int64], x: NDArray[np.int64]) -> Image:
    """Median of the 24 pixels around pixels (those of them that are in the image and not NaN)."""
    rows = np.clip(y[:, None] + AROUND[:, 0], 0, image.shape[0] - 1)
    columns = np.clip(x[:, None] + AROUND[:, 1], 0, image.shape[1] - 1)
    values = image[rows, columns]
    if not np.isnan(values).any():
        return np.median(values, axis=1).astype(np.float32)
    level = np.float32(np.nanmedian(image))
    values[np.isnan(values).all(axis=1)] = level
    return np.nanmedian(values, axis=1).astype(np.float32)


@dataclass(frozen=True)
class _Level:
    """The level of the ice: medians (rows, columns) over squares of `size` pixels, linear in between."""

    medians: NDArray[np.float64]
    size: tuple[float, float]

    def at(self, y: NDArray, x: NDArray) -> NDArray[np.float64]:
        """At pixels."""
        places = [(axis + 0.5) / size - 0.5 for axis, size in zip((y, x), self.size, strict=True)]
        return scipy.ndimage.map_coordinates(self.medians, places, order=1, mode="nearest")


def _beads(image: Image, blank: Mask | None, pixel_size_A: float, exposure: Exposure) -> tuple[_Level, Mask]:
    """The level of the ice, and where something as dark as gold lies."""
    cell = max(1, round(CELL_A / pixel_size_A))
    cells = _binned(image, blank, cell)
    level = _level(cells, cell * pixel_size_A)
    whole = _Level(level.medians, (level.size[0] * cell, level.size[1] * cell))
    mask = np.zeros(image.shape, bool)
    rows, columns = np.mgrid[: cells.shape[0], : cells.shape[1]]
    ice = level.at(rows, columns)
    full = _full_contrast(cells, ice, cell * pixel_size_A, exposure)
    if full is None:
        return whole, mask
    contrast = np.nan_to_num((cells - ice) / full)
    contrast = scipy.ndimage.gaussian_filter(contrast, 1.0, mode="nearest")
    seeds, edges = contrast < SEED_CONTRAST, contrast < EDGE_CONTRAST
    grown = scipy.ndimage.binary_dilation(seeds, np.ones((3, 3)), iterations=EDGE_CELLS, mask=edges)
    found = np.asarray(grown, bool)
    if not found.any():
        return whole, mask
    fringe_A = math.sqrt(electron_wavelength_A(exposure.voltage_kV) * abs(exposure.defocus_um) * 1e4)
    away_cells = np.asarray(scipy.ndimage.distance_transform_edt(~found))
    wide = (away_cells - 0.5) * cell * pixel_size_A <= fringe_A
    large = wide.repeat(cell, 0).repeat(cell, 1)[: image.shape[0], : image.shape[1]]
    mask[: large.shape[0], : large.shape[1]] = large
    if blank is not None:
        mask &= ~blank
    return whole, mask


def _binned(image: Image, blank: Mask | None, cell: int) -> NDArray[np.float64]:
    """Means over cells; the last ones, of less than a whole cell, are filled up with the border. NaN: all
    blank."""
    pad = [(0, -length % cell) for length in image.shape]

    def sums(values: NDArray) -> NDArray[np.float64]:
        if any(after for _, after in pad):
            values = np.pad(values, pad, mode="edge")
        rows = values.reshape(-1, cell, values.shape[1]).sum(axis=1, dtype=np.float32)
        return rows.reshape(len(rows), -1, cell).sum(axis=2, dtype=np.float64)

    if blank is None:
        return sums(image) / cell**2
    count = sums(~blank)
    total = sums(np.where(blank, np.float32(0), image))
    return np.where(count >= cell**2 / 2, total / np.maximum(count, 1), np.nan)


def _level(cells: NDArray[np.float64], cell_A: float) -> _Level:
    squares = [max(1, round(length * cell_A / LEVEL_A)) for length in cells.shape]
    parts = [np.array_split(row, squares[1], axis=1) for row in np.array_split(cells, squares[0], axis=0)]
    whole = float(np.nanmedian(cells)) if np.isfinite(cells).any() else 0.0
    medians = [[float(np.nanmedian(one)) if np.isfinite(one).any() else whole for one in row] for row in parts]
    return _Level(np.array(medians), (cells.shape[0] / squares[0], cells.shape[1] / squares[1]))


def _full_contrast(
    cells: NDArray[np.float64], ice: NDArray[np.float64], cell_A: float, exposure: Exposure
) -> NDArray[np.float64] | float | None:
    """By how much a cell that no electron comes through is darker than the ice; None where nothing says so."""
    if abs(exposure.phase_shift_pi) > PHASE_PLATE_PI:
        return None
    off = np.abs(cells - ice)
    noise = 1.4826 * float(np.nanmedian(off)) if np.isfinite(off).any() else 0.0
    if noise == 0:
        return None
    level = float(np.nanmedian(ice))
    # of N electrons; those that the ice took away would make it less
    from_noise = noise * math.sqrt(exposure.electrons_per_A2) * cell_A
    if (ice > 0).all() and level > max(VISIBLE_LEVEL * noise, PLAUSIBLE_LEVEL * from_noise):
        return ice
    return from_noise or None
