"""Zarr's own tests of a store, on the stores through which Zarr reads and writes groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from zarr.core.buffer import Buffer, cpu
from zarr.testing.stateful import ZarrStoreStateMachine
from zarr.testing.store import StoreTests

from mpop_store import InputError, ObjectStore
from mpop_store.arrays.groups import group_objects, read_group, read_value, write_group, write_value
from mpop_store.arrays.zarr_store import GroupStore, NewGroup


class TestNewGroup(StoreTests[NewGroup, cpu.Buffer]):
    """Reading, writing, listing and deleting as Zarr expects it of any store."""

    store_cls = NewGroup
    buffer_cls = cpu.Buffer

    @pytest.fixture
    def store_kwargs(self, tmp_path: Path) -> dict[str, Any]:
        return {"objects": ObjectStore(tmp_path / "objects")}

    async def set(self, store: NewGroup, key: str, value: Buffer) -> None:
        store._entries[key] = write_value(store._objects, value.to_bytes())

    async def get(self, store: NewGroup, key: str) -> Buffer:
        return self.buffer_cls.from_bytes(read_value(store._objects, store._entries[key]))

    def test_store_repr(self, store: NewGroup) -> None:
        assert "NewGroup" in repr(store)

    def test_store_supports_writes(self, store: NewGroup) -> None:
        assert store.supports_writes and store.supports_deletes

    def test_store_supports_listing(self, store: NewGroup) -> None:
        assert store.supports_listing


def test_any_sequence_of_operations_does_what_a_dictionary_does(tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path / "objects")
    run_state_machine_as_test(
        lambda: ZarrStoreStateMachine(NewGroup(objects)),
        settings=settings(max_examples=20, stateful_step_count=20, deadline=None),
    )


# --- writing a group through Zarr ------------------------------------------------------------------------------


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def put(group: zarr.Group, name: str, array: np.ndarray, chunks: tuple[int, ...] | None = None) -> zarr.Array:
    """Write an array as Zarr's documentation shows, without compressors."""
    return group.create_array(name, data=array, chunks=chunks or array.shape, compressors=None, filters=None)


def test_a_group_written_through_zarr_has_the_name_that_write_group_gives(objects: ObjectStore) -> None:
    volume = np.random.default_rng(0).normal(size=(100, 70, 64)).astype(np.float32)
    volume[:64, :64] = 0  # a chunk that has no entry
    store = NewGroup(objects)
    group = zarr.create_group(store, zarr_format=3, attributes={"note": "by hand", "n": [1, 2.5]})
    half = put(group, "half1", np.zeros_like(volume), (64, 64, 64))
    put(group, "draft", volume)
    del group["draft"]
    half[...] = volume
    put(group, "small", np.zeros((3, 16, 16)))
    name = store.seal()
    assert name == write_group(
        objects, {"half1": volume, "small": np.zeros((3, 16, 16))}, {"note": "by hand", "n": [1, 2.5]}
    )
    assert store.seal() == name
    half[0, 0, 0] = 1
    assert store.seal() != name


def test_chunks_may_be_chosen_and_zeros_written_out_cost_nothing(objects: ObjectStore) -> None:
    volume = np.zeros((40, 30, 20))
    volume[:10, :10, :10] = np.arange(1000).reshape(10, 10, 10)
    volume[10:20, :10, :10] = -0.0
    store = NewGroup(objects)
    array = zarr.create_group(store).create_array(
        "a",
        shape=volume.shape,
        dtype="f8",
        chunks=(10, 10, 10),
        compressors=None,
        config={"write_empty_chunks": True},
    )
    array[...] = volume
    name = store.seal()
    assert len(group_objects(objects, name)) == 1 + 1 + 1  # manifest, positive values, negative zeros
    read = read_group(objects, name)[0]["a"]
    np.testing.assert_array_equal(read, volume)
    np.testing.assert_array_equal(np.signbit(read), np.signbit(volume))
    stored = GroupStore(objects, {"": name})
    np.testing.assert_array_equal(zarr.open_group(stored, mode="r")["a"][5:25, 3, :], volume[5:25, 3, :])  # pyright: ignore


def test_what_a_group_cannot_hold_is_refused_by_name(objects: ObjectStore) -> None:
    store = NewGroup(objects)
    with pytest.raises(InputError, match="not a Zarr v3 group yet"):
        store.seal()
    group = zarr.create_group(store)
    array = np.arange(12.0)
    put(group, "good", array)
    for name, make in {
        "compressed": lambda: group.create_array("compressed", data=array),
        "text": lambda: group.create_array("text", shape=(2,), dtype=str, compressors=None),
        "filled": lambda: group.create_array("filled", shape=(3,), dtype="f4", fill_value=1, compressors=None),
        "inner": lambda: group.create_group("inner"),
        "sharded": lambda: group.create_array("sharded", data=array, chunks=(3,), shards=(6,), compressors=None),
    }.items():
        make()
        with pytest.raises(InputError, match=name):
            store.seal()
        del group[name]
    assert read_group(objects, store.seal())[0].keys() == {"good"}
