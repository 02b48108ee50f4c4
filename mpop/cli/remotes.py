"""`mpop clone`, `fetch`, `pull`, `push`, `remote`, `drop`, and what answers them on the far side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.cli.progress import transfer_bar
from mpop.words import counted
from mpop_store.errors import InputError

if TYPE_CHECKING:
    from mpop.exchange.selection import Data
    from mpop_store.git.repository import Repository
    from mpop_store.transfer.fetching import Fetched
    from mpop_store.transfer.remotes import RemoteSettings

RemoteArgument = Annotated[
    str | None, typer.Argument(help="Name of the remote; what the branch follows, or origin, if not given.")
]
SpeciesOption = Annotated[
    list[str] | None, typer.Option("--species", help="Data of this species only; repeatable.")
]
NoDataOption = Annotated[bool, typer.Option("--no-data", help="Leave the arrays there until they are asked for.")]
CurrentDataOption = Annotated[
    bool, typer.Option("--current-data", help="Leave the arrays of older versions there until they are asked for.")
]
AllDataOption = Annotated[bool, typer.Option("--all-data", help="Bring the arrays of every version.")]
DepthOption = Annotated[int | None, typer.Option("--depth", min=1, help="Bring the newest N commits only.")]
FarOption = Annotated[
    str | None, typer.Option("--far-mpop", metavar="COMMAND", help="What runs mpop on the other machine.")
]

REQUESTS = "refs/mpop/requests/"

remote_app = typer.Typer(help="Other copies of this population.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (clone, fetch, pull, push, drop):
        app.command()(command)
    app.add_typer(remote_app, name="remote")
    app.command("serve-stdio", hidden=True)(serve_stdio)


def _data(none: bool, current: bool, everything: bool, species: list[str] | None) -> Data | None:
    from mpop.exchange.selection import ALL, CURRENT, NONE, SPECIES, Data

    if none + current + everything + bool(species) > 1:
        raise InputError("--no-data, --current-data, --all-data and --species exclude each other")
    if species:
        return Data(SPECIES, tuple(species))
    return Data(NONE) if none else Data(CURRENT) if current else Data(ALL) if everything else None


def clone(
    address: Annotated[str, typer.Argument(help="A folder, user@host:path, or ssh://user@host:port/path.")],
    directory: Annotated[Path | None, typer.Argument(help="Folder of the clone.")] = None,
    no_data: NoDataOption = False,
    current_data: CurrentDataOption = False,
    species: SpeciesOption = None,
    depth: DepthOption = None,
    bare: Annotated[bool, typer.Option("--bare", help="Without a work tree: to push to and to clone.")] = False,
    far_mpop: FarOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a population: its whole history and all arrays, or those that are wanted."""
    from mpop.exchange.cloning import clone as run

    context.options.json |= json
    data = _data(no_data, current_data, False, species)
    with transfer_bar() as progress:
        made = run(address, directory, context.options.directory, data, depth, bare, far_mpop, progress)
    _warn_of_lacking("origin", made.fetched)
    received = _received(made.fetched)
    text = f"Cloned {address} into {made.root}, on branch {made.branch}: {received}"
    emit("clone", {"root": made.root, "branch": made.branch, **_fetched(made.fetched)}, text)


def fetch(
    remote: RemoteArgument = None,
    no_data: NoDataOption = False,
    current_data: CurrentDataOption = False,
    all_data: AllDataOption = False,
    species: SpeciesOption = None,
    depth: DepthOption = None,
    json: JsonOption = False,
) -> None:
    """Bring what is new on a remote, and change nothing of one's own."""
    context.options.json |= json
    repository, settings = _remote(remote)
    fetched = _fetch(repository, settings, _data(no_data, current_data, all_data, species), depth)
    lines = [f"{settings.name}: {_received(fetched)}", *_move_lines(fetched)]
    emit("fetch", {"remote": settings.name, **_fetched(fetched)}, "\n".join(lines))


def pull(remote: RemoteArgument = None, json: JsonOption = False) -> None:
    """Fetch, then bring the branch up to date: forward if possible, by a merge if both sides have commits."""
    from mpop.cli.merge import UNDECIDED, merge_lines
    from mpop.exchange.fetching import upstream
    from mpop.merging import merge
    from mpop.population import Population

    context.options.json |= json
    repository, settings = _remote(remote)
    here = Population(repository)
    here.refuse_while_merging()
    before = repository.head
    fetched = _fetch(repository, settings, None, None)
    result = merge(here, upstream(repository, settings))
    data = {"remote": settings.name, "before": before, "after": repository.head, "merge": result.summary()}
    lines = [f"{settings.name}: {_received(fetched)}", *merge_lines(result)]
    emit("pull", {**data, **_fetched(fetched)}, "\n".join(lines))
    if result.status == "conflicts":
        raise typer.Exit(UNDECIDED)


