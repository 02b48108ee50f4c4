"""`mpop log`, `show`, `diff`, `reproduce`: what happened, what differs, and whether it comes out again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mpop.cli import context
from mpop.cli.context import JsonOption, emit
from mpop.cli.differences import difference_lines, few, particles_in_words, quantity_in_words
from mpop.cli.graph import Graph
from mpop.cli.job_text import job_line
from mpop.words import ITEMS, angstrom, counted, counted_items

if TYPE_CHECKING:
    from mpop.jobs.history import HistoryEntry
    from mpop.jobs.reproduce import Reproduction
    from mpop.jobs.result_differences import ResultDifference
    from mpop_store.git.signatures import Signature

SpeciesOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only what changed this species, or measured its maps.")
]
ItemOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only what changed this tilt series or stack.")
]

CLOSE = 1e-3
"""Figures that are off by less than this part are shown together."""


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (log, show, diff, reproduce):
        app.command()(command)


def log(
    start: Annotated[str, typer.Argument(help="Revision to start from.")] = "HEAD",
    graph: Annotated[bool, typer.Option("--graph", help="Draw branches, merges, and what was used.")] = False,
    species: SpeciesOption = None,
    item: ItemOption = None,
    limit: Annotated[int | None, typer.Option("-n", min=1, help="Show the newest N only.")] = None,
    json: JsonOption = False,
) -> None:
    """List commits, newest first."""
    from mpop.jobs.history import history

    context.options.json |= json
    entries = history(context.population(), start, limit, species, item, graph)
    emit("log", {"commits": entries}, "\n".join(log_lines(entries, graph)) or "no commits yet")


def log_lines(entries: Iterable[HistoryEntry], graph: bool) -> Iterator[str]:
    """The text of `mpop log`."""
    drawing = Graph()
    for entry in entries:
        text = list(_entry_lines(entry, edges=graph))
        yield from drawing.draw(entry.id, entry.leads_to, text) if graph else text


def _entry_lines(entry: HistoryEntry, edges: bool) -> Iterator[str]:
    """One commit. edges: with the versions that its records were made from."""
    names = f" ({', '.join(entry.names)})" if entry.names else ""
    yield f"{entry.id[:10]} {entry.time[:16].replace('T', ' ')}{names}  {entry.message.split(chr(10), 1)[0]}"
    for change in entry.species:
        if change.same_maps:
            continue
        before = f"{angstrom(change.resolution_before_A)} -> " if entry.verb else ""
        from_items = counted_items(change.from_items, entry.types)
        used = f"  (from {from_items})" if edges and entry.verb and change.from_items else ""
        yield f"    {change.name}: {before}{angstrom(change.resolution_after_A)}{used}"
    if edges and (entry.items or entry.stacks):
        against = f" against {', '.join(entry.uses)}" if entry.uses else ""
        yield f"    {few([*entry.items, *entry.stacks])}{against}"
    for failure in entry.job.failed if entry.job else ():
        yield f"    failed: {failure.name}: {failure.reason}"


def show(
    revision: Annotated[str, typer.Argument(help="Commit to show.")] = "HEAD", json: JsonOption = False
) -> None:
    """Show one commit: who signed it, the job, its parameters, and what it gave."""
    from mpop.jobs.history import describe
    from mpop_store.git.signatures import check

    context.options.json |= json
    here = context.population()
    entry = describe(here, here.repository.show(revision))
    signature = check(here.repository, entry.id)
    emit("show", {"commit": entry, "signature": signature}, "\n".join(_show_lines(entry, signature)))


def _show_lines(entry: HistoryEntry, signature: Signature) -> Iterator[str]:
    yield f"commit {entry.id}"
    if signature.status != "none":
        yield f"       {signature}"
    if len(entry.parents) > 1:
        yield f"merge  {' '.join(parent[:10] for parent in entry.parents)}"
    yield from (f"author {entry.author}", f"date   {entry.time}", "")
    yield from (f"    {line}".rstrip() for line in entry.message.splitlines())
    yield ""
    for change in entry.species:
        was = f"{angstrom(change.resolution_before_A)} -> " if entry.verb and not change.same_maps else ""
        kept = ", half-maps as before" if change.same_maps else ""
        yield (
            f"species {change.name}: {was}{angstrom(change.resolution_after_A)}{kept}, "
            f"{change.particles} particles, version {change.version[:10]}"
        )
    for what, names in (("tilt series", entry.items), ("stacks", entry.stacks)):
        if names:
            yield f"{what}: {few(names, 8)}"
    if entry.uses:
        yield f"refined against: {', '.join(entry.uses)}"
    if entry.job is not None:
        job = entry.job
        yield job_line(job.id, job.verb, job.parameters, job.seed)
        if "name" in job.result and len(job.inputs) == 1:  # on the maps of a species
            yield f"    of {job.result['name']}, version {next(iter(job.inputs.values()))[:10]}"
        yield f"    {job.device}, {job.threads} threads, {job.wall_s:.0f} s, {job.peak_GiB:.1f} GiB"
        if job.score_before is not None and job.score_after is not None:
            yield f"    score {job.score_before:.1f} -> {job.score_after:.1f}"
        yield from (f"    failed: {failure.name}: {failure.reason}" for failure in job.failed)
        for name, value in job.result.items():
            if isinstance(value, str | int | float) and name != "name":
                shown = f"{value:.4g}" if isinstance(value, float) else value
                yield f"    {name.replace('_', ' ')}: {shown}"
        yield from (f"    warning: {warning}" for warning in job.warnings)
        yield "    " + ", ".join(f"{name} {number}" for name, number in sorted(job.software.items()))


def diff(
    before: Annotated[str, typer.Argument(help="Revision to compare from.")] = "HEAD",
    after: Annotated[str | None, typer.Argument(help="Revision to compare with; else the working state.")] = None,
    species: Annotated[str | None, typer.Option(metavar="NAME", help="Only this species.")] = None,
    item: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this tilt series or stack, and the particles in it.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what differs between two commits, or a commit and the working state.

    Resolution, particles added, removed and moved (median shift in A, rotation in degrees past all symmetry),
    models of tilt series and stacks by RMS change, and the parameters of jobs.
    """
    from mpop.comparison import compare

    context.options.json |= json
    here = context.population()
    found = compare(here, before, after, species, item)
    words = after or ("HEAD" if here.repository.is_bare else "the working state")
    emit("diff", {"difference": found}, "\n".join(difference_lines(found, before, words)))


