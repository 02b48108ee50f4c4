"""A map job on a species: one commit with numbers and arrays, done once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_population import make_population

from mpop.errors import StateError
from mpop.exchange.cloning import clone
from mpop.jobs.maps.analysis import Analysis
from mpop.jobs.maps.parameters import DirectionalParameters, FSCParameters
from mpop.jobs.verify import verify
from mpop.networks.denoiser import DenoiseParameters
from mpop.population import Population, versioned
from mpop.records.models import SpeciesRecord
from mpop_store.upkeep.collection import collect

CONES = DirectionalParameters(half_angle_deg=20.0)


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def only_species(population: Population) -> SpeciesRecord:
    return next(iter(population.species().values()))


def test_a_job_is_committed_with_its_numbers_and_arrays(population: Population) -> None:
    species = only_species(population)
    volume = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    analysis = Analysis.of(population, species, "fsc3d", CONES)
    assert analysis.before is None
    done = analysis.commit({"fsc3d": volume}, {"sphericity": 0.93}, "sphericity 0.93")
    assert population.repository.head == done.commit
    assert population.repository.show().message.startswith(f"fsc3d {species.name}: sphericity 0.93")
    job = population.jobs()[done.job.id]
    assert job.result == {"sphericity": 0.93}
    assert job.result_object is not None
    assert np.array_equal(population.read_group(job.result_object)["fsc3d"], volume)
    assert only_species(population) == species, "an analysis changes no species"
    assert verify(population).problems == []


def test_the_same_job_on_the_same_version_is_found(population: Population) -> None:
    done = Analysis.of(population, only_species(population), "fsc3d", CONES).commit({}, {}, "")
    again = Analysis.of(population, only_species(population), "fsc3d", CONES).before
    assert again is not None
    assert again.id == done.job.id
    other = Analysis.of(population, only_species(population), "fsc3d", DirectionalParameters(half_angle_deg=10.0))
    assert other.before is None


def test_a_new_denoiser_changes_nothing_that_other_jobs_read(population: Population) -> None:
    def measured() -> str | None:
        found = Analysis.of(population, only_species(population), "fsc3d", CONES).before
        return None if found is None else found.id

    done = Analysis.of(population, only_species(population), "fsc3d", CONES).commit({}, {}, "")
    for seed in range(2):
        group = population.write_group({"weights": np.full(3, seed)})
        trained = Analysis.of(population, only_species(population), "denoise", DenoiseParameters(), seed)
        trained.commit({}, {}, "trained", changed={"denoiser_object": group})
        assert measured() == done.job.id
    species = only_species(population)
    population.stage([versioned(species.model_copy(update={"diameter_A": 300.0}))])
    population.commit("Another diameter")
    assert measured() is None


def test_a_job_may_set_fields_of_its_species(population: Population) -> None:
    species = only_species(population)
    model = population.write_group({"weights": np.ones(3)})
    analysis = Analysis.of(population, species, "denoise", DenoiseParameters())
    done = analysis.commit({}, {}, "trained", changed={"denoiser_object": model})
    after = only_species(population)
    assert (after.denoiser_object, after.job, after.parent) == (model, done.job.id, species.version)
    assert verify(population).problems == []


def test_what_is_not_committed_must_be_first(population: Population) -> None:
    species = only_species(population)
    population.stage([species.model_copy(update={"name": "renamed"})])
    with pytest.raises(StateError, match="uncommitted changes"):
        Analysis.of(population, species, "fsc3d", CONES)


def test_results_and_networks_survive_collection_and_travel(population: Population, tmp_path: Path) -> None:
    volume = np.random.default_rng(1).standard_normal((20, 20, 20), dtype=np.float32)
    weights = np.random.default_rng(2).standard_normal(5000, dtype=np.float32)
    model = population.write_group({"weights": weights})
    analysis = Analysis.of(population, only_species(population), "denoise", DenoiseParameters())
    done = analysis.commit({"map": volume}, {}, "trained", changed={"denoiser_object": model})
    collect(population.repository, operations_days=-1.0)
    clone(str(population.root), tmp_path / "clone")
    for here in (population, Population.open(tmp_path / "clone")):
        species = only_species(here)
        job = here.jobs()[done.job.id]
        assert species.denoiser_object is not None
        assert job.result_object is not None
        assert np.array_equal(here.read_group(species.denoiser_object)["weights"], weights)
        assert np.array_equal(here.read_group(job.result_object)["map"], volume)
        assert verify(here).problems == []


def test_a_measurement_that_another_call_was_quicker_with_is_not_committed_twice(population: Population) -> None:
    first, second = (Analysis.of(population, only_species(population), "fsc", FSCParameters()) for _ in range(2))
    done = first.commit({}, {"resolution_A": 8.0}, "8.00 A")
    again = second.commit({}, {"resolution_A": 8.0}, "8.00 A")
    assert (again.commit, again.job) == (done.commit, done.job)
    assert population.repository.head == done.commit
