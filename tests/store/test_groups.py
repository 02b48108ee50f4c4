"""Groups: arrays through Zarr, names that depend on content alone, and a read-only store."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from mpop_store import (
    DamagedObjectError,
    InputError,
    MissingObjectError,
    NotFoundError,
    ObjectStore,
    canonical_json,
)
from mpop_store.arrays.groups import group_objects, open_group, read_array, read_group, read_manifest, write_group
from mpop_store.arrays.zarr_store import GroupStore

DTYPES = ["u1", "?", "<i4", "<u8", "<f4", "<f8", "<c8", ">f4"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
ARRAYS = st.dictionaries(
    st.sampled_from(["half1", "half2", "mask", "id", "position_A"]),
    st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)),
    max_size=4,
)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


@pytest.fixture
def volume() -> np.ndarray:
    """100^3 voxels: eight chunks, seven of them partly outside."""
    return np.random.default_rng(0).normal(size=(100, 100, 100)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    arrays=ARRAYS, attributes=st.dictionaries(st.text("ab", max_size=3), st.integers(0, 9) | st.text(max_size=5))
)
def test_arrays_and_attributes_come_back(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray], attributes: dict[str, int | str]
) -> None:
    objects = ObjectStore(tmp_path_factory.mktemp("objects"))
    name = write_group(objects, arrays, attributes)
    read, read_attributes = read_group(objects, name)
    assert read_attributes == attributes
    assert set(read) == set(arrays)
    for key, array in arrays.items():
        assert read[key].dtype == array.dtype.newbyteorder("=") and read[key].shape == array.shape
        np.testing.assert_array_equal(read[key], array)


def write_through_zarr(objects: ObjectStore, arrays: dict[str, np.ndarray], attributes: dict[str, object]) -> str:
    """A group as Zarr itself lays it out: where the names of stored groups came from first, and must not leave."""
    memory: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(memory), zarr_format=3, attributes=attributes)
    for name, array in arrays.items():
        little = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        chunks = tuple(max(1, min(size, 64) if array.ndim >= 3 else size) for size in array.shape)
        group.create_array(
            name,
            data=little,
            chunks=chunks,
            compressors=None,
            filters=None,
            config={"write_empty_chunks": False},
        )
    entries: dict[str, dict[str, object]] = {}
    for key, value in memory.items():
        data = value.to_bytes()
        if key.endswith("zarr.json"):
            data = canonical_json(json.loads(data))
        if len(data) < 4096:
            entries[key] = {"inline": base64.b64encode(data).decode()}
        else:
            entries[key] = {"object": objects.put(data), "size": len(data)}
    return objects.put(canonical_json({"format": "mpop-group/1", "entries": entries}))


@settings(max_examples=60, deadline=None)
@given(
    arrays=ARRAYS,
    attributes=st.dictionaries(
        st.text(max_size=3), st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5) | st.lists(st.booleans())
    ),
)
def test_a_group_is_what_zarr_itself_would_write(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray], attributes: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("objects")
    ours, zarrs = ObjectStore(folder / "ours"), ObjectStore(folder / "zarr")
    # Zarr takes 0 - 0j for its fill value, and the sign is lost; a group keeps it (see the test below)
    arrays = {key: array + 0 if array.dtype.kind == "c" else array for key, array in arrays.items()}
    assert write_group(ours, arrays, attributes) == write_through_zarr(zarrs, arrays, attributes)
    assert sorted(ours.names()) == sorted(zarrs.names())


@pytest.mark.parametrize("value", [complex(0.0, -0.0), complex(-0.0, 0.0), -0.0])
def test_the_sign_of_zero_is_kept(objects: ObjectStore, value: complex) -> None:
    array = np.array([value], dtype=np.complex64 if isinstance(value, complex) else np.float32)
    read, _ = read_group(objects, write_group(objects, {"a": array}, {}))
    assert read["a"].tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (5000,), (3, 0, 2), (130, 65, 64), (2, 70, 3, 66), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("dtype", ["?", "i1", "<i2", ">i8", "<u2", ">u4", "f2", ">f8", "c8", "c16"])
def test_shapes_and_types_are_laid_out_as_zarr_does(
    objects: ObjectStore, tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 100, shape), dtype)
    turned = array.transpose()
    other = ObjectStore(tmp_path / "zarr")
    name = write_group(objects, {"a": array, "turned": turned}, {})
    assert name == write_through_zarr(other, {"a": array, "turned": turned}, {})
    assert sorted(objects.names()) == sorted(other.names())
    read, _ = read_group(objects, name)
    np.testing.assert_array_equal(read["a"], array)
    np.testing.assert_array_equal(read["turned"], turned)
    assert read["a"].dtype == array.dtype.newbyteorder("=") and read["a"].flags.writeable


def test_the_name_depends_on_content_alone(objects: ObjectStore, tmp_path: Path, volume: np.ndarray) -> None:
    name = write_group(objects, {"a": volume, "b": volume[0]}, {"x": 1, "y": [2, 3]})
    other = ObjectStore(tmp_path / "other")
    turned = {"b": np.asfortranarray(volume[0]), "a": volume.astype(">f4")}
    assert write_group(other, turned, {"y": [2, 3], "x": 1}) == name
    assert sorted(other.names()) == sorted(objects.names())
    changed = volume.copy()
    changed[99, 99, 99] = np.nextafter(changed[99, 99, 99], np.float32(9))
    assert write_group(other, {"a": changed, "b": volume[0]}, {"x": 1, "y": [2, 3]}) != name
    assert write_group(other, {"a": volume, "b": volume[0]}, {"x": 2, "y": [2, 3]}) != name


def test_the_name_is_the_same_on_every_machine_and_version(objects: ObjectStore) -> None:
    """A change of this name means that stored groups no longer have the names that new ones get."""
    array = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    name = write_group(objects, {"half1": array, "fsc": np.ones((2, 3))}, {"note": "golden"})
    assert name == "799fdc01972ab8089d0e49fc6677f57707a5ffbfc383c1b561b42bdc2559d996"


def test_zero_and_negative_zero_are_told_apart(objects: ObjectStore) -> None:
    zero, negative = np.zeros((4, 4, 4), np.float32), np.full((4, 4, 4), -0.0, np.float32)
    name = write_group(objects, {"a": negative})
    assert name != write_group(objects, {"a": zero})
    assert np.signbit(read_group(objects, name)[0]["a"]).all()


def test_empty_chunks_of_a_map_are_not_stored(objects: ObjectStore) -> None:
    mask = np.zeros((128, 128, 128), np.float32)
    mask[:64, :64, :64] = np.random.default_rng(0).random((64, 64, 64))
    name = write_group(objects, {"mask": mask})
    assert len(group_objects(objects, name)) == 2  # the manifest and one chunk
    np.testing.assert_array_equal(read_group(objects, name)[0]["mask"], mask)


def test_a_changed_corner_costs_one_chunk(objects: ObjectStore, volume: np.ndarray) -> None:
    before = set(group_objects(objects, write_group(objects, {"half1": volume})))
    volume[0, 0, 0] += 1
    after = set(group_objects(objects, write_group(objects, {"half1": volume})))
    assert len(before) == 9
    assert len(after - before) == 2  # that chunk and the manifest


def test_reading_is_lazy(objects: ObjectStore, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    array = open_group(objects, write_group(objects, {"half1": volume}))["half1"]
    assert isinstance(array, zarr.Array)
    fetched: list[str] = []
    get = objects.get
    monkeypatch.setattr(objects, "get", lambda name, *limit: fetched.append(name) or get(name))
    np.testing.assert_array_equal(array[:10, 70:80, :10], volume[:10, 70:80, :10])
    assert len(fetched) == 1


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, str, np.ndarray]:
    """A stored map whose last chunks are not full, and a chunk of zeros."""
    objects = ObjectStore(tmp_path_factory.mktemp("odd") / "objects")
    array = np.random.default_rng(0).normal(size=(130, 65, 64)).astype(np.float32)
    array[64:128, :64] = 0
    return objects, write_group(objects, {"half1": array, "fsc": array[:5, :20, 0]}), array


ENDS = st.none() | st.integers(-140, 140)


@settings(max_examples=80, deadline=None)
@given(box=st.lists(st.builds(slice, ENDS, ENDS), max_size=3).map(tuple))
def test_any_box_of_an_array_can_be_read(odd: tuple[ObjectStore, str, np.ndarray], box: tuple[slice, ...]) -> None:
    objects, name, array = odd
    np.testing.assert_array_equal(read_array(objects, name, "half1", box), array[box])


def test_a_box_reads_only_its_chunks(
    objects: ObjectStore, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write_group(objects, {"half1": volume, "half2": volume + 1})
    fetched: list[str] = []
    get = objects.get
    monkeypatch.setattr(objects, "get", lambda name, *limit: fetched.append(name) or get(name))
    box = np.s_[60:70, 10:20, 70:80]
    np.testing.assert_array_equal(read_array(objects, name, "half2", box), volume[box] + 1)
    assert len(fetched) == 1 + 2  # the manifest and two chunks


def test_what_is_missing_is_asked_for_in_one_request(
    objects: ObjectStore, volume: np.ndarray, tmp_path: Path
) -> None:
    """A lazy clone asks a remote once per array, not once per chunk."""
    name = write_group(objects, {"half1": volume})
    clone = ObjectStore(tmp_path / "clone")
    requests: list[int] = []

    def fetch(names: Sequence[str]) -> None:
        requests.append(len(names))
        for one in names:
            clone.put(objects.get(one))

    clone.fetch_missing = fetch
    np.testing.assert_array_equal(read_array(clone, name, "half1", np.s_[:70, :10, :10]), volume[:70, :10, :10])
    assert requests == [1, 2]
    np.testing.assert_array_equal(read_group(clone, name)[0]["half1"], volume)
    assert requests == [1, 2, 6]


def test_a_request_for_what_is_not_there_says_so(odd: tuple[ObjectStore, str, np.ndarray]) -> None:
    objects, name, _ = odd
    with pytest.raises(NotFoundError, match="no array mask"):
        read_array(objects, name, "mask")
    with pytest.raises(InputError, match="2 axes"):
        read_array(objects, name, "fsc", np.s_[:, :, :])
    with pytest.raises(InputError, match="step 1"):
        read_array(objects, name, "fsc", np.index_exp[::2])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "__a", "zarr.json", "/", "a\n/b"])
def test_names_that_zarr_would_not_find_are_refused(objects: ObjectStore, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of an array"):
        write_group(objects, {name: np.ones(3)})
    assert list(objects.names()) == []


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([None]), np.array([1], "M8[s]"), np.zeros(2, "f4,i4")]
)
def test_only_numbers_are_stored(objects: ObjectStore, array: np.ndarray) -> None:
    with pytest.raises(InputError, match="cannot be stored"):
        write_group(objects, {"a": array})


def test_groups_need_no_zarr() -> None:
    """Importing Zarr would take longer than most commands do."""
    code = (
        "import sys, tempfile, numpy; from mpop_store import ObjectStore; from mpop_store.arrays.groups import *\n"
        "objects = ObjectStore(tempfile.mkdtemp())\n"
        "read_group(objects, write_group(objects, {'a': numpy.ones((64, 64, 9))}))\n"
        "assert not {'zarr', 'asyncio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- groups that somebody forged ---------------------------------------------------------------------------------

DESCRIPTION = {
    "attributes": {},
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "data_type": "float64",
    "fill_value": 0,
    "node_type": "array",
    "shape": [2, 3],
    "storage_transformers": [],
    "zarr_format": 3,
}


def forge(objects: ObjectStore, description: object, chunk: bytes = bytes(range(48))) -> str:
    """A group with one array of 2 x 3, described as one likes."""
    values = {"zarr.json": b'{"attributes":{}}', "a/zarr.json": json.dumps(description).encode(), "a/c/0/0": chunk}
    entries = {key: {"inline": base64.b64encode(value).decode()} for key, value in values.items()}
    return objects.put(canonical_json({"format": "mpop-group/1", "entries": entries}))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [10**9, 10**9]},
        {"shape": [2, -3]},
        {"shape": [2]},
        {"shape": [2.0, 3.0]},
        {"shape": "23"},
        {"shape": None},
        {"shape": [1] * 40, "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1] * 40}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 3]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**40, 3]}}},
        {"chunk_grid": {"name": "rectilinear", "configuration": {"chunk_shape": [2, 3]}}},
        {"chunk_grid": []},
        {"codecs": [{"name": "numcodecs.pickle"}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}]},
        {"data_type": "object"},
        {"data_type": ["float64"]},
        {"fill_value": 1},
        {"node_type": "group"},
        {"zarr_format": 2},
        {"storage_transformers": [{}]},
        {"must_understand": True},
    ],
)
def test_an_array_that_is_not_described_as_ours_is_refused(
    objects: ObjectStore, changes: dict[str, object]
) -> None:
    np.testing.assert_array_equal(
        read_array(objects, forge(objects, DESCRIPTION), "a"), np.frombuffer(bytes(range(48))).reshape(2, 3)
    )
    name = forge(objects, DESCRIPTION | changes)
    with pytest.raises(DamagedObjectError, match=f"group {name}"):
        read_group(objects, name)


@pytest.mark.parametrize("description", [[], "text", None, 7])
def test_a_description_that_is_none_is_refused(objects: ObjectStore, description: object) -> None:
    with pytest.raises(DamagedObjectError, match="does not describe anything"):
        read_group(objects, forge(objects, description))


@pytest.mark.parametrize("chunk", [b"", bytes(47), bytes(49)])
def test_a_chunk_of_the_wrong_size_is_refused(objects: ObjectStore, chunk: bytes) -> None:
    with pytest.raises(DamagedObjectError, match="wrong size"):
        read_group(objects, forge(objects, DESCRIPTION, chunk))


def test_an_object_that_is_larger_than_its_group_says_takes_no_memory(objects: ObjectStore) -> None:
    bomb = objects.put(bytes(10**7))
    for key in ("a/zarr.json", "a/c/0/0"):
        entries = read_manifest(objects, forge(objects, DESCRIPTION)) | {key: {"object": bomb, "size": 48}}
        name = objects.put(canonical_json({"format": "mpop-group/1", "entries": entries}))
        tracemalloc.start()
        with pytest.raises(DamagedObjectError, match=r"holds 10000000 bytes, and no more than 48"):
            read_group(objects, name)
        assert tracemalloc.get_traced_memory()[1] < 10**6
        tracemalloc.stop()
    assert objects.get(bomb) == bytes(10**7)  # nothing is wrong with that one
    for size in (10**7, 10**7 + 1, -1):
        entries["a/c/0/0"] = {"object": bomb, "size": size}
        with pytest.raises(DamagedObjectError, match="wrong size"):
            read_group(objects, objects.put(canonical_json({"format": "mpop-group/1", "entries": entries})))


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [],
        {"a": {"object": "0" * 64}},
        {"a": {"object": "0" * 64, "size": "1"}},
        {"zarr.json": []},
        {"zarr.json": {}},
        {"a": {"inline": 5}},
        {"a": {"object": "../../etc/passwd"}},
    ],
)
def test_a_manifest_with_odd_entries_is_refused(objects: ObjectStore, entries: object) -> None:
    name = objects.put(json.dumps({"format": "mpop-group/1", "entries": entries}).encode())
    with pytest.raises(DamagedObjectError, match="not a group of arrays"):
        group_objects(objects, name)


def test_a_value_that_is_not_base64_is_refused(objects: ObjectStore) -> None:
    name = objects.put(b'{"format": "mpop-group/1", "entries": {"zarr.json": {"inline": "?"}}}')
    with pytest.raises(DamagedObjectError):
        read_group(objects, name)


def test_a_group_cannot_be_changed(objects: ObjectStore, volume: np.ndarray) -> None:
    group = open_group(objects, write_group(objects, {"half1": volume}))
    with pytest.raises((PermissionError, ValueError), match=r"read.?only|never changes"):
        group["half1"][0, 0, 0] = 1  # pyright: ignore[reportIndexIssue]
    with pytest.raises((PermissionError, ValueError), match=r"read.?only|never changes"):
        group.create_array("new", shape=(1,), dtype="f4")
    with pytest.raises(PermissionError):
        GroupStore(objects, {}).with_read_only(False)


def test_a_lost_chunk_is_an_error_and_not_zeros(objects: ObjectStore, volume: np.ndarray) -> None:
    name = write_group(objects, {"half1": volume})
    chunk = group_objects(objects, name)[3]
    objects.path(chunk).unlink()
    with pytest.raises(MissingObjectError, match=chunk):
        read_group(objects, name)


def test_a_damaged_chunk_is_found_on_reading(objects: ObjectStore, volume: np.ndarray) -> None:
    name = write_group(objects, {"half1": volume})
    chunk = objects.path(group_objects(objects, name)[3])
    data = bytearray(chunk.read_bytes())
    data[1000] ^= 4
    chunk.chmod(0o644)
    chunk.write_bytes(data)
    with pytest.raises(DamagedObjectError):
        read_group(objects, name)


@pytest.mark.parametrize("content", [b"not JSON", b"[]", b'{"format": "mpop-group/99", "entries": {}}'])
def test_what_is_no_group_is_said_to_be_none(objects: ObjectStore, content: bytes) -> None:
    with pytest.raises(DamagedObjectError, match="not a group of arrays"):
        read_manifest(objects, objects.put(content))


def test_attributes_too_large_for_the_manifest_come_back(objects: ObjectStore) -> None:
    attributes = {"rlnImageName": [f"Extract/job031/{i}_stack2d.mrcs" for i in range(2000)]}
    assert read_group(objects, write_group(objects, {"id": np.arange(3)}, attributes))[1] == attributes


def test_attributes_that_json_cannot_hold_are_refused(objects: ObjectStore) -> None:
    with pytest.raises(InputError, match="cannot be stored as JSON"):
        write_group(objects, {}, {"extra": [float("nan")]})
    assert list(objects.names()) == []


# --- the store as Zarr sees it, compared with Zarr's own store of the same content -------------------------------


async def _everything(store: Store, key: str) -> dict[str, object]:
    """What a store says about a key and its folder."""
    prototype = default_buffer_prototype()
    parts = (None, RangeByteRequest(1, 5), OffsetByteRequest(3), SuffixByteRequest(4))
    found = [await store.get(key, prototype, part) for part in parts]
    folder = key.rpartition("/")[0]
    return {
        "get": [part.to_bytes() if part is not None else None for part in found],
        "partial": [
            part.to_bytes() if part is not None else None
            for part in await store.get_partial_values(prototype, [(key, part) for part in parts])
        ],
        "exists": await store.exists(key),
        "size": await store.getsize(key) if found[0] is not None else None,
        "prefix": sorted([name async for name in store.list_prefix(folder)]),
        "dir": sorted([name async for name in store.list_dir(folder)]),
    }


def test_the_store_behaves_as_zarrs_own(objects: ObjectStore, volume: np.ndarray) -> None:
    mounts = {
        "species/ribosome": write_group(objects, {"half1": volume, "mask": volume > 0}),
        "species/ferritin": write_group(objects, {"half1": volume[:5]}),
        "items/one/TS_01": write_group(objects, {"angles_deg": np.arange(3.0)}, {"weight": 1}),
    }
    ours = GroupStore(objects, mounts)

    async def compare() -> int:
        keys = [key async for key in ours.list()]
        copy = MemoryStore({key: await ours.get(key) for key in keys})  # pyright: ignore[reportArgumentType]
        assert sorted(keys) == sorted([key async for key in copy.list()])
        for key in [*keys, "nothing", "species/nothing/zarr.json", "species/ribosome/half1/c/9/9/9"]:
            assert await _everything(ours, key) == await _everything(copy, key)
        assert sorted([n async for n in ours.list_dir("")]) == sorted([n async for n in copy.list_dir("")])
        return len(keys)

    assert asyncio.run(compare()) == 4 + 3 + 4 + 8 + 8 + 4 + 1  # folders, groups, arrays, chunks
    root = zarr.open_group(ours, mode="r")
    assert sorted(root.group_keys()) == ["items", "species"]
    np.testing.assert_array_equal(root["species/ribosome/half1"][:, 3, 4], volume[:, 3, 4])  # pyright: ignore
    assert ours == GroupStore(objects, mounts) != GroupStore(objects, {})
