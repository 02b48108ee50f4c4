"""What was taken out of the images of each series, as a job's record and message tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from mpop.doubts import Doubt
from mpop.jobs.halfmaps import RebuiltSpecies
from mpop.records.models import ItemRecord, JobRecord
from mpop.series.dirt import Erased

MENTIONED = 0.001
"""A series of which less than this part was taken out is in the record and not in the message."""


def with_erased(
    series: Iterable[dict[str, Any]], items: Iterable[ItemRecord], rebuilt: Mapping[str, RebuiltSpecies]
) -> list[dict[str, Any]]:
    """The rows of a job's `series` with what was taken out of those whose images were read; those that have no row
    yet get one."""
    erased: dict[str, Erased] = {}
    for species in rebuilt.values():
        erased |= species.erased
    rows = {row["item"]: dict(row) for row in series}
    for item in items:
        found = erased.get(item.id)
        if found is not None:
            row = rows.setdefault(item.id, {"item": item.id, "name": item.name})
            pixels = max(found.pixels, 1)
            row["erased"] = {
                "hot_pixels": found.hot,
                "blank": round(found.blank / pixels, 5),
                "beads": round(found.beads / pixels, 5),
            }
            if found.outside:
                row["outside"] = found.outside
    return list(rows.values())


def erased_lines(job: JobRecord) -> list[str]:
    """For the message of a commit: particles outside of their images, and how much dirt there was, a line each."""
    lines = []
    if outside := sum(row.get("outside", 0) for row in job.series):
        worst = max(job.series, key=lambda row: row.get("outside", 0))
        lines = [
            f"particles outside of their image: {outside} images left out, {worst['outside']} in {worst['name']}"
        ]
    dirty = [row for row in job.series if _part(row) >= MENTIONED or row.get("erased", {}).get("hot_pixels")]
    if not dirty:
        return lines
    worst = max(dirty, key=_part)
    hot = sum(row["erased"]["hot_pixels"] for row in dirty)
    most = f"most in {worst['name']}, {100 * _part(worst):.1f} % of its area"
    return [*lines, f"dirt in {len(dirty)} series: {hot} hot pixels; {most}"]


def blank_tilts(items: Iterable[ItemRecord], rebuilt: Mapping[str, RebuiltSpecies]) -> list[Doubt]:
    """Of each series the tilts that were left out, as hardly anything in them was measured."""
    erased: dict[str, Erased] = {}
    for species in rebuilt.values():
        erased |= species.erased
    return [
        Doubt("blank-tilt", item.name, f"{_named(item, tilts)} blank", assumed="left out of maps and refinement")
        for item in items
        if item.id in erased and (tilts := erased[item.id].blank_tilts)
    ]


def _named(item: ItemRecord, tilts: Sequence[int]) -> str:
    names = [f"tilt {tilt + 1} ({PurePosixPath(item.raw[tilt].path).name})" for tilt in tilts]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _part(row: Mapping[str, Any]) -> float:
    erased = row.get("erased", {})
    return erased.get("blank", 0.0) + erased.get("beads", 0.0)
