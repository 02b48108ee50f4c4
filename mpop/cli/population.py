"""`mpop init`, `status`, `commit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.cli.differences import few
from mpop.words import counted
from mpop_store.errors import InputError

if TYPE_CHECKING:
    from mpop.population import Population

WORDS = {"A": "new", "M": "changed", "D": "removed"}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (init, status, commit):
        app.command()(command)


def init(
    directory: Annotated[Path, typer.Argument(help="Folder of the new population.")] = Path("."),
    name: Annotated[str | None, typer.Option(help="Its name; that of the folder if not given.")] = None,
    bare: Annotated[bool, typer.Option("--bare", help="Without a work tree: to push to and to clone.")] = False,
    json: JsonOption = False,
) -> None:
    """Make an empty population."""
    context.options.json |= json
    if bare:
        _init_bare(context.relative(directory), name)
        return
    from mpop.population import Population

    made = Population.init(context.relative(directory), name)
    emit("init", {"root": made.root, "name": made.name}, f"Initialised population {made.name} in {made.root}")


def _init_bare(directory: Path, name: str | None) -> None:
    """One that takes its name from what is pushed to it."""
    from mpop_store.git.repository import Repository

    if name is not None:
        raise InputError("--bare takes no --name; the population that is pushed to it brings its own")
    root = Repository.init(directory, bare=True).root
    emit("init", {"root": root, "name": None}, f"Initialised bare population in {root}; `mpop push` to it")


def status(json: JsonOption = False) -> None:
    """Say what the next commit would hold."""
    context.options.json |= json
    here = context.population()
    changes = here.repository.status()
    head = here.repository.head
    lines = [f"Population {here.name}, " + (f"at {head[:10]}" if head else "no commit yet")]
    merge = _waiting_merge(here)
    if merge is not None:
        what = counted(len(merge["conflicts"]), "conflict") if merge["conflicts"] else "no conflict"
        lines.append(f"A merge of {merge['revision']} is in progress, with {what}: `mpop merge` shows it")
    lines += _change_lines(here, changes)
    lines += ["nothing to commit" if not changes else 'run `mpop commit -m "..."` to keep this']
    data = {"name": here.name, "head": head, "clean": not changes, "changes": [list(change) for change in changes]}
    data["merge"] = merge
    emit("status", data, "\n".join(lines))


def _waiting_merge(here: Population) -> dict[str, Any] | None:
    """The merge that waits for decisions, if one does."""
    if not here.merging:
        return None
    from mpop.merging.state import waiting_merge

    state = waiting_merge(here)
    return None if state is None else {key: getattr(state, key) for key in ("revision", "theirs", "conflicts")}


def _change_lines(here: Population, changes: list[tuple[str, str]]) -> list[str]:
    """Changes in words, one line for each kind of record."""
    groups: dict[tuple[str, str], list[str]] = {}
    states = (None, "HEAD") if here.repository.head else (None,)
    stacks = {one for at in states for one, source in here.sources(at).items() if source.type == "particle-stack"}
    for kind, path in changes:
        record = here.repository.read(path, "HEAD" if kind == "D" else None)
        if record.get("kind") == "species-part":
            continue  # its species is listed: a head changes with its parts
        noun = str(record.get("kind", "record"))
        if noun == "item":
            noun = "stack" if record.get("source") in stacks else "tilt series"
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
