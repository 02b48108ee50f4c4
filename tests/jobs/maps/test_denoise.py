"""Denoising as a job: the judgement against the truth, and the denoiser in the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_population import make_population
from noisy_halves import NoisyHalves, noisy_halves

from mpop.doubts import DoubtfulInputError
from mpop.errors import InputError
from mpop.jobs.maps.denoise import denoise_half_maps, denoise_species, stored_denoiser
from mpop.jobs.maps.input import HalfMaps, from_species
from mpop.jobs.verify import verify
from mpop.maps.filters import multiply_radially
from mpop.maps.masks import soft_sphere
from mpop.maps.whitening import amplitudes
from mpop.networks.denoiser import DenoiseOptions
from mpop.population import Population
from mpop_hooks.schema import references_of

OPTIONS = DenoiseOptions(steps=2, width=4)


@pytest.fixture
def population(tmp_path: Path) -> Population:
    """With a species whose mask is one."""
    population = make_population(tmp_path)
    species = population.one_species("ribosome")
    maps = population.maps(species) | {"mask": soft_sphere(20, 10.0, 60.0, 30.0)}
    population.stage([species.model_copy(update={"maps_object": population.write_group(maps)})])
    population.commit("A mask")
    return population


def test_errors_estimated_without_the_truth_are_right() -> None:
    planted: NoisyHalves = noisy_halves(box=48, noise=1.0)
    maps = HalfMaps("planted", planted.half1, planted.half2, planted.mask, planted.pixel_size_A)
    found, _ = denoise_half_maps(maps, DenoiseOptions(steps=20, width=8))
    truth = (planted.truth - planted.truth[planted.mask == 0].mean()) * planted.mask
    amplitude = amplitudes(planted.half1, planted.half2, planted.mask, planted.pixel_size_A)
    last = int(48 * planted.pixel_size_A / found.numbers["limit_A"])
    flat = 1 / amplitude[: last + 1]
    wanted = multiply_radially(truth, flat)
    errors = [
        np.square(multiply_radially(found.arrays[name], flat) - wanted).sum() / np.square(wanted).sum()
        for name in ("half1", "half2")
    ]
    assert found.numbers["error_denoised"] == pytest.approx(np.mean(errors), abs=0.05)
    assert found.numbers["error_denoised"] < 1.05 * found.numbers["error_low_passed"]
    assert found.numbers["tone"] == "good"


def test_a_mask_is_needed() -> None:
    planted = noisy_halves(box=32)
    with pytest.raises(InputError, match="give --mask"):
        denoise_half_maps(HalfMaps("planted", planted.half1, planted.half2, None, 1.5), OPTIONS)


def test_nothing_is_left_of_half_maps_without_a_resolution() -> None:
    """Red noise: chance agreement of a few coarse coefficients is most of it."""
    rng = np.random.default_rng(0)
    curve = 1 / np.maximum(np.arange(32), 1.0) ** 1.5
    half1, half2 = (multiply_radially(rng.standard_normal((32, 32, 32)), curve) + 1 for _ in range(2))
    mask = soft_sphere(32, 2.0, 20.0, 8.0)
    given = HalfMaps("noise", half1, half2, mask, 2.0)
    with pytest.raises(DoubtfulInputError, match="no resolution"):
        denoise_half_maps(given, OPTIONS)
    found, _ = denoise_half_maps(given, OPTIONS, force=True)
    assert found.numbers["resolution_A"] is None
    assert "all of them was removed" in found.numbers["verdict"]
    for name, half in (("half1", half1), ("half2", half2), ("map", (half1 + half2) / 2)):
        np.testing.assert_allclose(found.arrays[name], half[mask == 0].mean(), rtol=1e-5)


def test_the_denoiser_is_kept_with_the_species_and_gone_on_from(population: Population) -> None:
    before = population.one_species("ribosome")
    found, commit = denoise_species(population, from_species(population, "ribosome"), OPTIONS, force=True)
    assert commit == population.repository.head
    assert not found.numbers["continued"]
    species = population.one_species("ribosome")
    assert species.maps_object == before.maps_object, "half-maps stay as they were measured"
    assert species.parent == before.version
    assert species.denoiser_object in references_of(species.model_dump(mode="json")).groups
    kept = stored_denoiser(population, species)
    assert kept is not None
    assert kept.networks[0]["stem.weight"].shape == (4, 8, 4, 4, 4)
    job = next(job for job in population.jobs().values() if job.verb == "denoise")
    assert job.result_object is not None
    assert np.array_equal(population.read_group(job.result_object)["map"], found.arrays["map"])
    assert verify(population).problems == []
    again, _ = denoise_species(population, from_species(population, "ribosome"), OPTIONS, force=True)
    assert again.numbers["continued"]
    assert population.one_species("ribosome").denoiser_object != species.denoiser_object
