"""The policies: what each lets through and what it stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpop_hooks import check_records
from mpop_store import ObjectStore, version_of
from mpop_store.groups import group_objects, write_group

PATH = "species/ab/it.json"


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def particles(objects: ObjectStore, ids: list[int], halves: list[int]) -> str:
    return write_group(objects, {"id": np.array(ids, np.uint64), "half": np.array(halves, np.uint8)})


def species(objects: ObjectStore, particle_group: str, **fields: Any) -> dict[str, Any]:
    maps = write_group(objects, {"half1": np.random.default_rng(0).random((20, 20, 20), np.float32)})
    record = {
        "kind": "species-part",
        "species": "ab",
        "maps_object": maps,
        "particles": {"item1": particle_group},
    } | fields
    return record | {"version": version_of(record)}


def findings(objects: ObjectStore, record: dict[str, Any], before: dict[str, Any] | None = None) -> list[str]:
    old = {} if before is None else {PATH: before}
    return [f"{found.rule}: {found.message}" for found in check_records({PATH: record}, old, objects)]


def test_a_sound_species_passes(objects: ObjectStore) -> None:
    first = species(objects, particles(objects, [1, 2, 3], [1, 2, 1]))
    fewer_and_more = species(objects, particles(objects, [3, 4, 1], [1, 2, 1]))
    assert findings(objects, first) == []
    assert findings(objects, fewer_and_more, first) == []


def test_a_changed_record_with_its_old_version_is_stopped(objects: ObjectStore) -> None:
    record = species(objects, particles(objects, [1], [1])) | {"resolution_A": 1.0}
    assert findings(objects, record) == [
        "versions-derive: the version of this record is not the hash of its content"
    ]


def test_a_missing_object_or_part_of_a_group_is_stopped(objects: ObjectStore) -> None:
    record = species(objects, particles(objects, [1], [1]))
    _manifest, chunk = group_objects(objects, record["maps_object"])
    objects.path(chunk).unlink()
    assert findings(objects, record) == [f"objects-complete: object {chunk} is named but is not in the store"]
    objects.path(record["maps_object"]).unlink()
    (found,) = findings(objects, record)
    assert found.startswith("objects-complete: object " + record["maps_object"])
    xml = {"kind": "item", "warp_xml_object": "0" * 64}
    (found,) = findings(objects, xml | {"version": version_of(xml)})
    assert found == f"objects-complete: object {'0' * 64} is named but is not in the store"


def test_derived_objects_may_be_missing(objects: ObjectStore) -> None:
    derived = {"sums": {"source": {"key": "k", "group": "0" * 64}}}
    assert findings(objects, species(objects, particles(objects, [1], [1]), derived=derived)) == []


@pytest.mark.parametrize(
    ("ids", "halves", "message"),
    [
        ([1, 2, 3], [1, 2, 0], "particles belong to neither half 1 nor 2"),
        ([1, 2, 3], [1, 2, 3], "particles belong to neither half 1 nor 2"),
        ([1, 2, 2], [1, 2, 1], "a particle is listed twice"),
        ([7, 2, 1], [1, 1, 2], "2 particles have moved to the other half-set"),
    ],
)
def test_half_sets_do_not_mix(objects: ObjectStore, ids: list[int], halves: list[int], message: str) -> None:
    before = species(objects, particles(objects, [1, 2, 3], [1, 2, 1]))
    record = species(objects, particles(objects, ids, halves))
    assert findings(objects, record, before) == [f"halves-unmixed: {message} in item item1"]
