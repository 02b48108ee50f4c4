"""Findings: what a commit holds is what was found, and is shown without computing again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_population import make_population
from gapped_maps import half_maps, with_maps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from mpop.formats.images import write_map
from mpop.jobs.maps import correct, denoise, directional, fsc, fsc_to_reference, local_resolution, orientations
from mpop.jobs.maps.analysis import Analysis
from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.input import from_species
from mpop.jobs.maps.parameters import FSCParameters, LocalResolutionParameters
from mpop.jobs.verbs import VERBS
from mpop.networks.correction import CorrectionOptions
from mpop.networks.denoiser import DenoiseOptions
from mpop.population import Population
from mpop.reports import correct as correct_report
from mpop.reports import denoise as denoise_report
from mpop.reports import directional as directional_report
from mpop.reports import fsc as fsc_report
from mpop.reports import local_resolution as local_report
from mpop.reports import map_fsc as map_report
from mpop.reports import orientations as orientations_report
from mpop.reports.page import render
from mpop.reports.report import Report

Found = tuple[Finding, str | None]


def _fsc(population: Population) -> Found:
    return fsc.fsc_of_species(population, from_species(population, "ribosome"), FSCParameters(), seed=3)


def _against_a_map(population: Population) -> Found:
    maps, path = from_species(population, "ribosome"), population.root / "reference.mrc"
    if not path.exists():
        write_map(path, maps.half1, maps.pixel_size_A)
    return fsc_to_reference.compared_of_species(population, maps, "map", path)


def _fsc3d(population: Population) -> Found:
    return directional.directional_resolution_of_species(population, from_species(population, "ribosome"))


def _local(population: Population) -> Found:
    maps = from_species(population, "ribosome")
    return local_resolution.of_species(population, maps, LocalResolutionParameters())


def _orientations(population: Population) -> Found:
    return orientations.orientations_of_species(population, "ribosome")


def _correct(population: Population) -> Found:
    maps = from_species(population, "ribosome")
    return correct.correct_species(population, maps, CorrectionOptions(steps=0), hold_out=False)


def _denoise(population: Population) -> Found:
    options = DenoiseOptions(steps=2, width=4)
    return denoise.denoise_species(population, from_species(population, "ribosome"), options)


ASKED: Mapping[str, tuple[str, Callable[[Population], Found], Report, str]] = {
    "fsc": ("fsc", _fsc, fsc_report.REPORT, "mpop.jobs.maps.fsc.half_map_fsc"),
    "fsc --map": ("fsc", _against_a_map, map_report.REPORT, "mpop.jobs.maps.fsc_to_reference.against_map"),
    "fsc3d": ("fsc3d", _fsc3d, directional_report.REPORT, "mpop.jobs.maps.directional.directional_resolution"),
    "local-resolution": (
        "local-resolution",
        _local,
        local_report.REPORT,
        "mpop.jobs.maps.local_resolution.measure",
    ),
    "orientations": (
        "orientations",
        _orientations,
        orientations_report.REPORT,
        "mpop.jobs.maps.orientations.species_views",
    ),
    "correct": ("correct", _correct, correct_report.REPORT, "mpop.jobs.maps.correct.correct_half_maps"),
    "denoise": ("denoise", _denoise, denoise_report.REPORT, "mpop.jobs.maps.denoise.denoise_half_maps"),
}


def equal(first: Finding, second: Finding) -> None:
    """Numbers are equal, and arrays bit for bit."""
    assert first.numbers == second.numbers
    assert first.arrays.keys() == second.arrays.keys()
    for name, values in first.arrays.items():
        other = second.arrays[name]
        assert (values.dtype, values.shape) == (other.dtype, other.shape), name
        assert np.ascontiguousarray(values).tobytes() == np.ascontiguousarray(other).tobytes(), name


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return with_maps(make_population(tmp_path), half_maps(40.0)[0])


def test_every_verb_on_maps_is_asked_here() -> None:
    assert {verb for verb, *_ in ASKED.values()} == VERBS.keys() - {"reconstruct", "refine", "merge"}


@pytest.mark.parametrize("asked", ASKED)
def test_what_a_commit_holds_is_what_was_found_and_makes_the_same_page(asked: str, population: Population) -> None:
    verb, measure, report, _ = ASKED[asked]
    found, commit = measure(population)
    assert commit == population.repository.head
    (job,) = (one for one in population.jobs().values() if one.verb == verb)
    loaded = Finding.load(population, job)
    equal(found, loaded)
    assert report.lines(loaded.numbers) == report.lines(found.numbers)
    assert report.data(loaded) == report.data(found)
    assert render(report.page(loaded, "")) == render(report.page(found, ""))


@pytest.mark.parametrize("asked", [name for name in ASKED if name != "denoise"])
def test_the_same_measurement_is_found_again_and_nothing_is_computed(
    asked: str, population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A denoiser goes on from where it was, so that the second call is another job."""
    _, measure, _, computes = ASKED[asked]
    found, _ = measure(population)

    def computed(*_: object, **__: object) -> None:
        raise AssertionError("it was computed again")

    monkeypatch.setattr(computes, computed)
    again, commit = measure(population)
    assert commit is None
    equal(again, found)