def reproduce(
    commit: Annotated[str, typer.Argument(help="Commit of a job.")] = "HEAD",
    keep_sums: Annotated[
        bool, typer.Option("--keep-sums", help="Use kept Fourier sums; their images are not read again.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run the job of a commit again from its inputs, and say how far the result is from the recorded one.

    Nothing in the population changes. Device and threads are those of the record unless --device or --threads say
    otherwise.
    """
    from mpop.jobs.reproduce import reproduce as run_reproduce

    context.options.json |= json
    device = None if context.options.device == "auto" else context.options.device
    here = context.population()
    with context.run(on_device="scores of images and networks run") as run:
        found = run_reproduce(here, commit, device, context.options.threads, keep_sums, run.progress)
    emit("reproduce", {"reproduction": found}, "\n".join(_reproduce_lines(found)))


def _reproduce_lines(found: Reproduction) -> Iterator[str]:
    verdict = "identical" if found.is_identical else "not identical"
    yield f"{found.job.verb} of {found.commit[:10]}, run again from {found.base[:10]}: {verdict}"
    if not found.same_job:
        yield "    its inputs, which earlier iterations made, came out otherwise"
    for one in found.species:
        if not one.is_identical:
            yield (
                f"species {one.name}: {angstrom(one.resolution_again_A)}, "
                f"recorded {angstrom(one.resolution_recorded_A)}"
            )
            if not one.particles.is_none:
                yield f"    particles: {particles_in_words(one.particles)}"
        for name, maps in one.maps.items():
            yield (
                f"    {name}: differs by RMS {maps.rms:.3g} ({100 * maps.relative:.2g} % of the map's), at most "
                f"{maps.largest:.3g}; FSC between them at least {maps.lowest_fsc:.4f}"
            )
    yield from (f"    {line}" for line in _result_lines(found.result))
    for item in found.items:
        if not item.is_identical:
            yield f"{ITEMS[item.type][0]} {item.name}"
        yield from (f"    {quantity_in_words(quantity)}" for quantity in item.quantities)
    yield from (f"failed this time: {failure.name}: {failure.reason}" for failure in found.failed)
    for name, (recorded, now) in found.environment.items():
        yield f"environment: {name} was {recorded}, is {now}"


def _result_lines(differences: list[ResultDifference]) -> Iterator[str]:
    """What came out otherwise: by how much of its size, or what it is and was."""
    close = [one for one in differences if one.relative is not None and one.relative < CLOSE]
    if close:
        most = max(close, key=lambda one: one.relative or 0.0)
        yield f"{counted(len(close), 'figure')} off by at most {most.relative:.1g} of their size ({most.name})"
    for one in differences:
        if one in close:
            continue
        if one.recorded is None and one.again is None:
            much = "otherwise" if one.relative is None else f"off by {one.relative:.1g} of its size"
            yield f"{one.name}: {much}"
        else:
            yield f"{one.name}: {_plain(one.again)}, recorded {_plain(one.recorded)}"


def _plain(value: object) -> str:
    return "nothing" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
