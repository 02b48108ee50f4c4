"""Taking in objects from another store: each is checked before it counts, many become packs."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from mpop_store.errors import StoreError
from mpop_store.objects.encoding import decode
from mpop_store.objects.pack_stream import PackStream
from mpop_store.objects.store import ObjectStore

FEW_BYTES = 4 * 2**20
"""Up to so many bytes objects become loose ones, so that a small transfer does not leave a small pack."""


class Receiver:
    """Objects that arrive. After the block, however it ends, all that were added are durable and in the store, so
    that a transfer that broke off goes on where it was; a pack that is full counts before that.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._few: dict[str, bytes] = {}
        self._few_bytes = 0
        self._packs = PackStream(store.packed.folder)
        self._names: set[str] = set()
        self.bytes = 0
        """Bytes of the files that were new."""

    @property
    def objects(self) -> int:
        """How many were new."""
        return len(self._names)

    def __enter__(self) -> Self:
        return self

    def add(self, name: str, blob: bytes) -> None:
        """Take the file of an object in. Raises DamagedObjectError if it is not the object of that name."""
        if name in self._names or self._store.freshen(name):
            return
        decode(blob, name)
        try:
            if self._few_bytes <= FEW_BYTES:
                self._few[name] = blob
                self._few_bytes += len(blob)
                if self._few_bytes > FEW_BYTES:
                    self._begin_packs()
            else:
                self._packs.add(name, blob)
        except OSError as error:
            raise self._failed(error) from error
        self._names.add(name)
        self.bytes += len(blob)

    def _begin_packs(self) -> None:
        for name, blob in self._few.items():
            self._packs.add(name, blob)
        self._few.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._packs.finish()
            for name, blob in self._few.items():
                self._store.put_file(name, blob)
            self._store.sync()
        except (OSError, StoreError) as failure:
            if error is None:
                raise self._failed(failure) from failure
        finally:
            self._packs.abandon()

    def _failed(self, error: OSError | StoreError) -> StoreError:
        if isinstance(error, StoreError):
            return error
        return StoreError(f"cannot write to the store at {self._store.root}: {error.strerror or error}")
