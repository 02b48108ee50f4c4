"""Manifests of groups of arrays: canonical JSON that maps every Zarr key to an object, or to the bytes themselves.

The name of a manifest in the object store is the name of its group.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from mpop_store.errors import DamagedObjectError, TooLargeError
from mpop_store.hashing import canonical_json, parse_json
from mpop_store.objects.loose import NAME

if TYPE_CHECKING:
    from mpop_store.objects.store import ObjectStore

FORMAT = "mpop-group/1"
INLINE_BELOW = 4096
MAX_MANIFEST = 2**26
"""Bytes of a manifest that are read: it names half a million chunks."""
MAX_JSON = 2**28
"""Bytes of a metadata document, with its attributes, that are read."""
METADATA = "zarr.json"
"""Last part of the key of every metadata document."""

Entry = dict[str, Any]
"""{"object": name, "size": bytes} or {"inline": base64}."""
Entries = dict[str, Entry]
"""Zarr key -> where its value is."""


def write_value(objects: ObjectStore, content: bytes | memoryview, itemsize: int = 1) -> Entry:
    """Store the value of a key, in an object or, where it is small, in what will be the manifest."""
    if len(content) < INLINE_BELOW:
        return {"inline": base64.b64encode(content).decode()}
    return {"object": objects.put(content, itemsize), "size": len(content)}


def write_manifest(objects: ObjectStore, entries: Entries) -> str:
    """Store the manifest of a group; returns its name, which is the group's."""
    return objects.put(canonical_json({"format": FORMAT, "entries": entries}))


def read_manifest(objects: ObjectStore, name: str) -> Entries:
    """Zarr key -> {"object", "size"} or {"inline"}. Raises DamagedObjectError when it is no manifest."""
    try:
        manifest = parse_json(objects.get(name, MAX_MANIFEST))
    except (ValueError, TooLargeError):
        manifest = None
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != FORMAT
        or not _are_entries(manifest.get("entries"))
    ):
        raise DamagedObjectError(f"object {name} is not a group of arrays that this mpop can read")
    return manifest["entries"]


def _are_entries(entries: Any) -> bool:
    return isinstance(entries, dict) and all(map(_is_entry, entries.values()))


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    if isinstance(entry.get("inline"), str):
        return True
    name = entry.get("object")
    return isinstance(name, str) and NAME.fullmatch(name) is not None and type(entry.get("size")) is int


def group_objects(objects: ObjectStore, name: str) -> list[str]:
    """Names of all objects that a group consists of, its manifest first."""
    entries = read_manifest(objects, name).values()
    return [name, *(entry["object"] for entry in entries if "object" in entry)]


def read_value(objects: ObjectStore, entry: Entry) -> bytes:
    """The value of a key. Raises MissingObjectError or DamagedObjectError."""
    try:
        if "inline" in entry:
            return base64.b64decode(entry["inline"], validate=True)
        content = objects.get(entry["object"], max(0, entry["size"]))
    except (binascii.Error, TooLargeError) as error:
        raise DamagedObjectError(f"a group is damaged: {error}") from error
    if len(content) != entry["size"]:
        raise DamagedObjectError(f"a group is damaged: object {entry['object']} is not as long as it should be")
    return content


def read_document(objects: ObjectStore, name: str, entries: Entries, key: str) -> dict[str, Any]:
    """A metadata document of the group of that name. Raises MissingObjectError or DamagedObjectError."""
    try:
        entry = entries[key]
        document = None if entry.get("size", 0) > MAX_JSON else parse_json(read_value(objects, entry))
    except (KeyError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise DamagedObjectError(f"group {name} is damaged: its {key} does not describe anything")
    return document
