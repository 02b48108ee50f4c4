"""Where damaged files go: out of the way of all readers, and kept, for somebody may still rescue something."""

from __future__ import annotations

import os
from pathlib import Path

from mpop_store.errors import DamagedObjectError, StoreError
from mpop_store.objects.encoding import decode
from mpop_store.objects.loose import LooseObjects
from mpop_store.objects.pack_stream import PackStream
from mpop_store.objects.packed import PackedObjects, read_range
from mpop_store.paths import inside


class Quarantine:
    """Damaged objects by name, and the whole packs that some of them were in."""

    def __init__(self, folder: Path, loose: LooseObjects, packed: PackedObjects) -> None:
        self.folder = folder
        self._loose = loose
        self._packed = packed

    def has(self, name: str) -> bool:
        """Whether a damaged copy of an object is here."""
        return inside(self.folder, name).exists()

    def take(self, name: str) -> bool:
        """Look again at the copy of an object that readers find first, and move it here if it is damaged.

        True when something has changed, so that it is worth reading again; False when nothing can be written.
        """
        try:
            if self._loose.has(name):
                return self._take_loose(name)
            pack = self._packed.find(name)
            if pack is None:
                return False
            if not self._packed.correct(pack):
                self.take_pack(pack)
            return True
        except FileNotFoundError:
            return True  # somebody else has moved it
        except (OSError, StoreError):
            return False

    def _take_loose(self, name: str) -> bool:
        try:
            blob = self._loose.read(name)
            if blob is None or decode(blob, name) is not None:
                return True  # another process has brought a sound one meanwhile
        except DamagedObjectError:
            self.folder.mkdir(exist_ok=True)
            os.replace(self._loose.path(name), inside(self.folder, name))
        return True

    def take_pack(self, pack: Path) -> None:
        """Copy what is sound in a pack to a new one, and move the pack here. Raises OSError or StoreError."""
        self.folder.mkdir(exist_ok=True)
        if pack not in self._rescue(pack):  # else only its table was damaged, and it has been written anew
            os.replace(pack, inside(self.folder, pack.name))
        self._packed.refresh()

    def _rescue(self, pack: Path) -> set[Path]:
        """Copy what is sound in a pack to a new one, and what is not to this folder; returns the new one."""
        with PackStream(self._packed.folder) as stream:
            for name, offset, length in self._packed.rows(pack):
                blob = read_range(pack, offset, length)
                try:
                    decode(blob, name)
                except DamagedObjectError:
                    inside(self.folder, name).write_bytes(blob)
                else:
                    stream.add(name, blob)
        return stream.finished
