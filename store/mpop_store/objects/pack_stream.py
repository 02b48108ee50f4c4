"""Writing as many packs as it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from mpop_store.objects.encoding import check_file
from mpop_store.objects.packed import read_range
from mpop_store.objects.packs import TARGET_SIZE, PackWriter, read_table


class PackStream:
    """Packs in one folder, written one after another; each counts once it is full.

    At the end of a block the last one is finished too, or dropped after an error.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: PackWriter | None = None
        self.finished: set[Path] = set()
        """The packs that count."""

    def add(self, name: str, blob: bytes) -> None:
        """Append the file of an object, which must have been checked. Raises OSError."""
        self._writer = self._writer or PackWriter(self._folder)
        self._writer.add(name, blob)
        if self._writer.size >= TARGET_SIZE:
            self.finish()

    def copy(self, pack: Path, chosen: Callable[[str], bool] = lambda name: True) -> None:
        """Append entries of a pack. Raises DamagedObjectError if one is damaged, or OSError."""
        for name, offset, length in read_table(pack).rows():
            if chosen(name):
                blob = read_range(pack, offset, length)
                check_file(blob, name)
                self.add(name, blob)

    def finish(self) -> None:
        """Make what was added so far count. Raises OSError."""
        if self._writer is not None:
            self.finished.add(self._writer.finish())
            self._writer = None

    def abandon(self) -> None:
        """Drop what does not count yet."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self.abandon()
