"""Groups: named arrays and attributes as a Zarr v3 hierarchy of objects.

A group is written in one go and never changes; its name is that of its manifest, canonical JSON that maps every
Zarr key to an object, or holds the bytes themselves where they are few. Reading goes through Zarr, lazily:
`open_group` fetches only the chunks that are asked for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, cpu
from zarr.storage import MemoryStore

from mpop_store.errors import DamagedObjectError
from mpop_store.hashing import canonical_json
from mpop_store.objects import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "mpop-group/1"
INLINE_BELOW = 4096
CHUNK = 64
"""Edge of a chunk of an array with three or more axes; tables are one chunk."""


def write_group(
    objects: ObjectStore,
    arrays: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any] | None = None,
) -> str:
    """Store arrays under names, and JSON attributes; the name of the group depends on nothing else."""
    memory: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(memory), zarr_format=3, attributes=dict(attributes or {}))
    itemsize: dict[str, int] = {}
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        itemsize[name] = array.dtype.itemsize
        group.create_array(
            name,
            data=array,
            chunks=_chunks(array.shape),
            compressors=None,
            filters=None,
            config={"write_empty_chunks": False},
        )
    entries: dict[str, dict[str, Any]] = {}
    for key in sorted(memory):
        data = memory[key].to_bytes()
        if key.endswith("zarr.json"):
            data = canonical_json(json.loads(data))
        if len(data) < INLINE_BELOW:
            entries[key] = {"inline": base64.b64encode(data).decode()}
        else:
            size = 1 if key.endswith("zarr.json") else itemsize[key.split("/")[0]]
            entries[key] = {"object": objects.put(data, size), "size": len(data)}
    return objects.put(canonical_json({"format": FORMAT, "entries": entries}))


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) >= 3:
        return tuple(max(1, min(size, CHUNK)) for size in shape)
    return tuple(max(1, size) for size in shape)


def read_manifest(objects: ObjectStore, name: str) -> dict[str, dict[str, Any]]:
    """Zarr key -> {"object", "size"} or {"inline"}. Raises DamagedObjectError when it is no manifest."""
    try:
        manifest = json.loads(objects.get(name))
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DamagedObjectError(f"object {name} is not a group of arrays that this mpop can read")
    return manifest["entries"]


def group_objects(objects: ObjectStore, name: str) -> list[str]:
    """Names of all objects that a group consists of, its manifest first."""
    entries = read_manifest(objects, name).values()
    return [name, *(entry["object"] for entry in entries if "object" in entry)]


def open_group(objects: ObjectStore, name: str) -> zarr.Group:
    """The group as Zarr sees it, read-only."""
    return zarr.open_group(GroupStore(objects, {"": name}), mode="r", zarr_format=3)


def read_group(objects: ObjectStore, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """All arrays of a group in memory, and its attributes."""
    group = open_group(objects, name)
    arrays = {key: np.asarray(array[...]) for key, array in group.arrays()}
    return arrays, dict(group.attrs)


class GroupStore(Store):
    """A read-only Zarr store over groups mounted at prefixes ("" or "species/ribosome")."""

    def __init__(self, objects: ObjectStore, mounts: Mapping[str, str]) -> None:
        super().__init__(read_only=True)
        self._objects = objects
        self._mounts = dict(mounts)
        self._entries: dict[str, dict[str, dict[str, Any]]] = {}
        self._is_open = True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroupStore):
            return False
        return self._mounts == other._mounts and self._objects.root == other._objects.root

    def with_read_only(self, read_only: bool = False) -> GroupStore:
        """The same groups; a store that can be written does not exist."""
        if not read_only:
            raise PermissionError("a stored group never changes; write a new one")
        return self

    def _all_entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        folders: set[str] = set()
        for mount in self._mounts:
            parts = mount.split("/") if mount else []
            folders |= {"/".join(parts[:i]) for i in range(len(parts))}
            for key, entry in self._mounted(mount).items():
                yield f"{mount}/{key}" if mount else key, entry
        root = base64.b64encode(canonical_json({"attributes": {}, "node_type": "group", "zarr_format": 3}))
        for folder in sorted(folders - set(self._mounts)):
            yield (f"{folder}/zarr.json" if folder else "zarr.json"), {"inline": root.decode()}

    def _mounted(self, mount: str) -> dict[str, dict[str, Any]]:
        if mount not in self._entries:
            self._entries[mount] = read_manifest(self._objects, self._mounts[mount])
        return self._entries[mount]

    def _lookup(self, key: str) -> dict[str, Any] | None:
        for mount in self._mounts:
            if not mount or key.startswith(mount + "/"):
                return self._mounted(mount).get(key[len(mount) + 1 :] if mount else key)
        return dict(self._all_entries()).get(key)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        entry = self._lookup(key)
        if entry is None:
            return None
        data = base64.b64decode(entry["inline"]) if "inline" in entry else self._objects.get(entry["object"])
        if isinstance(byte_range, RangeByteRequest):
            data = data[byte_range.start : byte_range.end]
        elif isinstance(byte_range, OffsetByteRequest):
            data = data[byte_range.offset :]
        elif isinstance(byte_range, SuffixByteRequest):
            data = data[-byte_range.suffix :]
        return (prototype.buffer if prototype else cpu.Buffer).from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._lookup(key) is not None

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    @property
    def supports_listing(self) -> bool:
        return True

    async def set(self, key: str, value: Buffer) -> None:
        raise PermissionError("a stored group never changes; write a new one")

    async def delete(self, key: str) -> None:
        raise PermissionError("a stored group never changes; write a new one")

    async def list(self) -> AsyncIterator[str]:
        for key, _ in self._all_entries():
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key, _ in self._all_entries():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = prefix.rstrip("/") + "/" if prefix else ""
        children = {key[len(start) :].split("/")[0] for key, _ in self._all_entries() if key.startswith(start)}
        for child in sorted(children):
            yield child
