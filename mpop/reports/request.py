"""The verdict on a merge request as a page: what is offered, what its maps say, and what stands in the way."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from mpop.errors import InputError, MpopError
from mpop.formats.files import replacing
from mpop.merging.conflicts import Conflict, Numbers
from mpop.population import Population
from mpop.reports import species_plots
from mpop.requests.claims import OfferedSpecies, SeriesCount, read_maps
from mpop.requests.verdict import RequestCheck, SeriesCollisions
from mpop.words import counted

TONES = {
    "can be merged": "good",
    "merged already": "good",
    "can be merged after": "warn",
    "cannot be merged": "bad",
}
SIGNS = {"good": "✓", "warn": "!", "bad": "✕"}
EVENTS = {"open": "Opened", "update": "Updated", "merge": "Merged", "close": "Closed"}


@dataclass(frozen=True)
class Row:
    """One series of a species. widths are percent of the longest bar: all particles, those that collide."""

    series: SeriesCount
    collisions: int
    width: float
    colliding: float
    known_as: str


def write_page(path: Path, population: Population, check: RequestCheck) -> Path:
    """Write the page; returns its path."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")
    with replacing(path) as temporary:
        temporary.write_text(page(population, check), encoding="utf-8")
    return path


def page(population: Population, check: RequestCheck) -> str:
    """One self-contained page, without any request to elsewhere."""
    tone = TONES[check.verdict.answer]
    environment = Environment(loader=PackageLoader("mpop.reports", "."), autoescape=True, trim_blocks=True)
    return environment.get_template("request.html.j2").render(
        check=check,
        record=check.request,
        opened=moment(check.request.opening.time),
        tone=tone,
        sign=SIGNS[tone],
        numbers=_numbers(check),
        species=[_species(population, check, one) for one in check.species],
        incoming=_incoming(check),
        conflicts=[_conflict(one) for one in check.conflicts],
        events=[(EVENTS[one.kind], moment(one.time), one) for one in reversed(check.request.events)],
        matches=[*check.matching.mapped, *check.matching.renamed],
        angstrom=angstrom,
        checked=moment(datetime.datetime.now().astimezone().isoformat()),
        version=version("mpop"),
    )


def angstrom(value: float | None) -> str:
    """A resolution as people read it."""
    return "none" if value is None else f"{value:.2f}\u00a0Å"


def moment(text: str) -> str:
    """A time to the minute, with its zone."""
    time = datetime.datetime.fromisoformat(text)
    zone = time.strftime("%z")
    return f"{time:%Y-%m-%d %H:%M} {'UTC' if zone == '+0000' else zone}"


def _numbers(check: RequestCheck) -> list[dict[str, str]]:
    """The headline figures, each a value, a label and a tone."""
    rows: list[tuple[str, str, str]] = []
    for one in check.species:
        label = f"{one.name}: resolution from its half-maps"
        if one.how == "changed":
            label += f", {angstrom(one.before_A)} before"
        rows.append((angstrom(one.derived_A), label, "bad" if one.problems else ""))
        rows.append(
            (f"{one.particles:,}", f"particles of {one.name} in {len(one.series) + one.unchanged} series", "")
        )
    if check.collisions is None:
        rows.append(("?", "collisions, not looked for", "bad"))
    else:
        colliding = sum(one.count for one in check.collisions)
        rows.append((str(colliding), "collisions", "warn" if colliding else "good"))
    rows.append((str(len(check.conflicts)), "conflicts", "warn" if check.conflicts else "good"))
    broken = len(check.refusals) + len(check.matching.problems)
    rows.append(
        (str(broken) if broken else "all hold", "rules broken" if broken else "rules", "bad" if broken else "good")
    )
    return [{"value": value, "label": label, "tone": tone} for value, label, tone in rows]


def _species(population: Population, check: RequestCheck, one: OfferedSpecies) -> dict[str, Any]:
    """A species with its figures; without them where its maps cannot be read."""
    shown: dict[str, Any] = {"offered": one, "rows": _rows(check, one), "fsc": None, "slices": None}
    try:
        maps = read_maps(population, population.one_species(one.id, check.offered))
    except MpopError:
        return shown  # the problems of the species say so
    shown["fsc"] = species_plots.fsc_figure(one.name, maps, one.claimed_A, one.derived_A)
    shown["slices"] = species_plots.slices_figure(one.name, maps, one.pixel_size_A)
    return shown


def _rows(check: RequestCheck, one: OfferedSpecies) -> list[Row]:
    """The table of series, with bars on one scale."""
    names = {match.there: match.name for match in (*check.matching.mapped, *check.matching.renamed)}
    most = max((row.particles for row in one.series), default=0) or 1
    rows = []
    for row in one.series:
        hits = _of(check.collisions, one.name, row.item)
        rows.append(
            Row(
                row,
                hits,
                round(100 * row.particles / most, 1),
                round(100 * min(hits, row.particles) / most, 1),
                names.get(row.item, ""),
            )
        )
    return rows


def _of(collisions: list[SeriesCollisions] | None, species: str, item: str) -> int:
    return sum(one.count for one in collisions or () if (one.offered, one.item) == (species, item))


def _incoming(check: RequestCheck) -> list[tuple[str, str, list[str]]]:
    """How, what kind, and which, of what the merge brings."""
    return [
        (how, kind, names)
        for how, kinds in vars(check.incoming).items()
        for kind, names in kinds.items()
        if kind != "job"
    ]


def _conflict(conflict: Conflict) -> dict[str, Any]:
    """A conflict with its sides as a table."""
    sides = (("there", conflict.ours), ("offered", conflict.theirs))
    return {
        "label": conflict.label,
        "reason": conflict.reason,
        "ways": conflict.ways,
        "better": f"{conflict.better.side}: {conflict.better.by}" if conflict.better.side else conflict.better.by,
        "sides": [(name, _facts(numbers)) for name, numbers in sides],
    }


def _facts(numbers: Numbers) -> str:
    """What is known of one side of a conflict."""
    if numbers.version is None:
        return "removed"
    facts = [f"version {numbers.version[:8]}"]
    if numbers.resolution_A is not None:
        facts.append(angstrom(numbers.resolution_A))
    if numbers.score is not None:
        facts.append(f"score {numbers.score:.4g}")
    if numbers.particles is not None:
        facts.append(counted(numbers.particles, "particle"))
    if numbers.who is not None:
        facts.append(f"by {numbers.who}, {str(numbers.when)[:16].replace('T', ' ')}")
    return ", ".join(facts)
