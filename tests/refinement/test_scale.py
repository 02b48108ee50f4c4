"""The gain of an image says nothing: maps are the same whatever images are multiplied by, and whatever their
pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from true_maps import as_it_is, true_maps

from mpop.jobs.halfmaps import sums_key
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.jobs.reconstruct import reconstruct_species
from mpop.population import Population
from mpop.series.noise import noise_spectrum, unit_factor
from mpop.simulation.stacks import StackParameters, simulate_stack
from mpop_store import version_of

RANDOM = np.exp(np.random.default_rng(0).uniform(np.log(1 / 3), np.log(3), (2, 11))).astype(np.float32)


@pytest.fixture(scope="module")
def unscaled(shared_tiny_world) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return true_maps(shared_tiny_world.population, shared_tiny_world.data / "truth", as_it_is)


@pytest.mark.parametrize(
    "factors",
    [
        pytest.param(np.repeat(np.float32([[20.0], [1.0]]), 11, axis=1), id="one series times 20"),
        pytest.param(RANDOM, id="every tilt by a factor of 1/3 to 3"),
    ],
)
def test_maps_are_the_same_whatever_images_are_multiplied_by(shared_tiny_world, unscaled, factors) -> None:
    scaled = true_maps(
        shared_tiny_world.population,
        shared_tiny_world.data / "truth",
        lambda image, series, tilt: image * factors[series, tilt],
    )
    for name, halves in unscaled.items():
        for half, other in zip(halves, scaled[name], strict=True):
            assert np.abs(other - half).max() < 1e-5 * np.abs(half).max()


@pytest.mark.parametrize("binning", [2, 4])
@pytest.mark.parametrize("gain", [0.01, 1.0, 300.0])
def test_an_area_has_as_much_noise_as_it_has_square_angstrom(binning: int, gain: float) -> None:
    """Whatever the pixel size: sums of one lab's images and of another's, binned, are in one unit."""
    noise = np.random.default_rng(1).normal(0, gain, (512, 512)).astype(np.float32)
    binned = noise.reshape(512 // binning, binning, -1, binning).mean(axis=(1, 3))
    for image, pixel_A in ((noise, 1.5), (binned, 1.5 * binning)):
        scaled = image * unit_factor(noise_spectrum(image), pixel_A)
        cells = scaled.reshape(16, len(scaled) // 16, 16, -1).sum(axis=(1, 3))
        area_A2 = (512 * 1.5 / 16) ** 2
        assert cells.var() == pytest.approx(area_A2, rel=0.25)  # 256 cells: 9 % of scatter
        assert np.square(scaled).mean() == pytest.approx(pixel_A**2, rel=0.03)


def test_sums_in_the_units_of_images_are_not_taken_for_sums_in_units_of_noise(shared_tiny_world) -> None:
    """The key of sums that the first versions stored had no units."""
    species = next(iter(shared_tiny_world.population.species().values()))
    contributions = {"item": ("model", "particles")}
    first = version_of(
        {
            "box": species.box,
            "pixel_size_A": species.pixel_size_A,
            "diameter_A": species.diameter_A,
            "items": {item: list(objects) for item, objects in contributions.items()},
        }
    )
    assert sums_key(species, contributions) != first


def reconstructed(folder: Path, scaled: bool) -> np.ndarray:
    """The mean map of a stack, whose images are multiplied by 1/3 to 3 each."""
    folder.mkdir()
    planted = StackParameters(particles=60, box=32, pixel_size_A=5.0, signal_to_noise=0.5, per_micrograph=30)
    simulate_stack(folder / "data", planted)
    if scaled:
        import mrcfile

        with mrcfile.open(folder / "data" / "particles.mrcs", "r+") as file:
            factors = np.exp(np.random.default_rng(3).uniform(-1.1, 1.1, (60, 1, 1)))
            file.data[:] = (file.data * factors + 7).astype(np.float32)
    population = Population.init(folder / "population")
    add_source(population, "images", folder / "data/particles.star")
    maps = [folder / "data" / f"{kind}.mrc" for kind in ("half1", "half2", "mask")]
    add_species(population, "it", *maps, folder / "data/particles.star", 80.0)
    population.commit("Import")
    (species,) = reconstruct_species(population).species
    made = population.maps(species)
    return (made["half1"] + made["half2"]) / 2


def test_images_of_stacks_have_gains_of_their_own(tmp_path: Path) -> None:
    plain, scaled = reconstructed(tmp_path / "plain", False), reconstructed(tmp_path / "scaled", True)
    assert np.abs(scaled - plain).max() < 1e-4 * np.abs(plain).max()
