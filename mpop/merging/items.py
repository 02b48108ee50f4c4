"""Tilt series, sources and the population's own record, merged by field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mpop.merging.three_way import Side, side_taken, united, value_taken
from mpop.population import versioned
from mpop.records.models import ItemRecord, PopulationRecord, RawImage, SourceRecord

MODEL = ("model_object", "warp_xml_object", "tomostar_object", "species_versions", "job")
"""What belongs together in a tilt series: its model, and how that came to be."""

SOURCE_FIELDS = ("type", "pixel_size_A", "image_shape", "volume_dims_A")


@dataclass(frozen=True)
class ItemMerge:
    """A tilt series that both sides changed, each in its way. None: not there."""

    base: ItemRecord | None
    ours: ItemRecord | None
    theirs: ItemRecord | None

    @property
    def side(self) -> Side | None:
        """The side whose model is taken; None when that is for a person to say."""
        if self.ours is None or self.theirs is None:
            return None
        models = [one and one.model_object for one in (self.base, self.ours, self.theirs)]
        return side_taken(*models)

    @property
    def same_references(self) -> bool:
        """Whether both sides refined it against the same versions of the same species."""
        if self.ours is None or self.theirs is None:
            return False
        return self.ours.species_versions == self.theirs.species_versions

    def merged(self, side: Side) -> ItemRecord | None:
        """The record with the model of one side, the rest by field; a side's own record if that is the same."""
        if self.ours is None or self.theirs is None:
            return getattr(self, side)
        base, ours, theirs = self.base, self.ours, self.theirs
        model = ours if side == "ours" else theirs
        new = ours.model_copy(
            update={
                **{field: getattr(model, field) for field in MODEL},
                "name": value_taken(base and base.name, ours.name, theirs.name),
                "source": value_taken(base and base.source, ours.source, theirs.source),
                "raw": _raw(base, ours, theirs),
            }
        )
        for one in (ours, theirs):
            if _content(one) == _content(new):
                return one
        return versioned(new.model_copy(update={"parent": ours.version, "merged": [theirs.version]}))


def _content(item: ItemRecord) -> dict[str, object]:
    return item.model_dump(exclude={"parent", "merged", "version"})


def _raw(base: ItemRecord | None, ours: ItemRecord, theirs: ItemRecord) -> list[RawImage]:
    """Where the images are: our paths, unless only theirs changed; what either side stored stays stored."""
    if [one.hash for one in ours.raw] != [one.hash for one in theirs.raw]:
        return ours.raw
    was = {one.hash: one.path for one in base.raw} if base else {}
    return [
        here.model_copy(
            update={
                "path": value_taken(was.get(here.hash), here.path, there.path),
                "stored_object": here.stored_object or there.stored_object,
            }
        )
        for here, there in zip(ours.raw, theirs.raw, strict=True)
    ]


@dataclass(frozen=True)
class SourceMerge:
    """A source that both sides changed, each in its way. None: not there."""

    base: SourceRecord | None
    ours: SourceRecord | None
    theirs: SourceRecord | None

    def clashes(self) -> Iterator[str]:
        """Fields that both sides changed."""
        if self.ours is None or self.theirs is None:
            yield "removed on one side, changed on the other"
            return
        for field in SOURCE_FIELDS:
            values = [one and getattr(one, field) for one in (self.base, self.ours, self.theirs)]
            if side_taken(*values) is None:
                yield f"{field} {values[1]} and {values[2]}"

    def merged(self, side: Side) -> SourceRecord | None:
        """The record by field, `side` where both changed one; the items of both."""
        if self.ours is None or self.theirs is None:
            return getattr(self, side)
        update: dict[str, object] = {
            "name": value_taken(self.base and self.base.name, self.ours.name, self.theirs.name)
        }
        for field in SOURCE_FIELDS:
            values = [one and getattr(one, field) for one in (self.base, self.ours, self.theirs)]
            update[field] = values[1] if (side_taken(*values) or side) == "ours" else values[2]
        items = united(self.base.items if self.base else (), self.ours.items, self.theirs.items)
        return versioned(self.ours.model_copy(update={**update, "items": items}))


def merged_root(
    base: PopulationRecord | None, ours: PopulationRecord, theirs: PopulationRecord
) -> PopulationRecord:
    """The population's own record by field; our name where both gave it one."""
    name = value_taken(base.name if base else None, ours.name, theirs.name)
    return versioned(ours.model_copy(update={"name": name}))
