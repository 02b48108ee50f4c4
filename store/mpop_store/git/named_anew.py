"""Which objects a commit needs that the one before did not: asked at every commit, so nothing heavy is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mpop_store.arrays.manifests import group_objects
from mpop_store.git.history import History
from mpop_store.references import References


def named_anew(history: History, records: Mapping[str, str | None], before: str | None) -> Iterator[str]:
    """Objects that records need and that the commit before did not need at the same path.

    records: path -> Git object, None for one that is removed. Raises MissingObjectError or DamagedObjectError when
    it cannot be known what a group consists of.
    """
    for path, oid in records.items():
        if oid is None or not path.endswith(".json"):
            continue
        new = history.references_of(history.load(oid))
        was = None if before is None else history.find(path, before)
        old = References() if was is None else history.references_of(history.load(was))
        for group in dict.fromkeys(new.groups):
            if group not in old.groups:
                yield from group_objects(history.objects, group)
        yield from (name for name in new.files if name not in old.files)