def push(
    remote: RemoteArgument = None,
    branch: Annotated[str | None, typer.Argument(help="Branch to push; the one we are on if not given.")] = None,
    force_with_lease: Annotated[
        bool,
        typer.Option("--force-with-lease", help="Drop commits there, if they are those last fetched from there."),
    ] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Take the branch away there.")] = False,
    requests: Annotated[bool, typer.Option("--requests", help="Send merge requests only, no branch.")] = False,
    json: JsonOption = False,
) -> None:
    """Send a branch, the tags on it and merge requests to a remote, which checks them before they count."""
    from mpop.exchange.pushing import PushOptions, push_to

    context.options.json |= json
    if delete and branch is None:
        raise InputError("--delete needs the name of the branch: mpop push REMOTE BRANCH --delete")
    if requests and (branch is not None or force_with_lease):
        raise InputError("--requests sends no branch")
    repository, settings = _remote(remote)
    options = PushOptions(branch, force_with_lease, delete, requests)
    with transfer_bar() as progress:
        pushed = push_to(repository, settings, options, progress)
    sent = f"{_size(pushed.bytes)} in {counted(pushed.objects, 'object')}"
    lines = [f"{settings.name}: {counted(pushed.commits, 'commit')}, {sent}"]
    lines += [f"  {_short(ref)}  {_arrow(old, new)}" for ref, (old, new) in pushed.moves.items()]
    data = {"remote": settings.name, **vars(pushed)}
    emit("push", data, "\n".join(lines) if pushed.moves else f"{settings.name}: everything is up to date")