def test_what_an_older_mpop_recorded_without_what_a_page_shows_is_measured_again(population: Population) -> None:
    analysis = Analysis.of(
        population, population.one_species("ribosome"), "local-resolution", LocalResolutionParameters()
    )
    old = analysis.commit({"resolution_A": np.zeros((2, 2, 2))}, {"median_A": 1.0}, "of before")
    found, commit = _local(population)
    assert commit is None
    assert population.repository.head == old.commit
    assert found.arrays["slices_mean"].shape[0] == 3


def test_an_old_correction_is_shown_without_training_again(
    population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = from_species(population, "ribosome")
    found = correct.correct_half_maps(maps, CorrectionOptions(steps=0), hold_out=False)
    stored = {name: values for name, values in found.arrays.items() if not name.startswith(("slices_", "grey_"))}
    planned = correct._planned(population, maps, CorrectionOptions(steps=0), hold_out=False)
    planned.commit(stored, found.numbers, "of before")
    monkeypatch.setattr("mpop.jobs.maps.correct.correct_half_maps", None)
    again, commit = _correct(population)
    assert commit is None
    equal(again, Finding(again.numbers, found.arrays))


WHOLE = 2**53 - 1
"""Canonical JSON writes greater numbers by the digits that tell floats apart, which as integers are others."""
numbers_alone = st.integers(-WHOLE, WHOLE) | st.floats(-WHOLE, WHOLE)
text = st.text("aZ09 .:Åµ-", max_size=8)  # records hold what can be printed
plain = st.recursive(
    st.none() | st.booleans() | numbers_alone | text,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(text, below, max_size=3),
    max_leaves=6,
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
values = st.sampled_from([np.float32, np.float64, np.int64]).flatmap(
    lambda kind: arrays(kind, array_shapes(max_dims=3, max_side=4))
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.dictionaries(names, plain, max_size=4),
    stored=st.dictionaries(names, values, max_size=3),
    seed=st.integers(0, 2**31),
)
def test_any_finding_comes_back_as_it_was(
    numbers: dict[str, Any], stored: dict[str, NDArray[Any]], seed: int, shared: Population
) -> None:
    analysis = Analysis.of(shared, shared.one_species("ribosome"), "fsc", FSCParameters(), seed)
    found = Finding(numbers, stored)
    _, commit = analysis.finding(lambda: found, lambda _: "made up")
    job = shared.jobs()[analysis.planned.id]
    loaded = Finding.load(shared, job)
    if commit is not None:
        equal(loaded, found)
    again, nothing = Analysis.of(shared, shared.one_species("ribosome"), "fsc", FSCParameters(), seed).finding(
        lambda: found, lambda _: ""
    )
    assert nothing is None
    equal(again, loaded)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Population:
    return make_population(tmp_path_factory.mktemp("shared"))
