"""`mpop init`, `status`, `commit`, `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.cli.differences import few

if TYPE_CHECKING:
    from mpop.population import Population

WORDS = {"A": "new", "M": "changed", "D": "removed"}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (init, status, commit, verify):
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
    return [f"  {word:8} {noun:12} {few(sorted(names), 8)}" for (word, noun), names in groups.items()]


def commit(
    message: Annotated[str, typer.Option("-m", "--message", help="What changed, and why.")],
    json: JsonOption = False,
) -> None:
    """Commit what `mpop status` shows."""
    context.options.json |= json
    made = context.population().commit(message)
    emit("commit", {"commit": made}, f"[{made[:10]}] {message.splitlines()[0] if message else ''}")


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
