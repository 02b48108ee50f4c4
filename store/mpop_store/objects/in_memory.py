"""A store to try things in: what is put stays in memory and gets its name; all else is read from a real store."""

from __future__ import annotations

from mpop_store.hashing import hash_bytes
from mpop_store.objects.encoding import MAX_CONTENT
from mpop_store.objects.store import ObjectStore


class InMemoryObjects(ObjectStore):
    """The objects of a store, and those put here, which nobody else sees and which are gone with it."""

    def __init__(self, under: ObjectStore) -> None:
        self.__dict__.update(vars(under))
        self._under = under
        self._here: dict[str, bytes] = {}

    def has(self, name: str) -> bool:
        """Whether an object is here or in the store below."""
        return name in self._here or self._under.has(name)

    def put(self, data: bytes | memoryview, itemsize: int = 1) -> str:
        """Keep content in memory and return its name; `itemsize` makes no difference, as nothing is compressed."""
        name = hash_bytes(data)
        self._here[name] = bytes(data)
        return name

    def get(self, name: str, at_most: int = MAX_CONTENT) -> bytes:
        """The content of an object. Raises as the store below does."""
        kept = self._here.get(name)
        return self._under.get(name, at_most) if kept is None else kept
