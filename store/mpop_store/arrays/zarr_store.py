"""Groups as Zarr stores: `GroupStore` reads stored groups lazily, `NewGroup` takes a new one through Zarr.

Importing Zarr takes longer than most commands do, so this module is imported where it is needed and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, cpu

from mpop_store.arrays.layout import Layout, check_name
from mpop_store.arrays.manifests import (
    METADATA,
    Entries,
    Entry,
    read_manifest,
    read_value,
    write_manifest,
    write_value,
)
from mpop_store.errors import InputError
from mpop_store.hashing import canonical_json, hash_bytes, parse_json
from mpop_store.objects.store import ObjectStore

FOLDER: Entry = {
    "inline": base64.b64encode(canonical_json({"attributes": {}, "node_type": "group", "zarr_format": 3})).decode()
}


def open_groups(objects: ObjectStore, mounts: Mapping[str, str]) -> zarr.Group:
    """Groups as one read-only, lazy hierarchy. mounts: path in it ("" is its root) -> name of a group."""
    return zarr.open_group(GroupStore(objects, mounts), mode="r", zarr_format=3)


class _EntryStore(Store):
    """What reading needs of a store whose values are entries of manifests."""

    def __init__(self, objects: ObjectStore, read_only: bool) -> None:
        super().__init__(read_only=read_only)
        self._objects = objects

    @abstractmethod
    def _find(self, key: str) -> Entry | None:
        """Where the value of a key is."""

    @abstractmethod
    def _keys(self, prefix: str) -> Iterable[str]:
        """All keys that begin with a prefix."""

    def __getstate__(self) -> dict[str, Any]:
        """For workers in other processes, which find the same objects on disk, and fetch none from elsewhere."""
        return {**self.__dict__, "_objects": self._objects.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_objects": ObjectStore(state["_objects"])})

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The value of a key, or a range of its bytes; None if there is none."""
        entry = self._find(key)
        if entry is None:
            return None
        data = read_value(self._objects, entry)
        return (prototype.buffer if prototype else cpu.Buffer).from_bytes(data[_range(byte_range, len(data))])

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._find(key) is not None

    async def getsize(self, key: str) -> int:
        entry = self._find(key)
        if entry is None:
            raise FileNotFoundError(key)
        return entry["size"] if "size" in entry else len(read_value(self._objects, entry))

    @property
    def supports_listing(self) -> bool:
        return True

    async def list(self) -> AsyncIterator[str]:
        for key in self._keys(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self._keys(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = _folder(prefix)
        for child in sorted({key[len(start) :].split("/")[0] for key in self._keys(start)}):
            yield child


def _folder(prefix: str) -> str:
    return prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""


def _range(request: ByteRequest | None, length: int) -> slice:
    match request:
        case None:
            return slice(None)
        case RangeByteRequest(start, end):
            return slice(start, end)
        case OffsetByteRequest(offset):
            return slice(offset, None)
        case SuffixByteRequest(suffix):
            return slice(max(0, length - suffix), None)
    raise ValueError(f"Unexpected byte_range, got {request}.")


class GroupStore(_EntryStore):
    """A read-only Zarr store over groups mounted at paths, such as "species/ribosome"; "" is the root.

    A manifest is read when something in its group is asked for.
    """

    def __init__(self, objects: ObjectStore, mounts: Mapping[str, str]) -> None:
        super().__init__(objects, read_only=True)
        self._mounts = dict(mounts)
        self._manifests: dict[str, Entries] = {}
        above = {mount: mount.split("/") if mount else [] for mount in mounts}
        self._folders = {"/".join(parts[:depth]) for parts in above.values() for depth in range(len(parts))}
        self._folders -= set(mounts)
        self._is_open = True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroupStore):
            return False
        return self._mounts == other._mounts and self._objects.root == other._objects.root

    def with_read_only(self, read_only: bool = False) -> GroupStore:
        """The same groups; to write a new one there is `NewGroup`."""
        if not read_only:
            raise PermissionError("a stored group never changes; write a new one")
        return self

    def _manifest(self, mount: str) -> Entries:
        if mount not in self._manifests:
            self._manifests[mount] = read_manifest(self._objects, self._mounts[mount])
        return self._manifests[mount]

    def _find(self, key: str) -> Entry | None:
        parts = key.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            mount = "/".join(parts[:depth])
            if mount in self._mounts:
                return self._manifest(mount).get("/".join(parts[depth:]))
        return FOLDER if parts[-1] == METADATA and "/".join(parts[:-1]) in self._folders else None

    def _keys(self, prefix: str) -> Iterator[str]:
        for folder in sorted(self._folders):
            key = f"{folder}/{METADATA}" if folder else METADATA
            if key.startswith(prefix):
                yield key
        for mount in self._mounts:
            path = _folder(mount)
            if path.startswith(prefix) or prefix.startswith(path):
                yield from (path + key for key in self._manifest(mount) if (path + key).startswith(prefix))

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = _folder(prefix)
        if start.rstrip("/") not in self._folders:
            async for child in super().list_dir(prefix):
                yield child
            return
        # a folder of groups: no need to read their manifests
        names = {mount[len(start) :].split("/")[0] for mount in self._mounts if mount.startswith(start)}
        for child in sorted({METADATA, *names}):
            yield child

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    async def set(self, key: str, value: Buffer) -> None:
        raise PermissionError("a stored group never changes; write a new one")

    async def delete(self, key: str) -> None:
        raise PermissionError("a stored group never changes; write a new one")


class NewGroup(_EntryStore):
    """A Zarr store that takes in a group: change it as often as you like, then `seal` it and keep the name.

    Values go into the object store as they are set, and are garbage there unless the group is sealed and a commit
    names it. Give Zarr `compressors=None`: the object store compresses.
    """

    def __init__(self, objects: ObjectStore, entries: Entries | None = None, read_only: bool = False) -> None:
        super().__init__(objects, read_only)
        self._entries: Entries = {} if entries is None else entries

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NewGroup):
            return False
        return (self._entries, self.read_only) == (other._entries, other.read_only) and (
            self._objects.root == other._objects.root
        )

    def with_read_only(self, read_only: bool = False) -> NewGroup:
        """The same group, which others may go on changing, to be read only."""
        return NewGroup(self._objects, self._entries, read_only)

    def seal(self) -> str:
        """Store the manifest; returns the group's name, which is that from `write_group` for the same arrays.

        Raises InputError for what is not a flat group of arrays of numbers without compressors.
        """
        about = canonical_json(self._document(METADATA))
        if not about.endswith(b'"node_type":"group","zarr_format":3}'):
            raise InputError("this is not a Zarr v3 group yet")
        sealed = {METADATA: write_value(self._objects, about)}
        left = set(self._entries) - {METADATA}
        for key in sorted(left):
            name, _, last = key.rpartition("/")
            if last == METADATA:
                layout = self._layout(name)
                sealed[key] = write_value(self._objects, layout.document())
                chunks = {f"{name}/{chunk}" for chunk, _, _ in layout.parts(layout.box(()))} & left
                sealed |= {chunk: self._entries[chunk] for chunk in chunks if not self._is_zero(chunk)}
                left -= {key, *chunks}
        if left:
            raise InputError(f"{min(left)} is no part of an array in this group")
        return write_manifest(self._objects, sealed)

    def _document(self, key: str) -> Any:
        if key not in self._entries:
            raise InputError("this is not a Zarr v3 group yet")
        return parse_json(read_value(self._objects, self._entries[key]))

    def _layout(self, name: str) -> Layout:
        check_name(name)
        try:
            return Layout.parse(self._document(f"{name}/{METADATA}"))
        except ValueError as error:
            raise InputError(
                f"{name} cannot be stored ({error}); create it with compressors=None, filters=None, fill_value=0"
            ) from error

    def _is_zero(self, key: str) -> bool:
        """Whether a chunk holds nothing but zeros, and so has no entry."""
        entry = self._entries[key]
        if "object" in entry:
            return entry["object"] == hash_bytes(bytes(entry["size"]))
        return not any(read_value(self._objects, entry))

    def _find(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def _keys(self, prefix: str) -> Iterator[str]:
        return (key for key in list(self._entries) if key.startswith(prefix))

    @property
    def supports_writes(self) -> bool:
        return True

    @property
    def supports_deletes(self) -> bool:
        return True

    def set_sync(self, key: str, value: Buffer) -> None:
        """Store a value under a key, in place of the one before."""
        self._check_writable()
        self._entries[key] = write_value(self._objects, value.to_bytes(), self._itemsize(key))

    def delete_sync(self, key: str) -> None:
        """Take a key out, if it is there."""
        self._check_writable()
        self._entries.pop(key, None)

    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.to_thread(self.set_sync, key, value)

    async def delete(self, key: str) -> None:
        self.delete_sync(key)

    def _itemsize(self, key: str) -> int:
        """Bytes of one number in a chunk, as far as the array is described already."""
        array = key.split("/")[0]
        try:
            return 1 if key.endswith(METADATA) else self._layout(array).dtype.itemsize
        except InputError:
            return 1
