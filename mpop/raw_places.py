"""Where raw files are on this machine, when they are not where the records say: moved data, a clone elsewhere.

A record names a raw file by the hash of its content; its path there is where somebody imported it. What is found
elsewhere is remembered by its hash in one file beside the population's objects, which no commit holds and no clone
gets: a move makes no new version of anything. The file may be deleted; then files that moved are gone again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mpop.errors import StateError
from mpop.formats.files import replacing
from mpop_store.durable import fsync
from mpop_store.hashing import parse_json


class RawPlaces:
    """Places of raw files by the hash of their content, read when first asked for. path: of the file with them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] | None = None

    def of(self, digest: str) -> Path | None:
        """Where the file with this content was found, if it was."""
        place = self._read().get(digest)
        return None if place is None else Path(place)

    def remember(self, places: Mapping[str, Path]) -> None:
        """Keep absolute paths by hash, all of them or, when interrupted, none. Raises OSError."""
        known = self._read() | {digest: str(path) for digest, path in places.items()}
        with replacing(self._path) as temporary:
            temporary.write_text(json.dumps(known, indent=0, sort_keys=True), encoding="utf-8")
            fsync(temporary)
        self._known = known

    def _read(self) -> dict[str, str]:
        if self._known is None:
            try:
                found = parse_json(self._path.read_bytes())
            except FileNotFoundError:
                found = {}
            except ValueError:
                found = None
            if not isinstance(found, dict) or not all(isinstance(place, str) for place in found.values()):
                raise StateError(f"{self._path}: damaged; delete it, and use `mpop source relocate` again")
            self._known = found
        return self._known
