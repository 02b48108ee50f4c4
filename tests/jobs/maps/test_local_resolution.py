"""Local resolution as a job: numbers, files, and a commit on a species."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from example_population import make_population

from benchmarks.phantoms.planted_resolution import planted
from mpop.errors import InputError
from mpop.formats.images import read_map
from mpop.jobs.maps.input import HalfMaps
from mpop.jobs.maps.local_resolution import measure, of_species, write_files
from mpop.jobs.maps.parameters import LocalResolutionParameters
from mpop.jobs.maps.resolution_colours import colour_range_A
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop.records import SpeciesRecord


@pytest.fixture(scope="module")
def maps() -> HalfMaps:
    one = planted(64, 2.0, [5.0, 9.0], seed=1)
    return HalfMaps("two", one.half1, one.half2, one.mask, 2.0)


def test_the_numbers_tell_what_was_planted(maps: HalfMaps) -> None:
    result = measure(maps, LocalResolutionParameters())
    found = result.numbers()
    assert 4.4 < found["percentile_5_A"] < 5.2
    assert 8.0 < found["percentile_95_A"] < 10.5
    assert found["best_A"] <= found["percentile_5_A"] <= found["median_A"] <= found["worst_A"]
    assert found["unresolved_fraction"] < 0.05
    assert found["resolution_A"] == pytest.approx(5.5, abs=1.0)
    assert found["verdict"].startswith("Half of the particle is resolved to ")
    assert measure(maps, LocalResolutionParameters(threshold=0.5)).numbers()["median_A"] > found["median_A"]


def test_noise_is_told_to_be_noise() -> None:
    random = np.random.default_rng(0)
    halves = random.standard_normal((2, 48, 48, 48), dtype=np.float32)
    result = measure(
        HalfMaps("noise", halves[0], halves[1], np.ones_like(halves[0]), 2.0), LocalResolutionParameters()
    )
    found = result.numbers()
    assert (found["median_A"], found["resolution_A"], found["unresolved_fraction"]) == (None, None, 1.0)
    assert found["verdict"].startswith("Nothing is resolved anywhere")
    assert not result.filtered.any()
    with pytest.raises(InputError, match="noise: no particle stands out from the solvent; give --mask MASK"):
        measure(HalfMaps("noise", halves[0], halves[1], None, 2.0), LocalResolutionParameters())


def test_files_hold_the_maps_and_a_script_with_their_colours(maps: HalfMaps, tmp_path: Path) -> None:
    result = measure(maps, LocalResolutionParameters())
    paths = write_files(result.finding(), tmp_path)
    assert [path.name for path in paths] == ["locres.mrc", "locres_filtered.mrc", "locres.cxc"]
    resolution, pixel = read_map(tmp_path / "locres.mrc")
    assert pixel == 2.0
    assert np.array_equal(resolution, result.resolution_A)
    assert np.array_equal(read_map(tmp_path / "locres_filtered.mrc")[0], result.filtered)
    script = (tmp_path / "locres.cxc").read_text()
    palette = re.search(r"color sample #1 map #2 palette (\S+)", script)
    assert palette is not None
    values = [float(entry.split(",")[0]) for entry in palette[1].split(":")]
    assert values == sorted(values)
    assert values[2] == pytest.approx(colour_range_A(result.resolved_A)[0], abs=0.01)


def with_maps(population: Population, maps: HalfMaps) -> SpeciesRecord:
    """The example's species with maps that hold something."""
    old = population.one_species("ribosome")
    arrays = {"half1": maps.half1, "half2": maps.half2, "mask": maps.required_mask()}
    group = population.write_group(population.maps(old) | arrays)
    update = {"maps_object": group, "box": maps.box, "pixel_size_A": maps.pixel_size_A}
    population.stage([old.model_copy(update=update)])
    population.commit("Maps")
    return population.one_species("ribosome")


def test_a_species_is_measured_once_and_committed(maps: HalfMaps, tmp_path: Path) -> None:
    population = make_population(tmp_path)
    species = with_maps(population, maps)
    given = HalfMaps("ribosome", maps.half1, maps.half2, maps.mask, 2.0, species)
    found, commit = of_species(population, given, LocalResolutionParameters())
    assert commit == population.repository.head
    (job,) = population.jobs().values()
    assert job.verb == "local-resolution"
    assert job.result == found.numbers
    assert job.result_object is not None
    assert np.array_equal(population.read_group(job.result_object)["resolution_A"], found.arrays["resolution_A"])
    assert of_species(population, given, LocalResolutionParameters())[1] is None
    assert of_species(population, given, LocalResolutionParameters(threshold=0.5))[1] is not None
    assert verify(population).problems == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"threshold": 0.0}, "--threshold 0: give a correlation between 0 and 1"),
        ({"threshold": 14.3}, r"--threshold 14\.3: give a correlation between 0 and 1"),
        ({"b_factor_A2": float("inf")}, "--b-factor inf is not a number"),
    ],
)
def test_what_is_wrong_with_the_parameters_is_named(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LocalResolutionParameters(**parameters)
