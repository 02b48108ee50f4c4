"""`mpop collisions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.errors import InputError

if TYPE_CHECKING:
    from mpop.collisions.choices import Loser
    from mpop.collisions.report import CollisionReport
    from mpop.collisions.search import Collision, Partner

SHOWN = 10
"""Collisions listed per series in the text; --json lists all."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(collisions)


def collisions(
    species: Annotated[
        list[str] | None, typer.Argument(help="Search among these species only (name or id).")
    ] = None,
    items: Annotated[
        list[str] | None, typer.Option(help="Search this series only (name or id); may be given again.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Only collisions with particles that it does not hold.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Report pairs that share this part of the smaller body's volume.")
    ] = 0.05,
    policy: Annotated[
        str | None, typer.Option(help="Say which particles go: keep-better, drop-incoming or keep-both.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Take them out of the working state.")] = False,
    json: JsonOption = False,
) -> None:
    """Find particles that cannot share one place, of two species or of one."""
    from mpop.collisions.choices import Choice, losers
    from mpop.collisions.finding import find
    from mpop.collisions.removal import stage_removal

    context.options.json |= json
    if policy is not None and policy not in list(Choice):
        raise InputError(f"--policy {policy} is not known; use {', '.join(Choice)}")
    if apply and policy is None:
        raise InputError("--apply needs a --policy that says which particles go")
    if policy == Choice.DROP_INCOMING and since is None:
        raise InputError("--policy drop-incoming needs --since, to know which particles were there before")
    here = context.population()
    with context.run() as run:
        report = find(here, species or (), items or (), None, since, threshold, run.progress)
    gone = [] if policy is None else losers(report, Choice(policy))
    staged = stage_removal(here, gone) if apply and gone else []
    emit("collisions", _data(report, policy, gone, bool(staged)), "\n".join(_lines(report, policy, gone, staged)))


def _data(report: CollisionReport, policy: str | None, gone: list[Loser], staged: bool) -> dict[str, Any]:
    """Particle ids in hexadecimal: they are larger than the integers of JSON."""
    return {
        "threshold": report.threshold,
        "n_items": report.n_items,
        "n_particles": report.n_particles,
        "n_collisions": report.n_collisions,
        "species": list(report.species.values()),
        "pairs": report.pairs,
        "items": [
            {"item": one.item, "name": one.name, "collisions": [_collision(hit) for hit in one.collisions]}
            for one in report.items
        ],
        "policy": policy,
        "remove": [
            {**vars(loser), "particle": _hex(loser.particle), "winner": _hex(loser.winner)} for loser in gone
        ],
        "staged": staged,
    }


def _hex(particle: int) -> str:
    return f"{particle:016x}"


def _collision(hit: Collision) -> dict[str, Any]:
    partners = {
        key: {**vars(partner), "particle": _hex(partner.particle)}
        for key, partner in (("first", hit.first), ("second", hit.second))
    }
    return {**vars(hit), **partners}


def _lines(report: CollisionReport, policy: str | None, gone: list[Loser], staged: list[Any]) -> list[str]:
    if not report.n_items:
        return ["nothing to search: no tilt series here holds particles, and those of stacks share no image"]
    searched = f"{report.n_particles} particles in {report.n_items} tilt series"
    if not report.n_collisions:
        return [f"no collisions among {searched}"]
    lines = [f"{report.n_collisions} collisions among {searched}", ""]
    for pair in report.pairs:
        kinds = [f"{pair.overlaps} overlaps"] if pair.overlaps else []
        kinds += [f"{pair.duplicates} duplicates"] if pair.duplicates else []
        names = [report.species[identity].name for identity in dict.fromkeys((pair.first, pair.second))]
        lines.append(f"  {' and '.join(names):32} {', '.join(kinds)} in {pair.items} tilt series")
    for item in report.items:
        lines += ["", item.name, *(_row(report, hit) for hit in item.collisions[:SHOWN])]
        if len(item.collisions) > SHOWN:
            lines.append(f"  and {len(item.collisions) - SHOWN} more; --json lists all")
    return lines + _removal_lines(report, policy, gone, staged)


def _row(report: CollisionReport, hit: Collision) -> str:
    where = ", ".join(f"{x:.0f}" for x in hit.first.position_A)
    first, second = (_partner(report, partner) for partner in (hit.first, hit.second))
    turn = "" if hit.rotation_deg is None else f" and {hit.rotation_deg:.0f} degrees"
    apart = f"{hit.distance_A:.1f} A{turn} apart, {hit.overlap:.0%} shared"
    return f"  {hit.kind:9} {first} and {second}: {apart}, at {where} A"


def _partner(report: CollisionReport, partner: Partner) -> str:
    score = "" if partner.score is None else f" (score {partner.score:g})"
    return f"{report.species[partner.species].name} {_hex(partner.particle)[:8]}{score}"


def _removal_lines(report: CollisionReport, policy: str | None, gone: list[Loser], staged: list[Any]) -> list[str]:
    if policy is None:
        return ["", "`mpop collisions --policy keep-better` says which would go"]
    lines = ["", f"{policy}: {len(gone)} particles go" + ("" if staged or not gone else "; --apply removes them")]
    reasons: dict[tuple[str, str], int] = {}
    for loser in gone:
        key = (report.species[loser.species].name, loser.because)
        reasons[key] = reasons.get(key, 0) + 1
    lines += [f"  {count} of {name}: {because}" for (name, because), count in sorted(reasons.items())]
    if staged:
        options = " ".join(f"--species {one.name}" for one in sorted(staged, key=lambda one: one.name))
        lines += ["", "staged; `mpop commit` keeps it. The half-maps still hold these particles until"]
        lines += [f"`mpop reconstruct {options}` or `mpop refine` makes new ones."]
    return lines
