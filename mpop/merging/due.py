"""After a merge: tilt series and stacks that were not refined against their species as they are now, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mpop.merging.parts import Parts
from mpop.merging.three_way import Side
from mpop.records.models import SourceType, SpeciesHead
from mpop.words import counted_items


@dataclass(frozen=True)
class Due:
    """A species against which items should be refined again: how many, of those that the merge touched.

    types: what they may be.
    """

    species: str
    series: int
    reason: str
    types: list[SourceType] = field(default_factory=list)

    @property
    def in_words(self) -> str:
        """`2 tilt series with ribosome: its half-maps were pooled, ...`."""
        return f"{counted_items(self.series, self.types)} with {self.species}: {self.reason}"


def refinement_due(
    parts: Parts, species: Iterable[SpeciesHead], pooled: set[str], item_sides: Mapping[str, Side]
) -> list[Due]:
    """What a refinement pass is due for. species: as merged; pooled: ids of those with new half-maps."""
    found, types = [], parts.three.source_types
    for head in sorted(species, key=lambda one: (one.name, one.id)):
        if head.id in pooled:
            reason = "its half-maps were pooled, and nothing was refined against them yet"
            found.append(Due(head.name, head.n_items, reason, types))
        elif (side := _maps_from(parts, head)) is not None:
            behind = _refined_elsewhere(parts, head, side, item_sides)
            if behind:
                reason = "their models come from one side, its half-maps from the other"
                found.append(Due(head.name, behind, reason, types))
    return found


def _maps_from(parts: Parts, head: SpeciesHead) -> Side | None:
    """The side that a species' half-maps come from; None when both have them."""
    ours, theirs = (snapshot.species(head.id) for snapshot in (parts.three.ours, parts.three.theirs))
    have = [one is not None and one.maps_object == head.maps_object for one in (ours, theirs)]
    return None if all(have) or not any(have) else "ours" if have[0] else "theirs"


def _refined_elsewhere(parts: Parts, head: SpeciesHead, side: Side, item_sides: Mapping[str, Side]) -> int:
    """Series that hold the species and were refined on the other side than its half-maps come from."""
    other: Side = "theirs" if side == "ours" else "ours"
    three, count = parts.three, 0
    for item in parts.refined[other]:
        record = three.of(other).item(item)
        taken = item_sides.get(item, other) == other
        if taken and record is not None and record.species_versions:
            count += any(item in one.part(head.id, item[:2]).particles for one in (three.ours, three.theirs))
    return count
