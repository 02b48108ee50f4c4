"""Map jobs of a population, run again from their records."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_population import make_population
from gapped_maps import half_maps, with_maps

from mpop.jobs.maps.analysis import Analysis
from mpop.jobs.maps.correct import correct_species
from mpop.jobs.maps.denoise import denoise_species
from mpop.jobs.maps.directional import directional_resolution_of_species
from mpop.jobs.maps.fsc import fsc_of_species
from mpop.jobs.maps.input import from_species
from mpop.jobs.maps.local_resolution import of_species
from mpop.jobs.maps.orientations import orientations_of_species
from mpop.jobs.maps.parameters import DirectionalParameters, FSCParameters, LocalResolutionParameters
from mpop.jobs.reproduce import reproduce
from mpop.jobs.verbs import VERBS
from mpop.networks.correction import CorrectionOptions
from mpop.networks.denoiser import DenoiseOptions

ON_MAPS = sorted(VERBS.keys() - {"reconstruct", "refine", "merge"})
"""The others are in `tests/jobs/test_reproduce.py`, and a merge is planned again from its commits."""


@pytest.mark.parametrize("verb", ON_MAPS)
def test_a_map_job_comes_out_again(verb: str, tmp_path: Path) -> None:
    maps, _ = half_maps(40.0)
    population = with_maps(make_population(tmp_path), maps)
    given = from_species(population, "ribosome")
    match verb:
        case "fsc":
            fsc_of_species(population, given, FSCParameters(low_pass_A=30.0), seed=3)
        case "fsc3d":
            directional_resolution_of_species(population, given)
        case "local-resolution":
            of_species(population, given, LocalResolutionParameters(threshold=0.5))
        case "orientations":
            orientations_of_species(population, "ribosome", 120.0)
        case "denoise":
            options = DenoiseOptions(steps=2, width=4, seed=3)
            denoise_species(population, given, options)
        case "correct":
            correct_species(population, given, CorrectionOptions(steps=0, seed=3), hold_out=False)
    found = reproduce(population, "HEAD")
    assert found.job.verb == verb
    assert found.is_identical
    assert found.same_job


def test_a_fault_of_a_job_is_not_taken_for_parameters_of_another_mpop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    population = with_maps(make_population(tmp_path), half_maps(40.0)[0])
    directional_resolution_of_species(population, from_species(population, "ribosome"))

    def broken(*_: object, **__: object) -> None:
        raise TypeError("unsupported operand")

    monkeypatch.setattr("mpop.jobs.maps.directional.directional_resolution", broken)
    with pytest.raises(TypeError, match="unsupported operand"):
        reproduce(population, "HEAD")


def test_a_map_job_that_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    maps, _ = half_maps(40.0)
    population = with_maps(make_population(tmp_path), maps)
    species = population.one_species("ribosome")
    Analysis.of(population, species, "fsc3d", DirectionalParameters()).commit({}, {"sphericity": 2.0}, "made up")
    found = reproduce(population, "HEAD")
    assert not found.is_identical
    (one,) = [one for one in found.result if one.name == "sphericity"]
    assert one.recorded == 2.0
    assert 0 < one.again < 1
    assert one.relative == pytest.approx((2 - one.again) / 2)
    assert ("fsc3d", None) in [(one.name, one.relative) for one in found.result]
