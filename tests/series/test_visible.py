"""Tilts that a table says do not show a particle add nothing to its map and its score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.records.visible import VISIBLE, visible_tilts
from mpop.refinement.reconstruction import SpeciesTarget, add_series
from mpop.series.opening import views_of


def particles(*flags: str | float) -> ParticleSet:
    """One for each value of the column."""
    place = np.zeros((len(flags), 1, 3))
    half = np.ones(len(flags), np.uint8)
    return ParticleSet(np.arange(len(flags), dtype=np.uint64), half, place, place, {VISIBLE: list(flags)})


def test_flags_are_read_in_any_spacing() -> None:
    read = visible_tilts(particles("[1,0,1]", " [0, 1,1 ]", "1,1,0"), 3)
    assert read is not None
    assert read.tolist() == [[True, False, True], [False, True, True], [True, True, False]]


@pytest.mark.parametrize("flags", ["[1,0]", "[1,0,1,1]", "[1,2,0]", "", "[]", 101.0])
def test_flags_of_other_tilts_say_nothing(flags: str | float) -> None:
    assert visible_tilts(particles("[1,1,1]", flags), 3) is None
    assert visible_tilts(replace(particles("[1,1,1]"), extra={}), 3) is None


def test_hidden_tilts_are_left_out_of_the_map(shared_tiny_world) -> None:
    """One tilt that every particle is seen in is the same as one tilt that is used."""
    population = shared_tiny_world.population
    species, item = next(iter(population.species().values())), population.item("TS_01")
    model, held = population.tilt_series(item), population.particles(species, item.id)

    def sums(model: TiltSeriesModel, held: ParticleSet) -> np.ndarray:
        target = SpeciesTarget.empty(species.box, species.pixel_size_A, species.diameter_A)
        pixel, load = population.source(item.source).pixel_size_A, population.image_loader(item, model)
        add_series([target], load, model, [views_of(model, held)], [held.half], pixel)
        return np.stack([half.values for half in target.halves])

    chosen = model.n_tilts // 2
    flags = ",".join("1" if tilt == chosen else "0" for tilt in range(model.n_tilts))
    hidden = replace(held, extra={VISIBLE: [f"[{flags}]"] * len(held)})
    only = replace(model, use=np.arange(model.n_tilts) == chosen)
    expected = sums(only, held)
    assert np.abs(expected).max() > 0
    np.testing.assert_array_equal(sums(model, hidden), expected)
    shown = replace(held, extra={VISIBLE: ["[" + ",".join("1" * model.n_tilts) + "]"] * len(held)})
    np.testing.assert_array_equal(sums(only, shown), expected)
