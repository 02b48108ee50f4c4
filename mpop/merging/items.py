"""Tilt series, sources and the population's own record, merged by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from mpop.merging.three_way import PRESENCE, UNDECIDED, Side, is_left_open, side_taken, united
from mpop.population import versioned
from mpop.records.models import ItemRecord, PopulationRecord, RawImage, Record, SourceRecord
from mpop_hooks.record_types import LINEAGE
from mpop_hooks.schema import ITEM, SOURCE

MODEL = ITEM.content("name", "source", "raw")
"""What belongs together in a tilt series: its model, and how that came to be."""
DECIDED = ITEM.content("name", "source", "raw", "species_versions", "job")
"""What of it a person is asked about."""

SOURCE_FIELDS = SOURCE.content("name", "items")

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class RecordMerge(Generic[R]):
    """A record that both sides changed, each in its way. None: not there.

    open: the keys that are undecided in base, ours and theirs, which only a virtual base has; what the record says
    of them means nothing.
    """

    base: R | None
    ours: R | None
    theirs: R | None
    open: tuple[frozenset[str], frozenset[str], frozenset[str]] = (frozenset(), frozenset(), frozenset())

    def values(self, key: str, read: Callable[[R], Any] | None = None) -> list[Any]:
        """A key in base, ours and theirs. read: what it is in a record; the field of that name if not given."""
        return [
            UNDECIDED if key in keys else record and (getattr(record, key) if read is None else read(record))
            for record, keys in zip((self.base, self.ours, self.theirs), self.open, strict=True)
        ]

    @property
    def name_side(self) -> Side | None:
        """The side whose name is taken; None when both renamed it."""
        return side_taken(*self.values("name"))

    @property
    def is_presence_open(self) -> bool:
        """Whether it is undecided if there is such a record: one side removed it, the other changed it."""
        there = [
            UNDECIDED if PRESENCE in keys else record is not None
            for record, keys in zip((self.base, self.ours, self.theirs), self.open, strict=True)
        ]
        return (self.ours is None) != (self.theirs is None) or is_left_open(*there)


@dataclass(frozen=True)
class ItemMerge(RecordMerge[ItemRecord]):
    """A tilt series that both sides changed."""

    @property
    def side(self) -> Side | None:
        """The side whose model is taken; None when that is for a person to say.

        Where both made the same model in different ways, which it is must not depend on who merges.
        """
        if self.ours is None or self.theirs is None:
            return None
        side = side_taken(*self.values("model", lambda one: _fields(one, MODEL)))
        _, ours, theirs = self.values("model", lambda one: _fields(one, DECIDED))
        if side is None and ours == theirs:
            return "ours" if self.ours.version <= self.theirs.version else "theirs"
        return side

    @property
    def same_references(self) -> bool:
        """Whether both sides refined it against the same versions of the same species."""
        if self.ours is None or self.theirs is None:
            return False
        return self.ours.species_versions == self.theirs.species_versions

    def merged(self, side: Side) -> ItemRecord | None:
        """The record with the model of one side, the rest by field; a side's own record if that is the same."""
        ours, theirs = self.ours, self.theirs
        if ours is None or theirs is None:
            return ours if side == "ours" else theirs
        model = ours if side == "ours" else theirs
        new = ours.model_copy(
            update={
                **{field: getattr(model, field) for field in MODEL},
                "name": theirs.name if self.name_side == "theirs" else ours.name,
                "source": ours.source if self._side("source") == "ours" else theirs.source,
                "raw": self._raw(ours, theirs),
            }
        )
        for one in (ours, theirs):
            if _content(one) == _content(new):
                return one
        return versioned(new.model_copy(update={"parent": ours.version, "merged": [theirs.version]}))

    def _side(self, key: str, read: Callable[[ItemRecord], Any] | None = None) -> Side:
        return side_taken(*self.values(key, read)) or "ours"

    def _raw(self, ours: ItemRecord, theirs: ItemRecord) -> list[RawImage]:
        """Where the images are: our paths, unless only theirs changed; what either side stored stays stored."""
        if [one.hash for one in ours.raw] != [one.hash for one in theirs.raw]:
            return ours.raw if self._side("raw") == "ours" else theirs.raw
        return [
            replace(
                here,
                path=here.path if self._side(*_path_of(here)) == "ours" else there.path,
                stored_object=here.stored_object or there.stored_object,
            )
            for here, there in zip(ours.raw, theirs.raw, strict=True)
        ]

    def left_open(self) -> frozenset[str]:
        """The keys that the merge leaves undecided."""
        if self.ours is None or self.theirs is None:
            return frozenset({PRESENCE})
        found = {key for key in ("name", "source") if is_left_open(*self.values(key))}
        found |= {PRESENCE} if self.is_presence_open else set()
        model = is_left_open(*self.values("model", lambda one: _fields(one, MODEL)))
        found |= {"model"} if model and self.side is None else set()
        paths = map(_path_of, self.ours.raw)
        found |= {key for key, read in paths if is_left_open(*self.values(key, read))}
        return frozenset(found)


def _path_of(image: RawImage) -> tuple[str, Callable[[ItemRecord], str | None]]:
    """The key of a raw image's path, and what reads it from a record."""

    def read(item: ItemRecord) -> str | None:
        return next((one.path for one in item.raw if one.hash == image.hash), None)

    return f"raw {image.hash}", read


def _fields(record: Record, names: Iterable[str]) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in names)


def _content(item: ItemRecord) -> dict[str, object]:
    return item.model_dump(exclude=set(LINEAGE))


@dataclass(frozen=True)
class SourceMerge(RecordMerge[SourceRecord]):
    """A source that both sides changed."""

    def clashes(self) -> Iterator[str]:
        """Fields that both sides changed."""
        if self.ours is None or self.theirs is None:
            yield "removed on one side, changed on the other"
            return
        for field in SOURCE_FIELDS:
            if side_taken(*self.values(field)) is None:
                yield f"{field} {getattr(self.ours, field)} and {getattr(self.theirs, field)}"

    def merged(self, side: Side) -> SourceRecord | None:
        """The record by field, `side` where both changed one; the items of both."""
        if self.ours is None or self.theirs is None:
            return self.ours if side == "ours" else self.theirs
        taken = {field: side_taken(*self.values(field)) or side for field in SOURCE_FIELDS}
        taken["name"] = self.name_side or "ours"
        fields = {
            field: getattr(self.ours if one == "ours" else self.theirs, field) for field, one in taken.items()
        }
        items = united(self.base.items if self.base else (), self.ours.items, self.theirs.items)
        return versioned(self.ours.model_copy(update={**fields, "items": items}))

    def left_open(self) -> frozenset[str]:
        """The keys that the merge leaves undecided."""
        if self.ours is None or self.theirs is None:
            return frozenset({PRESENCE})
        found = {key for key in (*SOURCE_FIELDS, "name") if is_left_open(*self.values(key))}
        return frozenset(found | ({PRESENCE} if self.is_presence_open else set()))


@dataclass(frozen=True)
class RootMerge(RecordMerge[PopulationRecord]):
    """The population's own record, changed on both sides."""

    def merged(self) -> PopulationRecord:
        """The record by field; our name where both gave it one."""
        assert self.ours is not None
        assert self.theirs is not None
        name = self.theirs.name if self.name_side == "theirs" else self.ours.name
        return versioned(self.ours.model_copy(update={"name": name}))

    def left_open(self) -> frozenset[str]:
        """The keys that the merge leaves undecided."""
        return frozenset({"name"} if is_left_open(*self.values("name")) else ())
