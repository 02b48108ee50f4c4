"""Maps and particles that do not go together are named for what is wrong with them; those that do are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mpop.doubts import Doubt
from mpop.jobs.importing.signal import signal_doubts
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.maps.fsc import fsc_report
from mpop.maps.volume_checks import mirrored
from mpop.population import Population
from mpop.records.tilt_series import ParticleSet
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import simulate_tilt_series

Particles = Callable[[ParticleSet], ParticleSet]
Maps = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Population:
    """One series with 40 particles of each species, with the usual errors; half-maps of 19 A. Read only."""
    folder = tmp_path_factory.mktemp("otherwise")
    parameters = SimulationParameters(series=1, tilts=11, particles=40, image_size=400, pixel_size_A=5.0, seed=6)
    summary = simulate_tilt_series(folder / "data", parameters)
    population = Population.init(folder / "population", "otherwise")
    add_source(population, "simulated", folder / "data" / "warp_tiltseries.settings")
    for one in summary.species:
        half1, half2, mask, table = (
            folder / "data" / "species" / f"{one.name}_{kind}"
            for kind in ("half1.mrc", "half2.mrc", "mask.mrc", "particles.star")
        )
        add_species(population, one.name, half1, half2, mask, table, one.diameter_A, one.symmetry)
    return population


def same(value: np.ndarray) -> np.ndarray:
    return value


def doubts(
    population: Population,
    particles: Particles = lambda part: part,
    maps: Maps = same,
    pixel: float = 1.0,
) -> dict[str, list[Doubt]]:
    """By species: what is doubted with particles and maps changed, and pixels of the maps scaled."""
    found = {}
    for one in population.species().values():
        changed = {name: maps(population.maps(one)[name]) for name in ("half1", "half2", "mask")}
        size = pixel * one.pixel_size_A
        report = fsc_report(changed["half1"], changed["half2"], changed["mask"], size)
        sets = {item: particles(population.particles(one, item)) for item in one.particles}
        found[one.name] = signal_doubts(population, changed, report, one.diameter_A, size, sets)
    return found


def test_what_goes_together_passes_in_silence(world: Population) -> None:
    assert doubts(world) == {"ferritin-like": [], "asymmetric": []}


@pytest.mark.parametrize("pixel", [0.99, 1.01, 1.02])
def test_a_usual_error_of_calibration_is_none(world: Population, pixel: float) -> None:
    assert doubts(world, pixel=pixel) == {"ferritin-like": [], "asymmetric": []}


@pytest.mark.parametrize(("pixel", "factor"), [(1.1, "0.91"), (0.9, "1.10")])
def test_pixels_a_tenth_off_are_named(world: Population, pixel: float, factor: str) -> None:
    (found,) = doubts(world, pixel=pixel)["ferritin-like"]
    assert (found.kind, found.grave) == ("pixel-size-of-maps", True)
    assert f"about {factor} times as large" in found.read


def test_maps_of_the_other_hand_are_named(world: Population) -> None:
    """At 19 A, with forty particles."""
    (found,) = doubts(world, maps=mirrored)["asymmetric"]
    assert found.kind == "other-hand"


def test_maps_off_the_middle_are_noted(world: Population) -> None:
    """By two voxels of 5 A along x and y: what comes of it is off the middle, too."""
    (found,) = doubts(world, maps=lambda one: np.roll(one, (2, -2), (1, 2)))["ferritin-like"]
    assert (found.kind, found.grave) == ("maps-shifted", False)


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda angles: -angles[..., ::-1], "of the inverse rotations"), (np.deg2rad, "in radians")],
    ids=["inverse", "radians"],
)
def test_angles_of_another_convention_are_named(
    world: Population, change: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    found = doubts(world, lambda part: replace(part, angles_deg=change(part.angles_deg)))
    assert [one.kind for one in found["asymmetric"]] == ["angles-convention"]
    assert words in found["asymmetric"][0].read
    assert found["ferritin-like"], "round at this resolution: that orientations are not seen is said"
