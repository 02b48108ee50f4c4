"""A content-addressed store of arrays, and records in Git that name them. Knows nothing of cryo-EM."""

from typing import TYPE_CHECKING, Any

from mpop_store.errors import (
    DamagedObjectError,
    InputError,
    MissingObjectError,
    MpopError,
    NotFoundError,
    StateError,
    StoreError,
)
from mpop_store.hashing import canonical_json, hash_bytes, hash_file, version_of

if TYPE_CHECKING:
    from mpop_store.objects.store import ObjectStore

__all__ = [
    "DamagedObjectError",
    "InputError",
    "MissingObjectError",
    "MpopError",
    "NotFoundError",
    "ObjectStore",
    "StateError",
    "StoreError",
    "canonical_json",
    "hash_bytes",
    "hash_file",
    "version_of",
]


def __getattr__(name: str) -> Any:
    """The object store is loaded when it is first used: many commands never do, and it needs NumPy."""
    if name == "ObjectStore":
        from mpop_store.objects.store import ObjectStore

        return ObjectStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
