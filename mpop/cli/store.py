"""`mpop verify`, `mpop pack`, `mpop gc`: looking after the object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.errors import InputError
from mpop.words import counted

if TYPE_CHECKING:
    from mpop.jobs.verify import VerifyReport
    from mpop.population import Population


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (verify, pack, gc):
        app.command()(command)


def verify(
    quick: Annotated[bool, typer.Option("--quick", help="Read no object: existence and versions only.")] = False,
    sample: Annotated[str, typer.Option(metavar="PART", help="Read that part of the objects, as 5%.")] = "100%",
    seed: Annotated[int, typer.Option(help="Chooses the sample.")] = 0,
    repair: Annotated[bool, typer.Option("--repair", help="Fetch what is damaged from a remote.")] = False,
    signatures: Annotated[bool, typer.Option("--signatures", help="Every commit must be signed.")] = False,
    remote: Annotated[
        bool,
        typer.Option("--remote", help="Have the remotes read what they keep for us, in place of what is here."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Re-hash every object and re-derive every version; exit code 5 when something is damaged or lost.

    Damaged objects are moved to .git/mpop/quarantine. With --remote, what was dropped or left at remotes is read
    and hashed there, now, and their promise to keep it is renewed.
    """
    from mpop.jobs.verify import verify as run_verify

    context.options.json |= json
    part = 0.0 if quick else _part(sample)
    here = context.population()
    if remote:
        if quick or repair or signatures:
            raise InputError("--remote goes with --sample and --seed only")
        _verify_remotes(here, part, seed)
        return
    with context.run() as run:
        report = run_verify(here, run.progress, sample=part, seed=seed, repair=repair, signatures=signatures)
    emit("verify", {"ok": report.ok, **vars(report)}, "\n".join(_verify_lines(report)))
    if not report.ok:
        raise typer.Exit(5)


def _verify_remotes(here: Population, part: float, seed: int) -> None:
    from mpop.exchange.elsewhere import verify_elsewhere

    report = verify_elsewhere(here.repository, part, seed)
    lines = [
        f"object {name}, which {remote} should have, is not there, or not sound" for remote, name in report.gone
    ]
    lines += [f"could not be asked: {reason}" for reason in report.unreachable]
    lines.append(f"asked remotes for {counted(report.asked, 'object')}")
    if report.ok:
        lines[-1] += "; all are there, and sound" if report.asked else ""
    emit("verify.remote", {"ok": report.ok, **vars(report)}, "\n".join(lines))
    if not report.ok:
        raise typer.Exit(5)


def _part(text: str) -> float:
    """5% as 0.05."""
    try:
        if not text.endswith("%"):
            raise ValueError
        return float(text[:-1]) / 100
    except ValueError:
        raise InputError(f"a sample is given as in --sample 5%, not {text!r}") from None


def _verify_lines(report: VerifyReport) -> list[str]:
    lines: list[str] = []
    for problem in report.problems:
        lines.append(problem.message)
        lines += [f"    needed by {dependent}" for dependent in problem.dependents]
    lines += [f"repaired: {name}" for name in report.repaired]
    if report.elsewhere:
        lines.append(
            f"{counted(report.elsewhere, 'object')} not here, to be fetched from where they are when needed"
        )
    lines += report.notes
    if report.shallow:
        lines.append("the history was cut short; what leads to older versions was not followed")
    if report.read_objects < report.objects:
        lines.append(f"read {_share(report)} of the objects, {_MiB(report.read_bytes)}")
    checked = (
        f"{counted(report.objects, 'object')} ({_MiB(report.bytes)}), {counted(report.git_files, 'Git object')}, "
        f"{counted(report.records, 'record version')} in {counted(report.commits, 'commit')}"
    )
    return [*lines, f"verified: {checked}" if report.ok else f"{len(report.problems)} problems in {checked}"]


def _share(report: VerifyReport) -> str:
    return f"{100 * report.read_objects / report.objects:.1f} %"


def _MiB(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def pack(json: JsonOption = False) -> None:
    """Put loose objects into packs of about 64 MiB, and let Git pack its own."""
    from mpop_store.upkeep.packing import pack as run_pack

    context.options.json |= json
    report = run_pack(context.population().repository)
    lines = [
        f"packed {counted(report.objects, 'object')} ({_MiB(report.bytes)}), now {counted(report.packs, 'pack')}"
    ]
    if report.united:
        lines.append(f"made {report.united} small packs into larger ones")
    if not report.git:
        lines.append("git is not installed: its own objects were left as they are")
    for name in report.damaged:
        context.warn(f"object {name} is damaged and was left as it is; run `mpop verify`")
    emit("pack", report, "\n".join(lines))


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    empty_trash: Annotated[
        bool, typer.Option("--empty-trash", help="Delete everything in the trash now, for ever.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Move objects that nothing leads to any more to the trash, and delete what has been there for a week.

    Kept is what any branch, tag, request or the working state needs, what `mpop undo` can return to within 30
    days, and everything newer than the oldest job at work.
    """
    from mpop_store.upkeep.collection import collect

    context.options.json |= json
    report = collect(context.population().repository, dry_run=dry_run, empty_trash=empty_trash)
    would = "would move" if dry_run else "moved"
    lines = [f"{would} {counted(report.garbage_objects, 'object')} ({_MiB(report.garbage_bytes)}) to the trash"]
    if report.deleted_bytes:
        lines.append(f"{'would delete' if dry_run else 'deleted'} {_MiB(report.deleted_bytes)} from the trash")
    if report.trash_bytes:
        lines.append(f"{_MiB(report.trash_bytes)} wait in the trash")
    if report.recent_objects:
        lines.append(f"left {report.recent_objects} unneeded objects alone that are new or few in their pack")
    lines += [f"at work: {lease}" for lease in report.leases]
    lines.append(f"{counted(report.live_objects, 'object')} needed")
    emit("gc", {"dry_run": dry_run, **vars(report)}, "\n".join(lines))
