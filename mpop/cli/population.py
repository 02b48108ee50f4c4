"""`mpop init`, `status`, `commit`, `log`, `show`, `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, angstrom, emit

if TYPE_CHECKING:
    from mpop.jobs.history import HistoryEntry
    from mpop.population import Population

WORDS = {"A": "new", "M": "changed", "D": "removed"}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (init, status, commit, log, show, verify):
        app.command()(command)


def init(
    directory: Annotated[Path, typer.Argument(help="Folder of the new population.")] = Path("."),
    name: Annotated[str | None, typer.Option(help="Its name; that of the folder if not given.")] = None,
    json: JsonOption = False,
) -> None:
    """Make an empty population."""
    from mpop.population import Population

    context.options.json |= json
    made = Population.init(context.relative(directory), name)
    emit("init", {"root": made.root, "name": made.name}, f"Initialised population {made.name} in {made.root}")


def status(json: JsonOption = False) -> None:
    """Say what the next commit would hold."""
    context.options.json |= json
    here = context.population()
    changes = here.repository.status()
    head = here.repository.head
    lines = [f"Population {here.name}, " + (f"at {head[:10]}" if head else "no commit yet")]
    lines += _change_lines(here, changes)
    lines += ["nothing to commit" if not changes else 'run `mpop commit -m "..."` to keep this']
    data = {"name": here.name, "head": head, "clean": not changes, "changes": [list(change) for change in changes]}
    emit("status", data, "\n".join(lines))


def _change_lines(here: Population, changes: list[tuple[str, str]]) -> list[str]:
    """Changes in words, one line for each kind of record."""
    groups: dict[tuple[str, str], list[str]] = {}
    for kind, path in changes:
        record = here.repository.read(path, "HEAD" if kind == "D" else None)
        noun = str(record.get("kind", "record")).replace("item", "tilt series")
        groups.setdefault((WORDS[kind], noun), []).append(str(record.get("name") or record.get("id", path)))
    return [f"  {word:8} {noun:12} {_few(sorted(names), 8)}" for (word, noun), names in groups.items()]


def commit(
    message: Annotated[str, typer.Option("-m", "--message", help="What changed, and why.")],
    json: JsonOption = False,
) -> None:
    """Commit what `mpop status` shows."""
    context.options.json |= json
    made = context.population().commit(message)
    emit("commit", {"commit": made}, f"[{made[:10]}] {message.splitlines()[0] if message else ''}")


def log(
    graph: Annotated[bool, typer.Option("--graph", help="Draw the graph and its edges.")] = False,
    limit: Annotated[int | None, typer.Option("-n", help="Show the newest N only.")] = None,
    start: Annotated[str, typer.Argument(help="Revision to start from.")] = "HEAD",
    json: JsonOption = False,
) -> None:
    """List commits, newest first."""
    from mpop.jobs.history import history

    context.options.json |= json
    entries = history(context.population(), start, limit)
    emit("log", {"commits": entries}, "\n".join(log_lines(entries, graph)) or "no commits yet")


def log_lines(entries: list[HistoryEntry], graph: bool) -> list[str]:
    """The text of `mpop log`."""
    lines: list[str] = []
    for entry in entries:
        node, bar = ("* ", "| " if entry.parents else "  ") if graph else ("", "")
        lines.append(f"{node}{entry.id[:10]} {entry.time[:16].replace('T', ' ')}  {entry.message.splitlines()[0]}")
        for change in entry.species:
            before = f"{angstrom(change.resolution_before_A)} -> " if entry.verb else ""
            lines.append(f"{bar}    {change.name}: {before}{angstrom(change.resolution_after_A)}")
            if graph and entry.verb:
                lines[-1] += f"  (from {change.from_items} tilt series)"
        if graph and entry.items:
            against = f" against {', '.join(entry.uses)}" if entry.uses else ""
            lines.append(f"{bar}    {_few(entry.items)}{against}")
        for failure in entry.job.failed if entry.job else ():
            lines.append(f"{bar}    failed: {failure.name}: {failure.reason}")
    return lines


def _few(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def show(
    revision: Annotated[str, typer.Argument(help="Commit to show.")] = "HEAD", json: JsonOption = False
) -> None:
    """Show one commit: the job, its parameters, and what it gave."""
    from mpop.jobs.history import describe

    context.options.json |= json
    here = context.population()
    entry = describe(here, here.repository.show(revision))
    emit("show", {"commit": entry}, "\n".join(_show_lines(entry)))


def _show_lines(entry: HistoryEntry) -> list[str]:
    lines = [f"commit {entry.id}", f"author {entry.author}", f"date   {entry.time}", ""]
    lines += [*(f"    {line}".rstrip() for line in entry.message.splitlines()), ""]
    for change in entry.species:
        was = f"{angstrom(change.resolution_before_A)} -> " if entry.verb else ""
        lines.append(
            f"species {change.name}: {was}{angstrom(change.resolution_after_A)}, {change.particles} particles, "
            f"version {change.version[:10]}"
        )
    if entry.items:
        lines.append(f"tilt series: {_few(entry.items, 8)}")
    if entry.uses:
        lines.append(f"refined against: {', '.join(entry.uses)}")
    if entry.job is not None:
        job = entry.job
        settings = ", ".join(f"{key}={value}" for key, value in job.parameters.items())
        lines += [f"job {job.id[:10]}: {job.verb} ({settings}; seed {job.seed})"]
        lines += [f"    {job.device}, {job.threads} threads, {job.wall_s:.0f} s, {job.peak_GiB:.1f} GiB"]
        if job.score_before is not None and job.score_after is not None:
            lines += [f"    score {job.score_before:.1f} -> {job.score_after:.1f}"]
        lines += [f"    failed: {failure.name}: {failure.reason}" for failure in job.failed]
        lines += [f"    warning: {warning}" for warning in job.warnings]
        lines += ["    " + ", ".join(f"{name} {number}" for name, number in sorted(job.software.items()))]
    return lines


def verify(json: JsonOption = False) -> None:
    """Re-hash every object and re-derive every version; exit code 5 when something is damaged."""
    from mpop.jobs.verify import verify as run_verify

    context.options.json |= json
    here = context.population()
    with context.progress_bars() as progress:
        report = run_verify(here, progress)
    lines: list[str] = []
    for problem in report.problems:
        lines.append(problem.message)
        lines += [f"    needed by {dependent}" for dependent in problem.dependents]
    checked = (
        f"{report.objects} objects ({report.bytes / 2**20:.1f} MiB), {report.git_files} Git objects, "
        f"{report.records} record versions in {report.commits} commits"
    )
    lines.append(f"verified: {checked}" if report.ok else f"{len(report.problems)} problems in {checked}")
    emit("verify", {"ok": report.ok, **vars(report)}, "\n".join(lines))
    if not report.ok:
        raise typer.Exit(5)
