"""Particles that are not where the images show them are doubted at import; those that are there are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mpop.doubts import Doubt, DoubtfulInputError
from mpop.jobs.importing.signal import signal_doubts
from mpop.jobs.importing.species import add_species
from mpop.maps.fsc import fsc_report
from mpop.records.tilt_series import ParticleSet

if TYPE_CHECKING:
    from tests.conftest import TinyWorld

Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


def doubt(world: TinyWorld, change: Change, noise: float = 0.0, sign: int = 1) -> list[list[Doubt]]:
    """For every species: what is doubted with positions (p, T, 3) changed, and noise added to its half-maps, which
    are multiplied by a sign."""
    population, found = world.population, []
    volume = np.array(population.tilt_series(population.item("TS_01")).volume_dims_A)
    for one in population.species().values():
        maps, rng = population.maps(one), np.random.default_rng(0)
        for half in ("half1", "half2"):
            added = noise * maps[half].std() * rng.normal(size=maps[half].shape)
            maps[half] = sign * (maps[half] + added).astype(np.float32)

        def moved(part: ParticleSet) -> ParticleSet:
            return replace(part, position_A=change(part.position_A, volume))

        sets = {item: moved(population.particles(one, item)) for item in one.particles}
        report = fsc_report(maps["half1"], maps["half2"], maps["mask"], one.pixel_size_A)
        found.append(signal_doubts(population, maps, report, one.diameter_A, one.pixel_size_A, sets))
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda position, volume: position / 4,
        lambda position, volume: position * [1, 1, 1 / 4],
        lambda position, volume: position[..., [1, 0, 2]],
        lambda position, volume: np.random.default_rng(0).permuted(position, axis=0),
    ],
    ids=["a quarter", "z a quarter", "x and y swapped", "coordinates mixed up"],
)
def test_particles_in_wrong_places_are_doubted(shared_tiny_world: TinyWorld, change: Change) -> None:
    for found in doubt(shared_tiny_world, change):
        assert [(one.kind, one.grave) for one in found] == [("no-signal", True)]


@pytest.mark.parametrize("axis", range(3))
def test_a_mirrored_axis_is_named(shared_tiny_world: TinyWorld, axis: int) -> None:
    here = np.arange(3) == axis
    for found in doubt(shared_tiny_world, lambda position, volume: np.where(here, volume - position, position)):
        assert [(one.kind, one.grave) for one in found] == [("axis-mirrored", True)]
        assert f"with {'xyz'[axis]} counted from the other end" in found[0].read


def test_inverted_contrast_is_named(shared_tiny_world: TinyWorld) -> None:
    for found in doubt(shared_tiny_world, lambda position, volume: position, sign=-1):
        assert [(one.kind, one.grave) for one in found] == [("negative-signal", True)]


def test_orientations_of_other_particles_are_noted(shared_tiny_world: TinyWorld) -> None:
    population = shared_tiny_world.population
    for one in population.species().values():
        maps = population.maps(one)
        report = fsc_report(maps["half1"], maps["half2"], maps["mask"], one.pixel_size_A)
        sets = {item: population.particles(one, item) for item in one.particles}
        mixed = {
            item: replace(part, angles_deg=np.roll(part.angles_deg, 5, axis=0)) for item, part in sets.items()
        }
        found = signal_doubts(population, maps, report, one.diameter_A, one.pixel_size_A, mixed)
        assert [(one.kind, one.grave) for one in found] == [("orientations-not-seen", False)]


def test_particles_of_other_series_are_doubted(shared_tiny_world: TinyWorld) -> None:
    """Two series whose names were exchanged."""
    population = shared_tiny_world.population
    for one in population.species().values():
        maps = population.maps(one)
        report = fsc_report(maps["half1"], maps["half2"], maps["mask"], one.pixel_size_A)
        items = list(one.particles)
        exchanged = {
            item: population.particles(one, other)
            for item, other in zip(items, [*items[1:], items[0]], strict=True)
        }
        found = signal_doubts(population, maps, report, one.diameter_A, one.pixel_size_A, exchanged)
        assert [one.kind for one in found] == ["no-signal"]


@pytest.mark.parametrize("shift_A", [0.0, 3.0])
def test_particles_in_their_places_are_not(shared_tiny_world: TinyWorld, shift_A: float) -> None:
    assert doubt(shared_tiny_world, lambda position, volume: position + shift_A) == [[], []]


def test_particles_that_are_seen_ten_angstrom_off_stop_nothing(shared_tiny_world: TinyWorld) -> None:
    """By 6 A along each axis: for refinement to mend, and worth a note where it is certain."""
    for found in doubt(shared_tiny_world, lambda position, volume: position + 6.0):
        assert [(one.kind, one.grave) for one in found] in ([], [("particles-shifted", False)])


def test_what_refinement_mends_stops_no_import(shared_tiny_world: TinyWorld) -> None:
    for found in doubt(shared_tiny_world, lambda position, volume: position + 6.0):
        assert {(one.kind, one.grave) for one in found} <= {("particles-shifted", False)}


def test_maps_that_promise_little_let_nothing_be_concluded(shared_tiny_world: TinyWorld) -> None:
    assert doubt(shared_tiny_world, lambda position, volume: position / 4, noise=20.0) == [[], []]


def test_the_import_stops_where_there_is_no_signal(tiny_world: TinyWorld) -> None:
    population = tiny_world.population
    species = next(iter(population.species().values()))
    files = [
        tiny_world.data / "species" / f"{species.name}_{kind}" for kind in ("half1.mrc", "half2.mrc", "mask.mrc")
    ]
    table = tiny_world.data / "species" / f"{species.name}_particles.star"
    options: dict[str, Any] = {
        "diameter_A": species.diameter_A,
        "symmetry": species.symmetry,
        "angpix_coords": 5.0 / 4,
    }
    with pytest.raises(DoubtfulInputError, match=r"8 particles fit the maps no better where .*--angpix-coords"):
        add_species(population, "again", *files, table, **options)
    assert population.repository.is_clean
    assert "no-signal" in [
        one.kind for one in add_species(population, "again", *files, table, **options, force=True).doubts
    ]
