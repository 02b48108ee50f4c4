"""`mpop request`: offer a branch or a species to others, and check and merge what they offer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit

if TYPE_CHECKING:
    from mpop.requests.chains import Request
    from mpop.requests.offers import Offer

NOT_YET = 4
"""Exit code of a check after which the request cannot simply be merged."""

RequestArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the request, or its first digits.")]
MessageOption = Annotated[str, typer.Option("-m", "--message", help="What to say about it.")]

request_app = typer.Typer(help="Merge requests: offers of a species or a branch.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for name, command in (
        ("open", open_),
        ("list", list_),
        ("show", show),
        ("check", check),
        ("update", update),
        ("merge", merge),
        ("close", close),
    ):
        request_app.command(name)(command)
    app.add_typer(request_app, name="request")


def open_(
    species: Annotated[str | None, typer.Option(help="Offer this species alone; everything if not given.")] = None,
    message: Annotated[
        str, typer.Option("-m", "--message", help="What is offered, and why; the first line is the title.")
    ] = "",
    onto: Annotated[str, typer.Option(metavar="BRANCH", help="The branch that it is meant for.")] = "main",
    json: JsonOption = False,
) -> None:
    """Offer what is committed here; `mpop push --requests` brings it to others."""
    from mpop.requests.updating import open_request

    context.options.json |= json
    request, offer = open_request(context.population(), species, onto, message)
    _emit_offer(request, offer, "Opened")


def update(request: RequestArgument, message: MessageOption = "", json: JsonOption = False) -> None:
    """Offer what is committed here now in place of what the request offered until now."""
    from mpop.requests.updating import update_request

    context.options.json |= json
    made, offer = update_request(context.population(), request, message)
    _emit_offer(made, offer, "Updated")


def _emit_offer(request: Request, offer: Offer, done: str) -> None:
    from mpop.cli.request_text import offer_lines

    types = context.population().source_types()
    lines = [f"{done} request {request.id}: {request.record.title}", *offer_lines(request, offer, types)]
    emit("request", {"request": request.record, "tip": request.tip, "offer": offer}, "\n".join(lines))


def list_(
    all_: Annotated[bool, typer.Option("--all", help="Those that are merged or closed, too.")] = False,
    json: JsonOption = False,
) -> None:
    """List the requests that are open."""
    from mpop.cli.request_text import list_lines
    from mpop.requests.chains import Requests

    context.options.json |= json
    requests, unreadable = Requests(context.population().repository).read()
    found = [one.record for one in requests if all_ or one.record.state == "open"]
    for one in unreadable:
        context.warn(f"{one.ref}: {one.problem}")
    emit("requests", {"requests": found}, "\n".join(list_lines(found)) or "no open requests")


def show(request: RequestArgument, json: JsonOption = False) -> None:
    """Show a request: what it offers, and what has happened to it."""
    from mpop.cli.request_text import show_lines
    from mpop.requests.chains import Requests

    context.options.json |= json
    found = Requests(context.population().repository).find(request)
    emit("request", {"request": found.record, "tip": found.tip}, "\n".join(show_lines(found.record)))


def check(
    request: RequestArgument,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdict as a page, with maps and FSC.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say whether a request can be merged; exit code 4 when something stands in the way."""
    from mpop.cli.request_text import check_lines
    from mpop.requests.chains import Requests
    from mpop.requests.check import check as check_request
    from mpop.requests.verdict import plain

    context.options.json |= json
    here = context.population()
    with context.run() as run:
        found = check_request(here, Requests(here.repository).find(request), progress=run.progress)
    lines = check_lines(found)
    if html is not None:
        from mpop.reports.request import write_page

        page = write_page(context.relative(html), here, found)
        lines.append(f"page: {os.path.normpath(page)}")
    emit("request-check", plain(found), "\n".join(lines))
    if found.verdict.answer not in ("can be merged", "merged already"):
        raise typer.Exit(NOT_YET)


def merge(
    request: RequestArgument,
    resolve: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND/NAME=WAY", help="Decide a conflict: ours, theirs, better, both or pool."),
    ] = None,
    collisions: Annotated[
        str | None,
        typer.Option(
            metavar="keep-better|drop-incoming|keep-both", help="What to do with particles in one place."
        ),
    ] = None,
    message: MessageOption = "",
    json: JsonOption = False,
) -> None:
    """Check a request, merge it into the branch it is meant for, and mark it merged."""
    from mpop.cli.request_text import merge_lines
    from mpop.collisions.choices import Choice
    from mpop.merging.resolving import parse_resolution
    from mpop.requests.merging import merge_request

    context.options.json |= json
    if collisions is not None and collisions not in list(Choice):
        raise typer.BadParameter(f"--collisions is one of {', '.join(Choice)}")
    resolutions = dict(parse_resolution(text) for text in resolve or ())
    choice = None if collisions is None else Choice(collisions)
    with context.run() as run:
        done = merge_request(context.population(), request, resolutions, choice, message, run)
    data = {**vars(done), "request": done.request.record}
    emit("request-merge", data, "\n".join(merge_lines(done)))


def close(request: RequestArgument, message: MessageOption = "", json: JsonOption = False) -> None:
    """Close a request without merging it."""
    from mpop.requests.chains import Requests

    context.options.json |= json
    done = Requests(context.population().repository).add(request, "close", message)
    emit("request", {"request": done.record, "tip": done.tip}, f"Closed request {done.id}: {done.record.title}")
