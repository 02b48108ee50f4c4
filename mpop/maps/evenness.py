"""Whether half-maps were measured more unevenly than chance makes it look.

Where half-maps are noisy, estimates of what each direction holds scatter, and some look poor that are not. How
many, is estimated from half-maps that are alike in all but that: points of density at random places within the
mask, with as much signal and noise in each shell, measured evenly. They are estimated in the same way.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import inverse, transform
from mpop.maps.restoration import restore
from mpop.maps.shells import means_over, shell_numbers
from mpop.maps.transfer import TransferModel

Map = NDArray[np.float32]

LEAST = 0.03
"""Part of all directions that must be measured poorly: a double cone of 14 degrees."""
NOISY, LEAST_IN_NOISE = 0.01, 0.08
"""Where chance makes the first part of all directions look poor, or more, they must be more than by chance by the
second part, a double cone of 23 degrees; where it makes fewer look poor, by less. Even half-maps were above chance
by up to 0.07, gaps of 45 degrees by 0.10 and more (noise as strong as signal at 6.5 to 16 A, two molecules; see
`benchmarks/quality/views.py`)."""
DRAWS = 2
"""Pairs of evenly measured half-maps."""
GOOD, POORER = 0.8, 4.0
"""A direction is poor when it holds so many times less than this quantile of all."""
VOXELS_PER_POINT = 30


def is_uneven(model: TransferModel, mask: Map, seed: int = 0) -> bool:
    """Whether the half-maps behind a model were measured unevenly, by more than noise explains."""
    found = poorly_measured(model)
    if found <= LEAST:
        return False
    chance = float(np.mean([poor_by_chance(model, mask, seed + draw) for draw in range(DRAWS)]))
    return found > chance + float(np.interp(chance, (0, NOISY), (LEAST, LEAST_IN_NOISE)))


def poorly_measured(model: TransferModel) -> float:
    """The part of all directions that were not well measured.

    Taken over shells from a quarter of the limit on, as the first shells hold few coefficients.
    """
    shell = shell_numbers(model.box)
    judged = (shell >= max(model.limit // 4, 1)) & (shell <= model.limit)
    return 1 - float(well_measured(model)[judged].mean())


def well_measured(model: TransferModel) -> NDArray[np.bool_]:
    """Which coefficients, up to the limit, hold at least a quarter of what those of good directions do."""
    held = np.square(model.amplitude) / model.error_of_data
    shell = shell_numbers(model.box)
    order = np.argsort(shell, axis=None, kind="stable")
    ends = np.searchsorted(shell.ravel()[order], np.arange(model.limit + 2))
    well = np.zeros(held.size, dtype=bool)
    for first, last in pairwise(ends):
        members = order[first:last]
        values = held.ravel()[members]
        well[members] = values >= np.quantile(values, GOOD) / POORER
    return well.reshape(held.shape)


def poor_by_chance(model: TransferModel, mask: Map, seed: int = 0) -> float:
    """`poorly_measured` of evenly measured half-maps with as much signal and noise."""
    rng = np.random.default_rng(seed)
    shell = shell_numbers(model.box)
    held = np.square(model.amplitude)
    shared = np.interp(np.arange(shell.max() + 1), np.arange(len(model.signal)), model.signal)
    shared *= means_over(shell, held)  # the model's signal is that of the best directions
    density = transform(_points(mask, rng))
    scale = np.sqrt(shared / np.maximum(means_over(shell, np.square(np.abs(density))), np.finfo(np.float32).tiny))
    # the mean ratio of signal to noise is to be the same: gaps may be much noisier than all else
    known = means_over(shell, held / model.error_of_data)
    noise = np.divide(means_over(shell, held), known, out=means_over(shell, model.noise), where=known > 0)
    noise = np.sqrt(noise / model.box**3)
    even = density * scale.astype(np.float32)[shell]
    half1, half2 = (
        inverse(even + noise.astype(np.float32)[shell] * transform(_white(mask, rng)), model.box) for _ in range(2)
    )
    return poorly_measured(restore(half1, half2, mask, model.limit)[0].model)


def _points(mask: Map, rng: np.random.Generator) -> Map:
    """One point of density for every `VOXELS_PER_POINT` within the mask."""
    inside = np.flatnonzero(mask > 0.5)
    density = np.zeros(mask.size, dtype=np.float32)
    density[rng.choice(inside, max(len(inside) // VOXELS_PER_POINT, 1), replace=False)] = 1
    return density.reshape(mask.shape)


def _white(mask: Map, rng: np.random.Generator) -> Map:
    return rng.standard_normal(mask.shape, dtype=np.float32)
