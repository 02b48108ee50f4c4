"""Groups: named arrays and attributes as a Zarr v3 hierarchy of objects.

A group is written in one go and never changes; its name is that of its manifest (`mpop_store.arrays.manifests`).
Content is hashed first, and compressed only if the store does not have it. Zarr itself is not needed here;
`mpop_store.arrays.zarr_store` shows it a group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpop_store.arrays.layout import Layout, Place, check_name
from mpop_store.arrays.manifests import (
    METADATA,
    Entries,
    group_objects,
    read_document,
    read_manifest,
    read_value,
    write_manifest,
    write_value,
)
from mpop_store.errors import DamagedObjectError, NotFoundError
from mpop_store.hashing import canonical_json
from mpop_store.objects.store import ObjectStore
from mpop_store.threads import allowed

if TYPE_CHECKING:
    import zarr

__all__ = ["group_objects", "open_group", "read_array", "read_group", "read_manifest", "write_group"]

THREADS = 4
"""At most so many chunks are packed or unpacked at a time: more than a disk can follow."""
MANY_BYTES = 8 * 2**20
"""From here on it is worth starting threads."""

Job = TypeVar("Job")


def write_group(
    objects: ObjectStore,
    arrays: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any] | None = None,
) -> str:
    """Store arrays under names, and JSON attributes; the name of the group depends on nothing else.

    Raises InputError for what is neither numbers nor JSON, and StoreError.
    """
    about = {"attributes": dict(attributes or {}), "node_type": "group", "zarr_format": 3}
    documents = {METADATA: canonical_json(about)}
    chunks: list[_NewChunk] = []
    for name in sorted(arrays):
        check_name(name)
        array = np.asarray(arrays[name])
        layout = Layout.of(array.shape, array.dtype)
        documents[f"{name}/{METADATA}"] = layout.document()
        for key, there, inside in layout.parts(layout.box(())):
            chunks.append(_NewChunk(f"{name}/{key}", array[(*there, ...)], layout, inside))
    entries = {key: write_value(objects, document) for key, document in documents.items()}

    def write(share: Sequence[_NewChunk]) -> None:
        buffers: dict[Layout, NDArray[Any]] = {}
        for chunk in share:
            content = chunk.content(buffers)
            if content.any():
                entries[chunk.key] = write_value(objects, content.data, chunk.layout.dtype.itemsize)

    _share_out(write, chunks, sum(chunk.part.nbytes for chunk in chunks))
    return write_manifest(objects, entries)


@dataclass(frozen=True)
class _NewChunk:
    """The numbers that fall into a chunk, and their place in it."""

    key: str
    part: NDArray[Any]
    layout: Layout
    inside: Place

    def content(self, buffers: dict[Layout, NDArray[Any]]) -> NDArray[np.uint8]:
        """The bytes of the chunk; valid until the next call with the same buffers."""
        part, layout = self.part, self.layout
        if part.shape != layout.chunks or part.dtype != layout.dtype or not part.flags.c_contiguous:
            if layout not in buffers:  # fresh memory for each chunk would cost more than the copy
                buffers[layout] = np.empty(layout.chunks, layout.dtype)
            if part.shape != layout.chunks:
                buffers[layout][...] = 0
            buffers[layout][self.inside] = part
            part = buffers[layout]
        return part.reshape(-1).view(np.uint8)


def read_group(objects: ObjectStore, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """All arrays of a group in memory, and its attributes. Raises MissingObjectError or DamagedObjectError."""
    entries = read_manifest(objects, name)
    objects.prefetch(entry["object"] for entry in entries.values() if "object" in entry)
    attributes = read_document(objects, name, entries, METADATA).get("attributes", {})
    names = [key.removesuffix(f"/{METADATA}") for key in entries if key.endswith(f"/{METADATA}")]
    return {array: _read(objects, name, entries, array, ()) for array in names}, attributes


def read_array(objects: ObjectStore, name: str, array: str, box: Sequence[slice] = ()) -> NDArray[Any]:
    """One array of a group, or the box that slices of step 1 cut out of it; only its chunks are read.

    Raises NotFoundError, MissingObjectError or DamagedObjectError.
    """
    return _read(objects, name, read_manifest(objects, name), array, box)


def _read(objects: ObjectStore, name: str, entries: Entries, array: str, box: Sequence[slice]) -> NDArray[Any]:
    layout = _layout(objects, name, entries, array)
    place = layout.box(box)
    found = np.zeros([part.stop - part.start for part in place], layout.dtype.newbyteorder("="))
    parts = [part for part in layout.parts(place) if f"{array}/{part[0]}" in entries]
    objects.prefetch(entry["object"] for key, *_ in parts if "object" in (entry := entries[f"{array}/{key}"]))

    def read(share: Sequence[tuple[str, Place, Place]]) -> None:
        for key, there, inside in share:
            entry = entries[f"{array}/{key}"]
            whole = entry.get("size", layout.chunk_bytes) == layout.chunk_bytes  # looked at before memory is taken
            content = read_value(objects, entry) if whole else b""
            if len(content) != layout.chunk_bytes:
                raise DamagedObjectError(
                    f"group {name} is damaged: a chunk of its array {array} has the wrong size"
                )
            found[there] = np.frombuffer(content, layout.dtype).reshape(layout.chunks)[inside]

    _share_out(read, parts, layout.chunk_bytes * len(parts))
    return found


def _layout(objects: ObjectStore, name: str, entries: Entries, array: str) -> Layout:
    if f"{array}/{METADATA}" not in entries:
        raise NotFoundError(f"group {name} has no array {array}")
    try:
        return Layout.parse(read_document(objects, name, entries, f"{array}/{METADATA}"))
    except ValueError as error:
        raise DamagedObjectError(
            f"group {name}: its array {array} is not one that this mpop can read: {error}"
        ) from error


def _share_out(work: Callable[[Sequence[Job]], None], jobs: Sequence[Job], nbytes: int) -> None:
    """Do jobs, in threads if they are about many bytes; hashing and packing do not hold the interpreter's lock."""
    threads = min(THREADS, allowed(), len(jobs)) if nbytes >= MANY_BYTES else 1
    if threads <= 1:
        work(jobs)
        return
    from concurrent.futures import ThreadPoolExecutor  # takes longer to import than small jobs to do

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [jobs[start::threads] for start in range(threads)]))


def open_group(objects: ObjectStore, name: str) -> zarr.Group:
    """The group as Zarr sees it, read-only and lazy: only the chunks that are asked for are fetched."""
    from mpop_store.arrays.zarr_store import open_groups  # loads Zarr

    return open_groups(objects, {"": name})
