"""The text of `mpop diff`: a `Difference` in lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from mpop.cli.job_text import job_line
from mpop.words import ITEMS, angstrom

if TYPE_CHECKING:
    from mpop.comparison import Difference, ParticleChange, Quantity
    from mpop.comparison.changes import (
        ItemDifference,
        JobDifference,
        Settings,
        SourceDifference,
        SpeciesDifference,
    )

IN_DETAIL = 8
"""So many tilt series or stacks are shown one by one; more of them are shown together."""


def difference_lines(found: Difference, before: str, after: str) -> list[str]:
    """before, after: how the two states were asked for."""
    if found.is_none:
        return [f"nothing differs between {before} and {after}"]
    lines = [f"{before} ({found.before[:10]}) -> {after}" + (f" ({found.after[:10]})" if found.after else "")]
    lines += [f"population: {line}" for line in _settings(found.settings)]
    for one in found.species:
        lines += _species(one)
    lines += _items(found.items)
    for source in found.sources:
        lines += _source(source)
    for job in found.jobs[:IN_DETAIL]:
        lines += _job(job)
    if len(found.jobs) > IN_DETAIL:
        lines.append(f"and {len(found.jobs) - IN_DETAIL} more jobs; `mpop log` lists them")
    lines += _missing(found.missing)
    return lines


def _species(one: SpeciesDifference) -> Iterator[str]:
    if one.kind == "changed":
        yield f"species {one.name}: {angstrom(one.resolution_before_A)} -> {angstrom(one.resolution_after_A)}"
        if one.maps_changed:
            yield "    new half-maps"
        elif not one.settings and one.particles.is_none:
            yield "    a new version with the same half-maps and particles"
    else:
        resolution = one.resolution_after_A if one.kind == "added" else one.resolution_before_A
        yield f"species {one.name}: {one.kind}, {angstrom(resolution)}"
    yield from (f"    {line}" for line in _settings(one.settings))
    change = one.particles
    if not change.is_none:
        yield f"    particles: {change.before} -> {change.after}: {particles_in_words(change)}"
    for series in one.series[:IN_DETAIL]:
        yield f"        {series.name}: {particles_in_words(series.particles)}"
    if len(one.series) > IN_DETAIL:
        yield f"        and {len(one.series) - IN_DETAIL} more"


def particles_in_words(change: ParticleChange) -> str:
    """`2 added, 4 moved by 3.10 A (at most 5.00 A) and turned by 1.20 deg (at most 2.00 deg)`."""
    parts = [
        f"{number} {word}" for number, word in ((change.added, "added"), (change.removed, "removed")) if number
    ]
    if change.moved and change.shift_A is not None and change.rotation_deg is not None:
        shift, turn = change.shift_A, change.rotation_deg
        parts.append(
            f"{change.moved} moved by {shift.median:.2f} A (at most {shift.largest:.2f} A) "
            f"and turned by {turn.median:.2f} deg (at most {turn.largest:.2f} deg)"
        )
    if change.changed_half:
        parts.append(f"{change.changed_half} changed their half-set")
    parts += [f"{count} with another {column}" for column, count in change.columns.items()]
    for word, columns in (("new", change.columns_added), ("gone", change.columns_removed)):
        if columns:
            parts.append(f"columns {word}: {few(columns, IN_DETAIL)}")
    if change.rewritten:
        parts.append(f"{change.rewritten} in place with other numbers (rounding or symmetry)")
    if change.reordered:
        parts.append("in another order")
    alone = "the record counts otherwise" if change.before != change.after else "none changed"
    return ", ".join(parts) or alone


def _items(items: list[ItemDifference]) -> Iterator[str]:
    for kind in ("added", "removed"):
        for noun, some in _by_noun(one for one in items if one.kind == kind):
            yield f"{noun} {kind}: {few([one.name for one in some], IN_DETAIL)}"
    for noun, changed in _by_noun(one for one in items if one.kind == "changed"):
        yield from _changed(noun, changed)


def _by_noun(items: Iterable[ItemDifference]) -> Iterator[tuple[str, list[ItemDifference]]]:
    """Items by what several of them are called."""
    groups: dict[str, list[ItemDifference]] = {}
    for one in items:
        groups.setdefault(ITEMS[one.type][1], []).append(one)
    yield from groups.items()


def _changed(noun: str, changed: list[ItemDifference]) -> Iterator[str]:
    """Items of one type whose records changed."""
    if len(changed) > IN_DETAIL:
        yield from _together(noun, changed)
        return
    for one in changed:
        yield f"{ITEMS[one.type][0]} {one.name}"
        yield from (f"    {quantity_in_words(quantity)}" for quantity in one.quantities)
        yield from (f"    {line}" for line in _settings(one.settings))
        if not one.model_changed and not one.settings:
            yield "    a new version of the same model"


def quantity_in_words(quantity: Quantity) -> str:
    """`image warp: RMS 2.5 A, at most 3.1 A`."""
    unit = f" {quantity.unit}".rstrip()
    return f"{quantity.name}: RMS {quantity.rms:.3g}{unit}, at most {quantity.largest:.3g}{unit}"


def _together(noun: str, items: list[ItemDifference]) -> Iterator[str]:
    """Many of them: the median of their RMS, and the one that changed most."""
    from statistics import median  # brings decimal and fractions along

    yield f"{noun}: {len(items)} changed: {few([one.name for one in items], IN_DETAIL)}"
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for one in items:
        for quantity in one.quantities:
            found.setdefault((quantity.name, quantity.unit), []).append((quantity.rms, one.name))
    for (name, unit), values in found.items():
        most, where = max(values)
        typical = median(rms for rms, _ in values)
        yield f"    {name}: RMS {typical:.3g} {unit} in the median series, at most {most:.3g} {unit} in {where}"
    others = sum(bool(one.settings) for one in items)
    if others:
        yield f"    single numbers changed in {others} of them; --item NAME or --json shows each"


def _source(one: SourceDifference) -> Iterator[str]:
    yield f"source {one.name}" + ("" if one.kind == "changed" else f": {one.kind}")
    for word, names in (("added", one.items_added), ("removed", one.items_removed)):
        if names:
            yield f"    {ITEMS[one.type][1]} {word}: {few(names, IN_DETAIL)}"
    yield from (f"    {line}" for line in _settings(one.settings))


def _job(one: JobDifference) -> Iterator[str]:
    if one.kind == "removed":
        yield f"job {one.id[:10]}: {one.verb}, removed"
        return
    yield job_line(one.id, one.verb, one.parameters, one.seed)
    for line in _settings(one.parameters_changed):
        yield f"    {line}, against the job before"
    if one.settings:
        yield f"    recorded again, otherwise in: {', '.join(one.settings)}"


def _settings(settings: Settings) -> Iterator[str]:
    for name, (before, after) in settings.items():
        yield f"{name}: {_value(before)} -> {_value(after)}"


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


def _missing(missing: list[str]) -> Iterator[str]:
    if missing:
        yield f"not compared, because the arrays are not here: {few(missing, IN_DETAIL)}"
        yield "    `mpop fetch` brings them"


def few(names: Iterable[str], most: int = 4) -> str:
    """The first of some names, and how many more there are."""
    names = list(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
