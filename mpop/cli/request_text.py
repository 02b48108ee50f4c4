"""Requests, their checks and their merges, in words for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from mpop.words import angstrom, counted_items
from mpop_hooks.schema import ITEM, JOB, SCHEMA, SOURCE

if TYPE_CHECKING:
    from mpop.requests.chains import Request
    from mpop.requests.claims import OfferedSpecies
    from mpop.requests.matching import Matching
    from mpop.requests.merging import MergedRequest
    from mpop.requests.offers import Offer
    from mpop.requests.records import Event, RequestRecord
    from mpop.requests.verdict import RequestCheck, SeriesCollisions

MAX_ROWS = 20
"""Series that a table shows; the page and --json have them all."""
ALONG = {SOURCE.kind: "of their sources", JOB.kind: "of the jobs that made it"}
WORDS = {"open": "opened", "update": "updated", "merge": "merged", "close": "closed"}


def offer_lines(request: Request, offer: Offer, types: Collection[str]) -> list[str]:
    """What was offered, and what goes along. types: of the sources that there are."""
    what = f"species {offer.species.name}" if offer.species else "everything that is here"
    lines = [f"  offers {what}, commit {offer.commit[:10]}, for {request.record.onto} at {offer.base[:10]}"]
    kinds = Counter(found.kind for path in offer.along if (found := SCHEMA.type_at(path)))
    if kinds:
        words = [
            counted_items(count, types) if kind == ITEM.kind else f"{count} {ALONG[kind]}"
            for kind, count in kinds.items()
        ]
        lines.append(f"  with {', '.join(words)}")
    if offer.as_history:
        lines.append(f"  as history, because it was made from them: {_few(offer.as_history)}")
    return [*lines, *matching_lines(offer.matching), "  `mpop push --requests` brings it to the others"]


def matching_lines(matching: Matching) -> Iterator[str]:
    """Series that are called otherwise on the other side."""
    for one in matching.mapped:
        moved = f", positions moved by {' '.join(f'{x:g}' for x in one.shift_A)} A" if any(one.shift_A) else ""
        yield f"  {one.name} is {one.name_there} there, by its raw images{moved}"
    for one in matching.renamed[:MAX_ROWS]:
        yield f"  {one.name} is called {one.name_there} there"
    yield from (f"  problem: {problem}" for problem in matching.problems)


def list_lines(requests: list[RequestRecord]) -> list[str]:
    """One line for each."""
    width = min(50, max((len(one.title) for one in requests), default=0))
    return [
        f"{one.id}  {one.state:6}  {one.title:{width}}  for {one.onto}, by {one.author}, {_day(one.opening)}"
        for one in requests
    ]


def _day(event: Event) -> str:
    return event.time[:16].replace("T", " ")


def show_lines(record: RequestRecord) -> list[str]:
    """A request and its events."""
    what = f"species {record.species.name}" if record.species else "a branch"
    lines = [
        f"request {record.id}: {record.title}",
        f"{record.state}, offers {what} for {record.onto}, commit {record.offered[:10]}",
    ]
    for event in record.events:
        commit = f", commit {event.commit[:10]}" if event.commit else ""
        lines += ["", f"{WORDS[event.kind]} {_day(event)} by {event.by}{commit}"]
        lines += [f"    {line}".rstrip() for line in event.message.splitlines()]
    return lines


def check_lines(check: RequestCheck) -> list[str]:
    """The verdict, and what it rests on."""
    record = check.request
    lines = [
        f"request {record.id}: {record.title}",
        f"  by {record.author}, for {check.onto} at {check.target[:10]}",
        f"  {check.verdict}",
    ]
    for how, kinds in vars(check.incoming).items():
        for kind, names in kinds.items():
            if kind != "job":
                lines.append(f"  {how:8} {kind:12} {_few(names)}")
    for one in check.species:
        hits = None if check.collisions is None else [hit for hit in check.collisions if hit.offered == one.name]
        lines += species_lines(one, hits)
    lines += matching_lines(check.matching)
    lines += [f"  conflict: {one.label}: {one.reason}" for one in check.conflicts]
    lines += [f"  note: {note}" for note in check.notes]
    return lines + _next_lines(check)


def _next_lines(check: RequestCheck) -> list[str]:
    match check.verdict.answer:
        case "can be merged":
            return [f"next: mpop request merge {check.request.id}"]
        case "can be merged after":
            return [f"next: mpop request merge {check.request.id}", *(f"  {one}" for one in check.verdict.steps)]
        case "cannot be merged":
            reasons = [f"  because {one}" for one in check.verdict.reasons]
            return [*reasons, *(f"next: {one}" for one in check.verdict.steps)]
    return []


def species_lines(one: OfferedSpecies, collisions: list[SeriesCollisions] | None) -> Iterator[str]:
    """A species and a table of its series. collisions: None where they were not looked for."""
    before = f", {angstrom(one.before_A)} before" if one.how == "changed" else ""
    yield (
        f"  species {one.name} ({one.how}, {one.symmetry}, {one.diameter_A:g} A): {one.particles} particles, "
        f"claims {angstrom(one.claimed_A)}, half-maps give {angstrom(one.derived_A)}{before}"
    )
    in_the_way = {hit.item for hit in collisions or ()}
    rows = sorted(one.series, key=lambda row: row.item not in in_the_way)[:MAX_ROWS]
    width = max([len(row.name) for row in rows] + [6])
    yield f"    {'series':{width}}  particles  before  half 1  half 2  collisions"
    for row in sorted(rows, key=lambda row: row.name):
        hits = [_collision_words(hit) for hit in collisions or () if hit.item == row.item]
        none = "?" if collisions is None else "-"
        numbers = f"{row.particles:9}  {row.before:6}  {row.half1:6}  {row.half2:6}"
        yield f"    {row.name:{width}}  {numbers}  {'; '.join(hits) or none}"
    if len(one.series) > len(rows):
        yield f"    and {len(one.series) - len(rows)} more series"
    if one.unchanged:
        yield f"    and {one.unchanged} series in which its particles are as before"


def _collision_words(hit: SeriesCollisions) -> str:
    if hit.kind == "duplicate":
        return f"{hit.count} picked twice"
    return f"{hit.count} with {hit.other} ({hit.overlap:.0%} of the smaller, nearest {hit.nearest_A:.1f} A)"


def merge_lines(done: MergedRequest) -> list[str]:
    """What a merge did."""
    lines = [f"resolved: {label}: {how}" for label, how in done.resolved.items()]
    lines += [f"removed {count} particles of {name}" for name, count in done.removed.items()]
    lines += [f"    {count}: {because}" for because, count in done.because.items()]
    if done.removed:
        lines.append("    their half-maps hold these particles until `mpop reconstruct` or `mpop refine`")
    if done.left:
        lines.append(f"{done.left} collisions stay")
    lines += [f"refinement is due: {due.in_words}" for due in done.due]
    return [*lines, f"request {done.request.id} is merged, in commit {done.commit[:10]}"]


def _few(names: list[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
