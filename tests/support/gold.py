"""Gold beads in electron images, as waves: a bead takes electrons away and turns the phase of the others far
beyond what is weak, and defocus spreads its border into fringes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WAVELENGTH_A = 0.0197
PHASE_PER_A = 6.53e-4 * 21.0
"""Gold's mean inner potential less that of ice, times the interaction constant at 300 kV."""
FREE_PATH_A = 130.0
"""In gold, of electrons that still reach the image."""
FINEST_A = 2.5


def scatter_beads(extent_A: float, diameter_A: float, part: float, rng: np.random.Generator) -> Array:
    """(b, 2) places x, y of beads that do not touch and cover a part of the area."""
    count = round(part * extent_A**2 / (math.pi * diameter_A**2 / 4))
    places = np.empty((0, 2))
    while len(places) < count:
        place = rng.uniform(0, extent_A, 2)
        if not len(places) or np.linalg.norm(places - place, axis=1).min() > 1.1 * diameter_A:
            places = np.vstack([places, place])
    return places


def thickness(places_A: Array, diameter_A: float, size: int, pixel_size_A: float) -> Array:
    """(size, size) A of gold along the beam."""
    axis = (np.arange(size) + 0.5) * pixel_size_A
    gold = np.zeros((size, size))
    for x, y in places_A:
        rows, columns = (np.flatnonzero(np.abs(axis - at) < diameter_A / 2) for at in (y, x))
        r2 = np.square(axis[rows, None] - y) + np.square(axis[columns] - x)
        gold[np.ix_(rows, columns)] += 2 * np.sqrt(np.maximum(diameter_A**2 / 4 - r2, 0))
    return gold


def transmission(places_A: Array, diameter_A: float, size: int, pixel_size_A: float, defocus_um: float) -> Array:
    """(size, size) the part of the electrons that arrives, 1 where nothing is in the way."""
    finer = math.ceil(pixel_size_A / FINEST_A)
    gold = thickness(places_A, diameter_A, size * finer, pixel_size_A / finer)
    wave = np.exp((1j * PHASE_PER_A - 0.5 / FREE_PATH_A) * gold)
    k = np.fft.fftfreq(size * finer, pixel_size_A / finer)
    k2 = np.square(k)[:, None] + np.square(k)
    chi = math.pi * WAVELENGTH_A * defocus_um * 1e4 * k2
    arrived = np.square(np.abs(np.fft.ifft2(np.fft.fft2(wave) * np.exp(1j * chi) * np.exp(-2.0 * k2))))
    return arrived.reshape(size, finer, size, finer).mean(axis=(1, 3))
