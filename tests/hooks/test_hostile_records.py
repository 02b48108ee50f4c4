"""Records that no mpop writes: refused with the reason, whatever is in them, and never a crash."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from example_population import maps
from hypothesis import given, settings
from hypothesis import strategies as st

from mpop.population import Population
from mpop.records.arrays import particles_from_arrays
from mpop.records.models import MODELS
from mpop_hooks import Proposal, Violation, check, refusals
from mpop_hooks.proposal import Record
from mpop_hooks.schema import SCHEMA
from mpop_store import InputError, StateError, canonical_json, version_of
from mpop_store.arrays.groups import (
    read_group,
    read_manifest,
    read_value,
    write_group,
    write_manifest,
    write_value,
)

SPECIES, ITEM_ID, SOURCE_ID = "a" * 16, "1" * 16, "5" * 16
HEAD, PART = f"species/{SPECIES}.json", f"species/{SPECIES}/11.json"
ITEM, SOURCE = f"items/11/{ITEM_ID}.json", f"sources/{SOURCE_ID}.json"
PATHS = (HEAD, PART, ITEM, SOURCE, "population.json")
Judge = Callable[..., list[Violation]]


@pytest.fixture(scope="session")
def records(template: Population) -> dict[str, Record]:
    return {path: template.repository.read(path, "HEAD") for path in PATHS}


@pytest.mark.parametrize(
    ("path", "field", "value", "message"),
    [
        (HEAD, "kind", "virus", "records of kind virus are not known; update mpop"),
        (HEAD, "kind", None, "records of kind None are not known; update mpop"),
        (HEAD, "id", "b" * 16, f"a record of this kind and id belongs at species/{'b' * 16}.json"),
        (HEAD, "id", "../../x", "its id is not an id"),
        (PART, "species", "..", "its species is not an id"),
        (ITEM, "source", "/etc", "its source is not an id"),
        (HEAD, "name", "../../.bashrc", "its name is empty, too long or looks like a path"),
        (HEAD, "name", "a\x1b[2Jb", "it holds characters that cannot be printed"),
        (ITEM, "name", "n" * 201, "its name is empty, too long or looks like a path"),
        (SOURCE, "name", 7, "its name is empty, too long or looks like a path"),
        (HEAD, "maps_object", "../" * 21 + "x", "its maps_object is not a hash"),
        (ITEM, "model_object", 5, "its model_object is not a hash"),
        (PART, "particles", {ITEM_ID: "x"}, "its particles does not name groups by item id"),
        (PART, "particles", {"../x": "0" * 64}, "its particles does not name groups by item id"),
        (PART, "particles", [], "its particles does not name groups by item id"),
        (PART, "particles", {"2" * 16: "0" * 64}, "a record of this kind and id belongs at"),
        (SOURCE, "items", ["../x"], "its items are not ids"),
        (HEAD, "box", 10**9, "its box is not between 1 and 1024"),
        (HEAD, "box", True, "its box is not between 1 and 1024"),
        (HEAD, "n_particles", -1, "its n_particles is no number of particles"),
        (HEAD, "symmetry", "C100000000", "its symmetry is no point group"),
        (HEAD, "derived", {"sums": {"s": {"group": "x"}}}, "its derived does not describe"),
    ],
)
def test_what_no_mpop_writes_is_refused(
    records: dict[str, Record], judge: Judge, path: str, field: str, value: Any, message: str
) -> None:
    found = judge({path: {**records[path], field: value}})
    assert [finding.rule for finding in found] == ["records-plain"] * len(found)
    assert found[0].message.startswith(message)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("path", "", "its raw does not describe raw images"),
        ("path", "a\nb", "it holds characters that cannot be printed, or is nested too deeply"),
        ("path", None, "its raw does not describe raw images"),
        ("hash", "x", "its raw does not describe raw images"),
        ("stored_object", "../x", "its raw does not describe raw images"),
        ("size", -1, "its raw does not describe raw images"),
        ("size", 2**60, "its raw does not describe raw images"),
    ],
)
def test_raw_images_are_named_plainly(
    records: dict[str, Record], judge: Judge, field: str, value: Any, message: str
) -> None:
    item = copy.deepcopy(dict(records[ITEM]))
    item["raw"][0][field] = value
    (found,) = judge({ITEM: item}, fit=value != 2**60)
    assert (found.rule, found.message) == ("records-plain", message)


@pytest.mark.parametrize("path", ["/etc/passwd", "~/x.mrc", "C:\\x.mrc", "\\\\server\\x.mrc"])
def test_raw_images_somewhere_else_are_told(records: dict[str, Record], judge: Judge, path: str) -> None:
    item = copy.deepcopy(dict(records[ITEM]))
    item["raw"][0]["path"] = path
    (found,) = judge({ITEM: item})
    assert found.message == f"1 raw images are not named relative to the population ({path})"
    assert found.severity == "note"


def test_deeply_nested_records_are_refused(template: Population, judge: Judge) -> None:
    nested: dict[str, Any] = {}
    for _ in range(50):
        nested = {"a": nested}
    (found,) = judge({HEAD: template.repository.read(HEAD, "HEAD") | {"derived": nested}})
    assert found.message == "it holds characters that cannot be printed, or is nested too deeply"


@pytest.mark.parametrize("path", PATHS)
def test_records_without_a_field_are_refused_or_read(
    template: Population, records: dict[str, Record], path: str
) -> None:
    for field in records[path]:
        record = {key: value for key, value in records[path].items() if key != field}
        check(Proposal("receive", {path: record}, {}, {}, template.objects))


def test_every_kind_of_record_has_a_model_with_all_its_fields_and_no_other() -> None:
    assert MODELS.keys() == SCHEMA.types.keys()
    for kind, model in MODELS.items():
        stated = SCHEMA.types[kind]
        assert model.model_fields.keys() == stated.fields.keys() - stated.earlier.keys()
        needed = {name for name, one in stated.fields.items() if one.is_needed}
        assert needed == {name for name, one in model.model_fields.items() if one.is_required()}


@pytest.mark.parametrize("path", PATHS)
def test_a_record_without_a_field_that_it_needs_is_refused(
    records: dict[str, Record], judge: Judge, path: str
) -> None:
    stated = SCHEMA.types[records[path]["kind"]].fields
    for field in [name for name, one in stated.items() if one.is_needed]:
        found = judge({path: {key: value for key, value in records[path].items() if key != field}}, fit=False)
        assert [one.message for one in found] == [f"it has no {field}"]


def test_records_in_odd_places_are_refused(records: dict[str, Record], judge: Judge) -> None:
    for path in (
        "species/x.json",
        "x.json",
        f"species/{SPECIES}/ab.json",
        f"items/{ITEM_ID}.json",
        "a\x1b[1m.json",
    ):
        (found,) = judge({path: dict(records[ITEM])}, fit=False)
        assert found.message == f"a record of this kind and id belongs at {ITEM}"
        assert found.path.isprintable()


def test_maps_that_claim_to_be_huge_are_refused_before_they_are_read(template: Population, judge: Judge) -> None:
    group = template.write_group(maps(0))
    entries = read_manifest(template.objects, group)
    giant = write_group(template.objects, {"mask": np.zeros((64, 64, 64), np.float32)})
    document = json.loads(read_value(template.objects, read_manifest(template.objects, giant)["mask/zarr.json"]))
    document["shape"] = [1580] * 3
    for name in ("half1", "half2", "mask"):
        entries[f"{name}/zarr.json"] = write_value(template.objects, canonical_json(document))
    head = template.repository.read(HEAD, "HEAD") | {"maps_object": write_manifest(template.objects, entries)}
    (found,) = judge({HEAD: head})
    assert found.rule == "arrays-bounded"
    assert "would take more than 32 GiB" in found.message
    (found,) = judge({HEAD: head | {"maps_object": group, "box": 24}})
    assert found.message == f"group {group}: half1 is not a cube of 24 voxels"
    document["shape"] = [10**6] * 3
    entries["mask/zarr.json"] = write_value(template.objects, canonical_json(document))
    (found,) = judge({HEAD: head | {"maps_object": write_manifest(template.objects, entries)}})
    assert "holds something that is no array" in found.message


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("half", None, "a table of particles without half"),
        ("half", np.ones(3, np.uint8), "the columns of this table of particles are not equally long"),
        ("id", np.ones((2, 2), np.uint64), "the columns of this table of particles are not equally long"),
        ("angles_deg", np.zeros((4, 2, 3)), "the columns of this table of particles are not equally long"),
    ],
)
def test_tables_of_particles_are_tables(
    template: Population, judge: Judge, column: str, values: np.ndarray | None, message: str
) -> None:
    part = template.repository.read(PART, "HEAD")
    arrays, attributes = read_group(template.objects, part["particles"][ITEM_ID])
    changed = {key: one for key, one in arrays.items() if key != column}
    changed |= {} if values is None else {column: values}
    group = write_group(template.objects, changed, attributes)
    (found,) = judge({PART: part | {"particles": {ITEM_ID: group}}})
    assert found.message == f"group {group}: {message}"


def test_positions_have_three_coordinates(template: Population, judge: Judge) -> None:
    part = template.repository.read(PART, "HEAD")
    arrays, attributes = read_group(template.objects, part["particles"][ITEM_ID])
    flat = {"position_A": np.zeros((4, 1, 2)), "angles_deg": np.zeros((4, 1, 2))}
    group = write_group(template.objects, arrays | flat, attributes)
    (found,) = judge({PART: part | {"particles": {ITEM_ID: group}}})
    assert "particles need positions and angles" in found.message


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x\n_wrpAngleRot1 #9": [0.0] * 4}, "a column cannot be called 'x\\n_wrpAngleRot1 #9'"),
        ({"a b": [0.0] * 4}, "a column cannot be called 'a b'"),
        ({"": [0.0] * 4}, "a column cannot be called ''"),
        ({"rlnClassNumber": [0.0] * 3}, "its column rlnClassNumber does not have 4 values"),
        ({"rlnClassNumber": 7}, "its column rlnClassNumber does not have 4 values"),
        ({"rlnImageName": ["a", "b", 'c\nd"', "e"]}, "its column rlnImageName holds 'c\\nd\"' in row 3"),
        (
            {"rlnImageName": ["a", "b", "c", "\x1b]0;x\a"]},
            "its column rlnImageName holds '\\x1b]0;x\\x07' in row 4",
        ),
        ({"rlnImageName": ["a", None, "c", "d"]}, "its column rlnImageName holds 'None' in row 2"),
        ({"rlnImageName": ["a", ["b"], "c", "d"]}, "its column rlnImageName holds \"['b']\" in row 2"),
        ({"rlnImageName": ["a" * 5000] * 4}, "its column rlnImageName holds 'aaa"),
        ({f"c{n}": [0.0] * 4 for n in range(300)}, "it has more than 200 further columns"),
        ([1, 2], "its further columns are not by name"),
        (None, "its further columns are not by name"),
    ],
)
def test_columns_that_could_not_be_exported_are_refused(
    template: Population, judge: Judge, columns: Any, message: str
) -> None:
    part = template.repository.read(PART, "HEAD")
    arrays, attributes = read_group(template.objects, part["particles"][ITEM_ID])
    group = write_group(template.objects, arrays, {**attributes, "extra": columns})
    (found,) = judge({PART: part | {"particles": {ITEM_ID: group}}})
    assert found.message.startswith(f"group {group}: {message}")
    assert found.message.isprintable()
    with pytest.raises(StateError, match="a group holds no table of particles that this mpop can use") as refused:
        particles_from_arrays(arrays, {**attributes, "extra": columns})  # where arrays came later
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x\n_wrpAngleRot1 #9": np.zeros(4)}, "a column cannot be called 'x\\n_wrpAngleRot1 #9'"),
        ({"rlnNormCorrection": np.zeros(3)}, "its column rlnNormCorrection does not have 4 values"),
        ({"rlnNormCorrection": np.zeros((4, 1))}, "its column rlnNormCorrection does not have 4 values"),
        ({f"c{n}": np.zeros(4) for n in range(201)}, "it has more than 200 further columns"),
    ],
)
def test_columns_of_numbers_that_could_not_be_exported_are_refused(
    template: Population, judge: Judge, columns: dict[str, np.ndarray], message: str
) -> None:
    part = template.repository.read(PART, "HEAD")
    arrays, attributes = read_group(template.objects, part["particles"][ITEM_ID])
    named = {f"extra.{name}": values for name, values in columns.items()}
    group = write_group(template.objects, arrays | named, attributes)
    (found,) = judge({PART: part | {"particles": {ITEM_ID: group}}})
    assert found.message.startswith(f"group {group}: {message}")
    assert found.message.isprintable()
    with pytest.raises(StateError, match="a group holds no table of particles that this mpop can use"):
        particles_from_arrays(arrays | named, attributes)


def test_a_number_that_is_none_is_not_read_from_a_column(template: Population) -> None:
    part = template.repository.read(PART, "HEAD")
    arrays, attributes = read_group(template.objects, part["particles"][ITEM_ID])
    read = particles_from_arrays(arrays | {"extra.rlnNormCorrection": np.ones(4)}, attributes)
    assert read.extra["rlnNormCorrection"] == [1.0] * 4
    with pytest.raises(StateError, match="its column rlnClassNumber is there twice"):
        particles_from_arrays(arrays, {**attributes, "extra": {"rlnClassNumber": [1] * 4}})
    with pytest.raises(StateError, match="its column rlnNormCorrection holds 'nan' in row 1"):
        particles_from_arrays(arrays | {"extra.rlnNormCorrection": np.full(4, np.nan)}, attributes)


def test_a_table_of_particles_without_columns_is_refused(template: Population, judge: Judge) -> None:
    part = template.repository.read(PART, "HEAD")
    arrays, _ = read_group(template.objects, part["particles"][ITEM_ID])
    group = write_group(template.objects, arrays, {})
    (found,) = judge({PART: part | {"particles": {ITEM_ID: group}}})
    assert "holds something that is no array" in found.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.sampled_from(PATHS), st.data())
def test_no_record_makes_the_policies_stumble(
    template: Population, records: dict[str, Record], path: str, data: st.DataObject
) -> None:
    """Any field may be anything: what is not refused is a record that mpop could have written."""
    record = copy.deepcopy(dict(records[path]))
    field = data.draw(st.sampled_from(sorted(record)))
    record[field] = data.draw(JSON)
    if field != "version":
        try:
            record["version"] = version_of(record)
        except InputError:
            record["version"] = "0" * 64
    proposal = Proposal("receive", {path: record}, {path: records[path]}, {}, template.objects)
    if not refusals(check(proposal)):
        MODELS[record["kind"]].model_validate(record)


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        (ITEM, {"colour": "red"}, "this mpop cannot read its field colour: Extra inputs are not permitted"),
        (
            HEAD,
            {"n_particles": 1.5},
            "this mpop cannot read its field n_particles: Input should be a valid integer",
        ),
        (SOURCE, {"type": "frames"}, "this mpop cannot read its field type: Input should be 'tilt-series'"),
    ],
)
def test_records_that_this_mpop_cannot_read_are_refused(
    records: dict[str, Record], judge: Judge, path: str, change: dict[str, Any], message: str
) -> None:
    (found,) = judge({path: {**records[path], **change}})
    assert found.rule == "records-known"
    assert found.message.startswith(message)
    assert judge({path: {**records[path], **change}}, event="commit") == []
