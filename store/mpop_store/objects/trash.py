"""Where garbage waits before it is deleted: moved aside, still found by whoever reads it, and put back then.

Each garbage collection makes a folder named by its time, with `objects` and `packs` in it as in the store.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

from mpop_store.machines import SILENCE_S
from mpop_store.objects.loose import LooseObjects
from mpop_store.objects.packed import PackedObjects

GENERATION = re.compile(r"[0-9]{12}")
"""Seconds since 1970."""


class Generation:
    """What one garbage collection moved aside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loose = LooseObjects(folder / "objects")
        self._packed = PackedObjects(folder / "packs", keep_index=False)

    @property
    def time(self) -> float:
        """When it was moved here, in seconds since 1970."""
        return float(self.folder.name)

    def move_object(self, path: Path, name: str) -> None:
        """Take a loose object in. Raises OSError."""
        target = self._loose.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)

    def move_pack(self, pack: Path) -> None:
        """Take a pack in. Raises OSError."""
        target = self._packed.folder / pack.name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(pack, target)

    def read(self, name: str) -> bytes | None:
        """The file of an object, None if it is not here."""
        blob = self._loose.read(name)
        return self._packed.read(name) if blob is None else blob

    def names(self) -> set[str]:
        """All objects here."""
        return {*self._loose.names(), *self._packed.names()}

    def size(self) -> int:
        """Bytes of everything here."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    def delete(self) -> None:
        """Remove it for ever. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)


class Trash:
    """All generations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, Generation] = {}

    def generations(self) -> list[Generation]:
        """What is here, oldest first."""
        try:
            names = sorted(name for name in os.listdir(self.folder) if GENERATION.fullmatch(name))
        except FileNotFoundError:
            names = []
        self._known = {name: self._known.get(name) or Generation(self.folder / name) for name in names}
        return list(self._known.values())

    def at(self, time: float) -> Generation:
        """The generation of a garbage collection that takes place at a time, in seconds since 1970."""
        return Generation(self.folder / f"{int(time):012d}")

    def redate(self, now: float) -> None:
        """Give what a clock that was wrong has put into the future a time that comes. Raises OSError."""
        for generation in self.generations():
            if generation.time > now + SILENCE_S:
                target = self.at(now).folder
                while target.exists():
                    target = target.with_name(f"{int(target.name) + 1:012d}")
                generation.folder.rename(target)

    def read(self, name: str) -> bytes | None:
        """The file of an object, None if it is not here."""
        for generation in reversed(self.generations()):
            if (blob := generation.read(name)) is not None:
                return blob
        return None