def drop(
    remote: RemoteArgument = None,
    species: Annotated[
        list[str] | None, typer.Option("--species", help="Its maps and particles; repeatable.")
    ] = None,
    items: Annotated[
        list[str] | None, typer.Option("--items", help="Models of this tilt series or stack; repeatable.")
    ] = None,
    older: Annotated[bool, typer.Option("--older", help="Arrays that only older commits need.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All arrays of the last commit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Prove that it is safe, drop nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Free the space of arrays that a remote has, sound, and promises to keep; they are fetched when asked for."""
    from mpop.exchange.dropping import DropOptions, drop_data
    from mpop.population import Population

    context.options.json |= json
    repository, settings = _remote(remote)
    options = DropOptions(tuple(species or ()), tuple(items or ()), everything, older, dry_run)
    dropped = drop_data(Population(repository), settings, options)
    verb = "would drop" if dry_run else "dropped"
    what = f"{counted(dropped.objects, 'object')} ({_size(dropped.bytes)})"
    text = f"{verb} {what}; all are sound at {dropped.proven_at}"
    text += "" if dry_run else ", which keeps them for us"
    if not dropped.objects:
        text = "nothing to drop: none of these arrays is here"
    emit("drop", {**vars(dropped), "dry_run": dry_run}, text)


def serve_stdio(
    path: Annotated[Path, typer.Argument(help="The population.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every push.")] = False,
) -> None:
    """Answer another mpop on standard input and output; ssh runs this on the far side."""
    from mpop.exchange.serving import serve_stdio as run

    run(path, read_only)


@remote_app.command("add")
def remote_add(
    name: Annotated[str, typer.Argument(help="What to call it, such as origin.")],
    address: Annotated[str, typer.Argument(help="A folder, user@host:path, or ssh://user@host:port/path.")],
    far_mpop: FarOption = None,
    json: JsonOption = False,
) -> None:
    """Remember where another copy of this population is."""
    from mpop_store.transfer.addresses import DirectoryAddress, parse_address
    from mpop_store.transfer.remotes import Remotes

    context.options.json |= json
    where = parse_address(address, context.options.directory.absolute())
    kept = str(where) if isinstance(where, DirectoryAddress) else address
    Remotes(context.population().repository).add(name, kept, far_mpop)
    emit("remote.add", {"name": name, "address": kept}, f"added remote {name}: {kept}")


@remote_app.command("list")
def remote_list(json: JsonOption = False) -> None:
    """List the remotes."""
    from mpop_store.transfer.remotes import Remotes

    context.options.json |= json
    known = list(Remotes(context.population().repository).all().values())
    emit(
        "remote.list", {"remotes": known}, "\n".join(f"{one.name:12} {one.address}" for one in known) or "none yet"
    )


@remote_app.command("remove")
def remote_remove(
    name: Annotated[str, typer.Argument(help="Name of the remote.")], json: JsonOption = False
) -> None:
    """Forget a remote; nothing there changes. What only it has counts as lost until it is added again."""
    from mpop.exchange.elsewhere import Elsewhere
    from mpop_store.transfer.remotes import Remotes

    context.options.json |= json
    repository = context.population().repository
    Remotes(repository).remove(name)
    elsewhere = Elsewhere(repository)
    for held in elsewhere.forgotten:
        if held.place.remote == name and any(elsewhere.only_at(held)):
            context.warn(f"what was left at {held.place.address} counts as lost until that is a remote again")
    emit("remote.remove", {"name": name}, f"removed remote {name}")


@remote_app.command("promises")
def remote_promises(json: JsonOption = False) -> None:
    """List what this population keeps for others, and what others keep for it, and until when."""
    import datetime

    from mpop_store.objects.promises import GivenPromises, HeldPromises

    context.options.json |= json
    repository = context.population().repository
    given = GivenPromises(repository.private).all()
    held = list(HeldPromises(repository.private).all())

    def day(seconds: float) -> str:
        return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")

    lines = [
        f"{one.id[:10]}  given to {one.who}: {counted(len(one.objects), 'object')} until {day(one.until)}"
        for one in given
    ]
    for one in held:
        what = counted(len(one.objects) + len(one.groups), "object")
        how = "was seen there, nothing is promised" if one.until is None else f"until {day(one.until)}"
        lines.append(f"{one.place.remote:10}  has for us at {one.place.address}: {what}, {how}")
    data = {
        "store": repository.identity.id,
        "given": [{**vars(one), "objects": len(one.objects)} for one in given],
        "held": [
            {**vars(one.place), "objects": len(one.objects), "groups": len(one.groups), "until": one.until}
            for one in held
        ],
    }
    emit("remote.promises", data, "\n".join(lines) or "none")


@remote_app.command("release")
def remote_release(
    whom: Annotated[str, typer.Argument(help="The id of a given promise, or the name of a remote that gave one.")],
    json: JsonOption = False,
) -> None:
    """Take back a promise that was given, or give back what a remote promised, once all of that is here again."""
    from mpop.exchange.releasing import release

    context.options.json |= json
    objects = release(context.population().repository, whom)
    emit("remote.release", {"whom": whom, "objects": objects}, f"released {counted(objects, 'object')}")


def _remote(name: str | None) -> tuple[Repository, RemoteSettings]:
    """The population, and the remote that is meant."""
    from mpop.exchange.fetching import open_to_fetch
    from mpop_store.transfer.remotes import Remotes

    repository = open_to_fetch(context.options.directory)
    remotes = Remotes(repository)
    return repository, remotes.default(repository.refs.branch) if name is None else remotes.get(name)


def _fetch(repository: Repository, settings: RemoteSettings, data: Data | None, depth: int | None) -> Fetched:
    """Fetch, and bring together what was done apart to merge requests."""
    from mpop.exchange.fetching import fetch_from

    with transfer_bar() as progress:
        fetched = fetch_from(repository, settings, data, depth, progress)
    _warn_of_lacking(settings.name, fetched)
    requests = {ref: oid for ref, oid in fetched.diverged.items() if ref.startswith(REQUESTS)}
    if requests:
        from mpop.requests.chains import Requests

        for ref, oid in requests.items():
            Requests(repository).unite(ref.removeprefix(REQUESTS), oid)
    return fetched


def _warn_of_lacking(remote: str, fetched: Fetched) -> None:
    if lacking := fetched.lacking:
        some = ", ".join(lacking[:3]) + (", ..." if len(lacking) > 3 else "")
        context.warn(
            f"{remote} lacks {len(lacking)} of the objects and groups that its history names, or parts of them: "
            f"{some}; `mpop verify` there says what needs them"
        )


def _fetched(fetched: Fetched) -> dict[str, object]:
    return dict(vars(fetched))


def _received(fetched: Fetched) -> str:
    return f"{counted(fetched.commits, 'commit')}, {_size(fetched.bytes)} of arrays"


def _move_lines(fetched: Fetched) -> list[str]:
    lines = [f"  {_short(ref)}  {_arrow(old, new)}" for ref, (old, new) in fetched.moves.items()]
    for ref in fetched.diverged:
        what = "united with what was done here" if ref.startswith(REQUESTS) else "is another one here, and stays"
        lines.append(f"  {_short(ref)}  {what}")
    return lines


def _short(ref: str) -> str:
    for prefix in ("refs/heads/", "refs/remotes/", "refs/mpop/", "refs/"):
        if ref.startswith(prefix):
            return ref.removeprefix(prefix)
    return ref


def _arrow(old: str | None, new: str | None) -> str:
    if new is None:
        return "deleted"
    return f"{old[:10]} -> {new[:10]}" if old else f"new, {new[:10]}"


def _size(count: float) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
