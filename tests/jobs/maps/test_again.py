"""Map jobs of a population, run again from their records."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_population import make_population
from gapped_maps import half_maps, with_maps

from mpop.jobs.maps.analysis import Analysis
from mpop.jobs.maps.correct import correct_species
from mpop.jobs.maps.directional import directional_resolution_of_species
from mpop.jobs.maps.fsc import FSCParameters, fsc_of_species
from mpop.jobs.maps.input import from_species
from mpop.jobs.maps.local_resolution import Parameters, of_species
from mpop.jobs.reproduce import reproduce
from mpop.networks.correction import CorrectionOptions


@pytest.mark.parametrize("verb", ["fsc", "fsc3d", "local-resolution", "correct"])
def test_a_map_job_comes_out_again(verb: str, tmp_path: Path) -> None:
    maps, _ = half_maps(40.0)
    population = with_maps(make_population(tmp_path), maps)
    given = from_species(population, "ribosome")
    match verb:
        case "fsc":
            fsc_of_species(population, given, FSCParameters(seed=3))
        case "fsc3d":
            directional_resolution_of_species(population, given)
        case "local-resolution":
            of_species(population, given, Parameters(threshold=0.5))
        case "correct":
            correct_species(population, given, CorrectionOptions(steps=0, seed=3), hold_out=False)
    found = reproduce(population, "HEAD")
    assert found.job.verb == verb
    assert found.is_identical
    assert found.same_job


def test_a_map_job_that_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    maps, _ = half_maps(40.0)
    population = with_maps(make_population(tmp_path), maps)
    species = population.one_species("ribosome")
    Analysis.of(population, species, "fsc3d", {"half_angle_deg": 20.0}).commit({}, {"sphericity": 2.0}, "made up")
    found = reproduce(population, "HEAD")
    assert not found.is_identical
    (one,) = [one for one in found.result if one.name == "sphericity"]
    assert one.recorded == 2.0
    assert 0 < one.again < 1
    assert one.relative == pytest.approx((2 - one.again) / 2)
    assert ("fsc3d", None) in [(one.name, one.relative) for one in found.result]
