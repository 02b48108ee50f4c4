"""Nothing changes unseen: every field of every record, every array of particles and models, one at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from example_population import make_population, model, particle_set, refine

from mpop.cli.differences import difference_lines, particles_in_words
from mpop.comparison import compare, compare_models, compare_particles, summarise
from mpop.population import Population, record_path, versioned
from mpop.records.models import (
    ItemRecord,
    JobRecord,
    PopulationRecord,
    Record,
    SourceRecord,
    SpeciesHead,
    SpeciesRecord,
)
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel, LinearGrid4D, ParticleSet, SplineGrid, TiltSeriesModel
from mpop_hooks.record_types import IDENTITY, LINEAGE

A, B = "a" * 64, "b" * 64

OTHER: dict[type[Record], dict[str, Any]] = {
    PopulationRecord: {"name": "another", "format": None},
    SourceRecord: {
        "name": "another",
        "type": "particle-stack",
        "pixel_size_A": 9.0,
        "image_shape": (1, 2),
        "volume_dims_A": (1.0, 2.0, 3.0),
        "items": ["1" * 16],
    },
    ItemRecord: {
        "name": "another",
        "source": "6" * 16,
        "raw": [],
        "model_object": None,
        "attachments": {"warp.xml": A},
        "species_versions": {"a" * 16: A},
        "job": "c" * 64,
    },
    SpeciesHead: {
        "name": "another",
        "symmetry": "C2",
        "diameter_A": 90.0,
        "pixel_size_A": 9.0,
        "box": 22,
        "maps_object": A,
        "resolution_A": 3.0,
        "n_particles": 99,
        "n_items": None,
        "parts": None,
        "denoiser_object": A,
        "job": "c" * 64,
        "derived": {"sums": {"5" * 16: {"key": "other", "group": A}}},
    },
    JobRecord: {
        "verb": "reconstruct",
        "parameters": {"image_warp": [5, 5]},
        "seed": 8,
        "inputs": {"x": A},
        "software": {"mpop": "0.2.0"},
        "device": "cuda",
        "threads": 3,
        "wall_s": 13.0,
        "peak_GiB": 2.5,
        "score_before": 1.5,
        "score_after": 2.5,
        "resolution_before_A": {"ribosome": 26.0},
        "resolution_after_A": {"ribosome": 13.5},
        "series": [{"item": "1" * 16}],
        "failed": [],
        "warnings": ["beware"],
        "result": {"a": 1},
        "result_object": A,
    },
}
"""Another value of every field that is no lineage. None: cannot change alone, see `test_every_field_is_listed`."""

FOLLOWS = {
    (PopulationRecord, "format"): "there is one format",
    (ItemRecord, "model_object"): "its arrays are compared below",
    (SpeciesHead, "n_items"): "follows from item_versions",
    (SpeciesHead, "parts"): "follows from particles and item_versions",
}


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Population:
    made = make_population(tmp_path_factory.mktemp("everything"))
    refine(made)
    return made


def records(population: Population) -> dict[type[Record], Record]:
    """One of each kind."""
    return {
        PopulationRecord: PopulationRecord(format=1, name=population.name),
        SourceRecord: population.source("grid1"),
        ItemRecord: population.item("TS_1"),
        SpeciesHead: population.one_species("ribosome"),
        JobRecord: population.jobs()["b" * 16],
    }


def test_every_field_is_listed() -> None:
    """A field that is added to a record must be added here, and so to what `diff` shows."""
    for kind, values in OTHER.items():
        assert values.keys() == kind.model_fields.keys() - {*IDENTITY, *LINEAGE}, kind
    assert {
        (kind, name) for kind, values in OTHER.items() for name in values if values[name] is None
    } == FOLLOWS.keys()


CHANGES = [(kind, name) for kind, values in OTHER.items() for name in values if values[name] is not None]


def shown(population: Population) -> list[str]:
    """The lines of the working state's difference, without those that say that something is the same."""
    found = compare(population, "HEAD")
    assert not found.is_none
    return [line for line in difference_lines(found, "HEAD", "now")[1:] if "the same" not in line]


@pytest.mark.parametrize(("kind", "name"), CHANGES, ids=[f"{kind.__name__}.{name}" for kind, name in CHANGES])
def test_a_changed_field_shows(population: Population, kind: type[Record], name: str) -> None:
    record = records(population)[kind]
    value = OTHER[kind][name]
    if name == "raw":
        assert isinstance(record, ItemRecord)
        value = [replace(record.raw[0], stored_object=A), *record.raw[1:]]
    other = record.model_copy(update={name: value})
    try:
        changes = population.changes([other], None)
        population.repository.stage({path: new for path, new in changes.items() if new is not None})
        assert record_path(record) in {path for _, path in population.repository.status()}
        lines = shown(population)
        told = [
            line
            for line in lines
            if not re.fullmatch(r"(species|source|tilt series) .*(\S+ A) -> \2|source \S+", line)
        ]
        assert told, lines
    finally:
        population.repository.stage(dict(population.changes([versioned(record)], None)))
        assert population.repository.is_clean


def change_particles(population: Population, change: Callable[[SpeciesRecord], SpeciesRecord]) -> list[str]:
    species = population.one_species("ribosome")
    try:
        population.repository.stage(dict(population.changes([change(species)], None)))
        return shown(population)
    finally:
        population.repository.stage(dict(population.changes([species], None)))


def test_other_versions_of_series_in_the_half_maps_show(population: Population) -> None:
    lines = change_particles(
        population, lambda one: one.model_copy(update={"item_versions": dict.fromkeys(one.item_versions, A)})
    )
    assert any("series that the half-maps are of" in line for line in lines)


