"""Half-maps of a simulated population from its true poses, with its tilt images changed on the way in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpop.formats.images import read_map
from mpop.geometry.symmetry import symmetry_matrices
from mpop.jobs.halfmaps import SeriesState, empty_target
from mpop.jobs.truth import read_truth, true_view
from mpop.maps.filters import resize
from mpop.maps.fsc import fsc
from mpop.maps.reconstruction import reconstruct
from mpop.population import Population
from mpop.refinement.reconstruction import add_series

Image = NDArray[np.float32]
Change = Callable[[Image, int, int], Image]
"""Image, number of its series, tilt."""
FINEST_A = 14.0


def as_it_is(image: Image, series: int, tilt: int) -> Image:
    """No change."""
    return image


def true_maps(population: Population, truth: Path, change: Change = as_it_is) -> dict[str, tuple[Image, Image]]:
    """Species -> half-maps (z, y, x)."""
    species = sorted(population.species().values(), key=lambda one: one.name)
    targets = {one.id: empty_target(one) for one in species}
    items = sorted(population.items().values(), key=lambda item: item.name)
    planted = read_truth(truth, [item.name for item in items])
    for number, item in enumerate(items):
        state = SeriesState.load(population, item, species)

        def load(tilt: int, state: SeriesState = state, number: int = number) -> Image:
            return change(population.tilt_image(state.item, tilt), number, tilt)

        views = [true_view(state, one, planted[item.name]) for one in species]
        halves = [state.particles[one.id].half for one in species]
        add_series([targets[one.id] for one in species], load, state.model, views, halves, state.pixel_size_A)
    maps = {}
    for one in species:
        matrices = symmetry_matrices(one.symmetry)
        half1, half2 = (reconstruct(half, one.box, matrices) for half in targets[one.id].halves)
        maps[one.name] = half1, half2
    return maps


def fsc_area(population: Population, truth: Path, maps: dict[str, tuple[Image, Image]]) -> dict[str, float]:
    """Species -> mean FSC of its map with the true one, from 40 A to `FINEST_A`."""
    areas = {}
    for one in population.species().values():
        mask = population.maps(one)["mask"]
        true_map = resize(read_map(truth / f"{one.name}_map.mrc")[0], one.box)
        mean = np.mean(maps[one.name], axis=0)
        curve = fsc(mean * mask, true_map * mask, one.pixel_size_A)
        chosen = (curve.frequency >= 1 / 40) & (curve.frequency <= 1 / FINEST_A)
        areas[one.name] = float(curve.correlation[chosen].mean())
    return areas
