"""Half-maps of blobs with a gap in Fourier space, from files or as a species of the example population."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from mpop.jobs.maps.input import HalfMaps
from mpop.population import Population

BOX, PIXEL_A = 40, 3.0


def half_maps(gap_deg: float, noise: float = 0.3, seed: int = 1) -> tuple[HalfMaps, np.ndarray]:
    """Two half-maps of one density with nothing within an angle of the z axis; and the density."""
    rng = np.random.default_rng(seed)
    axis = np.arange(BOX) - BOX // 2
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    points = np.zeros((BOX,) * 3)
    inside = np.argwhere(distance < 11)
    points[tuple(inside[rng.choice(len(inside), 120)].T)] = 1
    density = gaussian_filter(points, 0.9)
    k = np.fft.fftfreq(BOX) * BOX
    z, y, x = np.meshgrid(k, k, np.arange(BOX // 2 + 1), indexing="ij")
    radius = np.maximum(np.sqrt(z * z + y * y + x * x), 1e-9)
    gap = np.rad2deg(np.arccos(np.minimum(np.abs(z) / radius, 1))) < gap_deg
    amplitude = np.where(gap & (radius > 0.5), 0.02, 1.0)

    def half() -> np.ndarray:
        white = rng.standard_normal(density.shape) * noise * density.std()
        spectrum = amplitude * np.fft.rfftn(density) + np.fft.rfftn(white)
        return np.fft.irfftn(spectrum, s=(BOX,) * 3, axes=(0, 1, 2)).astype(np.float32)

    mask = np.clip((14 - distance) / 2, 0, 1).astype(np.float32)
    return HalfMaps("blobs", half(), half(), mask, PIXEL_A), density


def with_maps(population: Population, maps: HalfMaps) -> Population:
    """The example with other maps in its species, committed."""
    species = next(iter(population.species().values()))
    arrays = population.maps(species) | {"half1": maps.half1, "half2": maps.half2, "mask": maps.required_mask()}
    group = population.write_group(arrays | {"filtered": maps.half1})
    changed = {"maps_object": group, "box": BOX, "pixel_size_A": PIXEL_A, "parent": species.version}
    population.stage([species.model_copy(update=changed)])
    population.commit("Other maps")
    return population