def with_values(old: ParticleSet, count: int) -> ParticleSet:
    values = [99 if row < count else value for row, value in enumerate(old.extra["rlnClassNumber"])]
    return replace(old, extra=old.extra | {"rlnClassNumber": values})


def without_column(old: ParticleSet) -> ParticleSet:
    return replace(old, extra={"rlnClassNumber": old.extra["rlnClassNumber"]})


PARTICLES: dict[str, tuple[Callable[[ParticleSet], ParticleSet], str]] = {
    "id": (lambda old: replace(old, id=old.id + np.uint64(2)), "4 added, 4 removed"),
    "half": (lambda old: replace(old, half=np.uint8(3) - old.half), "4 changed their half-set"),
    "position_A": (lambda old: replace(old, position_A=old.position_A + 1.0), "4 moved by 1.73 A"),
    "position_A by rounding": (
        lambda old: replace(old, position_A=old.position_A + 1e-9),
        "4 in place with other numbers",
    ),
    "angles_deg": (lambda old: replace(old, angles_deg=old.angles_deg + 5.0), "4 moved"),
    "angles_deg by a turn": (
        lambda old: replace(old, angles_deg=old.angles_deg + np.array([360.0, 0.0, 0.0])),
        "4 in place with other numbers",
    ),
    "trajectories": (
        lambda old: replace(
            old, position_A=np.repeat(old.position_A, 3, axis=1), angles_deg=np.repeat(old.angles_deg, 3, axis=1)
        ),
        "4 in place with other numbers",
    ),
    "order": (lambda old: old.part(np.arange(len(old))[::-1]), "in another order"),
    "extra": (lambda old: with_values(old, 3), "3 with another rlnClassNumber"),
    "a new column": (lambda old: replace(old, extra=old.extra | {"x": [1] * len(old)}), "columns new: x"),
    "a column less": (without_column, "columns gone: rlnMicrographName"),
}


@pytest.mark.parametrize("name", PARTICLES)
def test_any_change_of_particles_shows(population: Population, name: str) -> None:
    change, words = PARTICLES[name]
    item = population.item("TS_1").id

    def changed(species: SpeciesRecord) -> SpeciesRecord:
        group = population.write_particles(change(population.particles(species, item)))
        return species.model_copy(update={"particles": species.particles | {item: group}})

    lines = change_particles(population, changed)
    assert any(line.strip().startswith("TS_1:") and words in line for line in lines), lines
    assert any(line.strip().startswith("particles: 8 -> 8:") and words in line for line in lines), lines


def test_every_array_of_particles_is_changed_above() -> None:
    assert {one.name for one in fields(ParticleSet)} <= PARTICLES.keys()


def test_columns_are_counted_over_series() -> None:
    old = particle_set(1)
    parts = [compare_particles(old, with_values(old, count), "C1") for count in (1, 3)]
    parts.append(compare_particles(without_column(old), old, "C1"))
    change = summarise(parts)
    assert (change.columns, change.columns_added, change.columns_removed) == (
        {"rlnClassNumber": 4},
        {"rlnMicrographName": 1},
        {},
    )
    assert particles_in_words(change) == "4 with another rlnClassNumber, columns new: rlnMicrographName"


def nudged(value: Any) -> list[Any]:
    """A field of a model changed in each way that it can be."""
    match value:
        case SplineGrid():
            margins = SplineGrid(value.values, (0.1, 0.0, 0.0))
            finer = SplineGrid(np.repeat(value.values, 2, axis=0))
            return [SplineGrid(value.values + 1e-12), SplineGrid(value.values + 1), margins, finer]
        case LinearGrid4D():
            return [LinearGrid4D(value.values + 1e-12), LinearGrid4D(np.repeat(value.values, 2, axis=0))]
        case np.ndarray() if value.dtype == bool:
            return [~value, np.roll(value, 1)]
        case np.ndarray() if value.dtype.kind in "iu":
            return [value + value.dtype.type(1)]
        case np.ndarray():
            return [value + 1.0, value * (1 + 1e-14) + 1e-14]
        case CTFModel():
            return [replace(value, **{one.name: 7.0 if one.type == "float" else (7.0,)}) for one in fields(value)]
        case bool():
            return [not value]
        case float():
            return [value + 1.0]
        case str():
            return [value + "x"]
        case (CTFModel(), *_):
            return [(one,) for one in nudged(value[0])]
        case ({}, *_):
            return [({name: 7.0 for name in value[0]},), ()]
        case tuple():
            return [tuple(one + 1.0 for one in value)]
    raise AssertionError(f"how does a {type(value)} change?")


def stack() -> StackModel:
    ones = np.ones(2)
    ids = np.array([1, 2], np.uint64)
    rows = np.arange(2)
    optics = (CTFModel(),), (9.0, 9.0), ({"rlnBeamTiltX": 0.1},)
    return StackModel("a.mrcs", rows, ids, ones, ones, ones, ones, ones, ones, rows * 0, *optics)


def tilt_series() -> TiltSeriesModel:
    return replace(model(), use=np.array([True, True, False]))


@pytest.mark.parametrize("made", [tilt_series, stack])
def test_any_change_of_a_model_shows(made: Callable[[], TiltSeriesModel | StackModel]) -> None:
    before = made()
    for one in fields(before):
        for number, value in enumerate(nudged(getattr(before, one.name))):
            change = compare_models(before, replace(before, **{one.name: value}))
            assert change.quantities or change.settings, (one.name, number)
    same = compare_models(before, made())
    assert not same.quantities
    assert not same.settings
