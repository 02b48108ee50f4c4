"""A content-addressed store of arrays, and records in Git that name them. Knows nothing of cryo-EM."""

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
from mpop_store.objects import ObjectStore

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
