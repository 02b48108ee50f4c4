"""`mpop merge`: join two histories, and decide what both sides changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.words import angstrom, counted, counted_items
from mpop_store.errors import InputError

if TYPE_CHECKING:
    from mpop.merging import Conflict, MergeResult, Numbers
    from mpop.merging.three_way import Side

UNDECIDED = 4
"""Exit code when conflicts wait for a decision."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(merge)


def merge(
    revision: Annotated[str | None, typer.Argument(help="Branch or commit to merge.")] = None,
    resolve: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND/NAME=WAY", help="Decide a conflict: ours, theirs, better, both or pool."),
    ] = None,
    ours: Annotated[bool, typer.Option("--ours", help="Our side wins all other conflicts.")] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="Their side wins all other conflicts.")] = False,
    message: Annotated[str | None, typer.Option("-m", "--message", help="Message of the commit.")] = None,
    no_ff: Annotated[bool, typer.Option("--no-ff", help="Make a commit even if none is needed.")] = False,
    allow_unrelated: Annotated[
        bool, typer.Option("--allow-unrelated", help="Merge populations without a common commit.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    go_on: Annotated[bool, typer.Option("--continue", help="Commit the merge that waits.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Drop the merge that waits.")] = False,
    json: JsonOption = False,
) -> None:
    """Merge another branch or commit into this branch; exit code 4 while conflicts are undecided."""
    from mpop import merging
    from mpop.merging.resolving import parse_resolution

    context.options.json |= json
    if ours and theirs:
        raise InputError("--ours and --theirs cannot both win")
    if sum((revision is not None, go_on, abort)) > 1:
        raise InputError("give a revision to merge, or --continue, or --abort")
    here = context.population()
    if abort:
        merging.abort(here)
        emit("merge", {"status": "aborted"}, "The merge was dropped; nothing has changed")
        return
    resolutions = dict(parse_resolution(text) for text in resolve or ())
    if revision is None:
        result = merging.resolve(here, resolutions, preview=not go_on)
        if go_on:
            with context.run() as run:
                result = merging.continue_merge(here, run)
    else:
        default: Side | None = "ours" if ours else "theirs" if theirs else None
        with context.run() as run:
            result = merging.merge(
                here,
                revision,
                resolutions,
                default=default,
                message=message,
                no_ff=no_ff,
                unrelated=allow_unrelated,
                dry_run=dry_run,
                run=run,
            )
    emit("merge", result.summary(), "\n".join(merge_lines(result)))
    if result.status == "conflicts":
        raise typer.Exit(UNDECIDED)


def merge_lines(result: MergeResult) -> list[str]:
    """A merge in words."""
    plan = result.plan
    if result.status == "up to date":
        return ["already up to date"]
    lines = [f"note: {note}" for note in plan.notes]
    lines += _incoming_lines(plan.summary()["incoming"])
    for label, how in result.resolved.items():
        lines.append(f"resolved: {label}: {how}")
    for conflict in result.unresolved:
        lines += conflict_lines(conflict)
    for due in result.due:
        lines.append(f"refinement is due: {due.in_words}")
    return [*lines, _last_line(result)]


def _last_line(result: MergeResult) -> str:
    match result.status:
        case "fast-forward":
            return f"fast-forward to {str(result.commit)[:10]}"
        case "merged":
            return f"merged in commit {str(result.commit)[:10]}"
        case "planned":
            return _planned_line(result)
    if result.unresolved:
        return (
            f"{counted(len(result.unresolved), 'conflict')} to decide: `mpop merge --resolve KIND/NAME=WAY`, then "
            "`mpop merge --continue`; or `mpop merge --abort`"
        )
    return "nothing is left to decide: `mpop merge --continue`"


def _planned_line(result: MergeResult) -> str:
    relation = result.plan.relation
    if relation in ("up to date", "fast-forward"):
        return "already up to date" if relation == "up to date" else "the branch would simply move: fast-forward"
    left = len(result.unresolved)
    return f"{counted(left, 'conflict')} would be left to decide" if left else "would merge without open conflicts"


def _incoming_lines(incoming: dict[str, dict[str, list[str]]]) -> list[str]:
    lines = []
    for how, kinds in incoming.items():
        for kind, names in kinds.items():
            if kind != "job":
                shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
                lines.append(f"  {how:8} {kind:12} {shown}")
    return lines


def conflict_lines(conflict: Conflict) -> list[str]:
    """A conflict with the numbers to decide by."""
    lines = [f"conflict: {conflict.label}: {conflict.reason}"]
    sides: tuple[tuple[str, Numbers | None], ...] = (
        ("base", conflict.base),
        ("ours", conflict.ours),
        ("theirs", conflict.theirs),
    )
    lines += [f"    {side:8} {_numbers_line(numbers)}" for side, numbers in sides if numbers is not None]
    better = conflict.better
    lines.append(
        f"    better   {better.side}: {better.by}" if better.side else f"    better   unknown: {better.by}"
    )
    pool = conflict.pool
    if pool is not None and not pool.possible:
        lines.append(f"    pool     not possible: {pool.reason}")
    elif pool is not None:
        gain = f"{angstrom(pool.pooled_A)} from {pool.particles} particles; " if pool.fsc else ""
        lines.append(f"    pool     {gain}{pool.reason}")
    lines.append(f"    ways     {', '.join(conflict.ways)}")
    return lines


def _numbers_line(numbers: Numbers) -> str:
    if numbers.version is None:
        return "removed"
    words: list[Any] = [f"version {numbers.version[:8]}"]
    if numbers.resolution_A is not None:
        words.append(angstrom(numbers.resolution_A))
    if numbers.score is not None:
        words.append(f"score {numbers.score:.4g}")
    if numbers.against_A:
        words.append("against " + ", ".join(f"{name} {angstrom(a)}" for name, a in numbers.against_A.items()))
    if numbers.particles is not None:
        words.append(f"{numbers.particles} particles")
    if numbers.series is not None:
        made = f"from {counted_items(numbers.series, numbers.types)}" if numbers.series else "as imported"
        words.append(f"half-maps {made}")
    if numbers.parent is not None:
        words.append(f"parent {numbers.parent[:8]}")
    if numbers.who is not None:
        words.append(f"by {numbers.who}, {str(numbers.when)[:16].replace('T', ' ')}")
    return ", ".join(words)
