"""`mpop switch`, `checkout`, `branch`, `tag`, `restore`, `revert`, `undo`, `op log`: where you are, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop_store.errors import InputError

if TYPE_CHECKING:
    from mpop_store.git.branches import Named
    from mpop_store.git.operations import Moves, Operation


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (switch, checkout, branch, tag, restore, revert, undo):
        app.command()(command)
    nouns = typer.Typer(
        help="Operations: every move of a branch, a tag or HEAD.", no_args_is_help=True, rich_markup_mode=None
    )
    nouns.command("log")(op_log)
    app.add_typer(nouns, name="op")


def switch(
    branch: Annotated[str, typer.Argument(help="Branch to switch to.")],
    start: Annotated[str, typer.Argument(help="With -c: where the new branch begins.")] = "HEAD",
    create: Annotated[bool, typer.Option("-c", "--create", help="Make the branch first.")] = False,
    json: JsonOption = False,
) -> None:
    """Switch to a branch; no array is copied, so this is instant."""
    from mpop_store.git.branches import switch as run_switch

    context.options.json |= json
    if start != "HEAD" and not create:
        raise InputError(f"{branch} is where to go; a second revision is for making a branch with -c")
    here = context.population()
    here.refuse_while_merging()
    commit = run_switch(here.repository, branch, create, start)
    data = {"branch": branch, "commit": commit, "created": create}
    emit("switch", data, f"On {'new ' if create else ''}branch {branch}, at {commit[:10]}")


def checkout(
    revision: Annotated[str, typer.Argument(help="Commit to look at.")], json: JsonOption = False
) -> None:
    """Switch to a commit, on no branch; arrays are read from the store when something asks for them."""
    from mpop_store.git.branches import checkout as run_checkout

    context.options.json |= json
    here = context.population()
    here.refuse_while_merging()
    commit = run_checkout(here.repository, revision)
    subject = here.repository.show(commit).subject
    text = (
        f"At {commit[:10]} ({subject}), on no branch. Commits made here belong to none: "
        "`mpop switch -c NAME` keeps them, `mpop switch BRANCH` goes back."
    )
    emit("checkout", {"commit": commit, "subject": subject}, text)


def branch(
    name: Annotated[str | None, typer.Argument(help="Branch to make, delete or rename; none: list them.")] = None,
    start: Annotated[str | None, typer.Argument(help="Where it begins; with -m its new name.")] = None,
    delete: Annotated[bool, typer.Option("-d", "--delete", help="Delete it, if it is merged.")] = False,
    force: Annotated[bool, typer.Option("-D", help="Delete it in any case.")] = False,
    rename: Annotated[
        bool, typer.Option("-m", "--rename", help="Rename it; with one name, the current one.")
    ] = False,
    remotes: Annotated[bool, typer.Option("-r", "--remotes", help="List those of remotes.")] = False,
    json: JsonOption = False,
) -> None:
    """List, make, delete or rename branches."""
    from mpop_store.git import branches

    context.options.json |= json
    if (delete or force) + rename + remotes > 1 or ((delete or force or rename) and name is None):
        raise InputError("one of -d, -D, -m NAME or -r at a time; see `mpop branch --help`")
    repository = context.population().repository
    if name is None or remotes:
        _list(branches.branches(repository, remotes))
    elif delete or force:
        commit = branches.delete_branch(repository, name, force)
        emit("branch", {"deleted": name, "commit": commit}, f"Deleted branch {name}, which was at {commit[:10]}")
    elif rename:
        old, new = (name, start) if start is not None else (branches.current_branch(repository), name)
        branches.rename_branch(repository, old, new)
        emit("branch", {"renamed": old, "to": new}, f"Renamed branch {old} to {new}")
    else:
        commit = branches.create_branch(repository, name, start or "HEAD")
        emit("branch", {"created": name, "commit": commit}, f"Made branch {name} at {commit[:10]}")


def _list(found: list[Named]) -> None:
    width = max((len(one.name) for one in found), default=0)
    lines = [
        f"{'*' if one.is_current else ' '} {one.name:{width}}  {one.commit[:10]}  {one.message}" for one in found
    ]
    emit("branches", {"branches": found}, "\n".join(lines) or "no branches yet")


def tag(
    name: Annotated[str | None, typer.Argument(help="Tag to make or delete; none: list them.")] = None,
    revision: Annotated[str, typer.Argument(help="Commit to name.")] = "HEAD",
    message: Annotated[
        str | None, typer.Option("-m", "--message", help="Say why; the tag then has an author.")
    ] = None,
    delete: Annotated[bool, typer.Option("-d", "--delete", help="Delete it.")] = False,
    json: JsonOption = False,
) -> None:
    """List, make or delete tags: names of commits that stay where they are."""
    from mpop_store.git import branches

    context.options.json |= json
    if name is None and (delete or message is not None):
        raise InputError("which tag? see `mpop tag --help`")
    repository = context.population().repository
    if name is None:
        found = branches.tags(repository)
        lines = [f"{one.name}  {one.commit[:10]}  {one.message}" for one in found]
        emit("tags", {"tags": found}, "\n".join(lines) or "no tags yet")
    elif delete:
        commit = branches.delete_tag(repository, name)
        emit("tag", {"deleted": name, "commit": commit}, f"Deleted tag {name}, which was at {commit[:10]}")
    else:
        commit = branches.create_tag(repository, name, revision, message)
        emit("tag", {"created": name, "commit": commit}, f"Tagged {commit[:10]} as {name}")


def restore(
    names: Annotated[
        list[str] | None, typer.Argument(help="Species, tilt series, stacks, sources, or paths of records.")
    ] = None,
    source: Annotated[str, typer.Option(metavar="REV", help="Commit to take them from.")] = "HEAD",
    everything: Annotated[bool, typer.Option("--all", help="All that differs.")] = False,
    json: JsonOption = False,
) -> None:
    """Make parts of the working state what they are in a commit."""
    from mpop.jobs.restoring import restore as run_restore

    context.options.json |= json
    if bool(names) == everything:
        raise InputError("name what to restore, or say --all")
    done = run_restore(context.population(), names or (), source)
    text = f"Restored {len(done.paths)} records from {done.commit[:10]}" if done.paths else "nothing differs"
    emit("restore", {"commit": done.commit, "paths": done.paths}, text)


def revert(
    commit: Annotated[str, typer.Argument(help="Commit to undo.")],
    mainline: Annotated[int | None, typer.Option(help="Of a merge: the parent to go back to, 1 or 2.")] = None,
    json: JsonOption = False,
) -> None:
    """Undo a commit by a new one; refused when later commits build on it."""
    from mpop.jobs.reverting import revert as run_revert

    context.options.json |= json
    done = run_revert(context.population(), commit, mainline)
    text = f"[{done.commit[:10]}] reverted {done.reverted[:10]}: {len(done.paths)} records are as before it"
    emit("revert", {"commit": done.commit, "reverted": done.reverted, "paths": done.paths}, text)


def undo(
    operation: Annotated[int | None, typer.Argument(help="Number in `mpop op log`; the last one if none.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the working state as it is.")] = False,
    json: JsonOption = False,
) -> None:
    """Take back a commit, merge, switch, branch, tag, or an undo (which does it again)."""
    from mpop_store.git.undoing import undo as run_undo

    context.options.json |= json
    here = context.population()
    here.refuse_while_merging()
    repository = here.repository
    undone = run_undo(repository, operation, keep)
    head = repository.head
    where = f"HEAD is at {head[:10]} ({repository.show(head).subject})" if head else "HEAD is on no commit"
    text = f"Undid operation {undone.number} ({_line(undone.reason)}); {where}. `mpop undo` again does it again."
    emit("undo", {"undone": undone, "head": head}, text)


def op_log(
    limit: Annotated[int | None, typer.Option("-n", min=1, help="Show the newest N only.")] = None,
    json: JsonOption = False,
) -> None:
    """List operations, newest first: what moved which branch, tag or HEAD, when, and who did it.

    What plain Git moved is noted by the next command that changes something; before that it is listed on top.
    """
    from mpop_store.git.refs import MOVED_BY_OTHERS

    context.options.json |= json
    repository = context.population().repository
    found = repository.operation_log()[::-1][:limit]
    moved = repository.refs.moved_by_others()
    lines = [f"      {MOVED_BY_OTHERS} since:", *_move_lines(moved)] if moved else []
    lines += [line for operation in found for line in _operation_lines(operation)]
    emit("operations", {"operations": found, "moved_since": moved}, "\n".join(lines) or "no operations yet")


def _operation_lines(operation: Operation) -> Iterator[str]:
    time, who, reason = operation.time[:16].replace("T", " "), _line(operation.who), _line(operation.reason)
    yield f"{operation.number:4}  {time}  {who}  {reason}"
    yield from _move_lines(operation.moves)


def _move_lines(moves: Moves) -> Iterator[str]:
    for name, (before, after) in moves.items():
        if before != after:
            yield f"      {name.removeprefix('refs/')}: {_place(before)} -> {_place(after)}"


def _place(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value.removeprefix("ref: refs/heads/") if value.startswith("ref: ") else value[:10]


def _line(text: str) -> str:
    """Text from the operation log, which anybody may have written, in one line."""
    return " ".join(text.split())
