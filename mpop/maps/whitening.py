"""Half-maps with flat spectra, and cut into bands of frequency.

The amplitudes of a map fall by orders of magnitude from 10 A on, so that an error in fine detail hardly counts in
a sum of squares, and detail is what is to be judged. Flattening divides by the mean amplitude of every shell;
below 10 A, where the shape of the particle makes the spectrum, by that at 10 A.

Bands are hats over the shells: each is 1 at its node and falls to 0 at the nodes beside it, so that they add up to
the map, and bands times numbers make a filter that is linear between the nodes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.frequencies import covering_shell
from mpop.maps.filters import inverse, scale_shells, transform
from mpop.maps.shells import shell_means

FLAT_FROM_A = 10.0
LEAST_AMPLITUDE = 1e-6
"""Of the largest of a shell: what is less is taken as this much."""

Array = NDArray[np.float64]
Map = NDArray[np.float32]


def amplitudes(half1: Map, half2: Map, mask: Map, pixel_size_A: float) -> Array:
    """By what to divide shell by shell so that both half-maps become flat; to the corners of the transform."""
    box = len(half1)
    power = (shell_means(_power(half1 * mask)) + shell_means(_power(half2 * mask))) / 2
    found = np.sqrt(np.maximum(power, LEAST_AMPLITUDE**2 * power.max()))
    first = min(covering_shell(box, pixel_size_A, FLAT_FROM_A), len(found) - 1)
    found[:first] = found[first]
    beyond = math.ceil(box * math.sqrt(3) / 2) + 1 - len(found)
    return np.pad(found, (0, beyond), mode="edge")


def noise_amplitudes(half1: Map, half2: Map, mask: Map) -> Array:
    """Root mean square of the noise in coefficients of one half-map, by shell, from the difference of two."""
    power = shell_means(_power((half1 - half2) * mask)) / 2
    return np.sqrt(power * half1.size / np.square(mask, dtype=np.float64).sum())


def _power(volume: Map) -> NDArray[np.float32]:
    spectrum = transform(volume)
    return np.square(spectrum.real) + np.square(spectrum.imag)


def band_nodes(last: float, bands: int) -> Array:
    """(bands,) shells from 2 to the last, closer together where shells are few."""
    return 2 + (last - 2) * np.linspace(0, 1, bands) ** 1.3


def bands_of(volume: Map, amplitude: Array, nodes: Array, part: tuple[slice, ...]) -> Map:
    """(bands, z, y, x) a part of a map divided by `amplitude`, cut into bands; nothing beyond the last node."""
    spectrum = transform(volume)
    scale_shells(spectrum, 1 / amplitude)
    return np.stack([inverse(_scaled(spectrum, hat), len(volume))[part] for hat in _hats(nodes)])


def _hats(nodes: Array) -> Array:
    """(bands, shells) nothing beyond the last node: the corners of the transform are in no band."""
    shells = np.arange(int(nodes[-1]) + 1)
    return np.stack([np.interp(shells, nodes, height) for height in np.eye(len(nodes))])


def _scaled(spectrum: NDArray[np.complex64], curve: Array) -> NDArray[np.complex64]:
    scaled = spectrum.copy()
    scale_shells(scaled, curve)
    return scaled


def coloured_noise(amplitude: Array, box: int, draw: np.random.Generator) -> Map:
    """A map (z, y, x) of Gaussian noise of this root mean square by shell; none beyond the last."""
    spectrum = transform(draw.standard_normal((box,) * 3, dtype=np.float32))
    scale_shells(spectrum, amplitude / box**1.5)
    return inverse(spectrum, box)
