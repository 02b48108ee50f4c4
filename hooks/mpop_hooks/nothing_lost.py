"""No tilt series and no particles disappear without anybody saying so.

What goes, goes by name: a tilt series with its whole source (`mpop source remove`), the particles of a species
with the whole species (`mpop species remove`) or with their tilt series. Whatever else is missing, from a job or
a merge that went wrong, is refused. Single particles may go; a series then keeps those that are left, or an
empty table.

Somebody who took a single series out of the working state has seen it in `mpop status` and may commit that, but
others do not have to accept it. Of every source and species that goes in a merge or a push, people get a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mpop_hooks.proposal import Proposal, Record
from mpop_hooks.schema import ITEM, PART, POPULATION, SOURCE, SPECIES, particle_groups
from mpop_hooks.violations import Violation

RULE = "nothing-lost"
RESTORE = "bring it back with `mpop restore`"


def check(proposal: Proposal) -> Iterator[Violation]:
    """Findings for series and particles that are gone while what they belong to is still there."""
    for finding in _losses(proposal):
        yield replace(finding, severity="note") if proposal.by_hand else finding


def _losses(proposal: Proposal) -> Iterator[Violation]:
    for path, record in proposal.removed.items():
        match record.get("kind"):
            case POPULATION.kind:
                yield Violation(RULE, path, "the record of the population itself is gone", RESTORE)
            case ITEM.kind:
                yield from _lost_item(proposal, path, record)
            case SOURCE.kind | SPECIES.kind as kind if proposal.event != "commit":
                message = f"{kind} {record.get('name')} is taken out"
                yield Violation(RULE, path, message, "its history stays", severity="note")
            case PART.kind:
                yield from _lost_particles(proposal, path, record, {})
    for path, record in proposal.records.items():
        old = proposal.before.get(path, {})
        if record.get("kind") == SOURCE.kind:
            yield from _unlisted(path, old, record)
        elif record.get("kind") in (PART.kind, SPECIES.kind):
            yield from _lost_particles(proposal, path, old, record)


def _lost_item(proposal: Proposal, path: str, item: Record) -> Iterator[Violation]:
    source = SOURCE.path(str(item.get("source")))
    if source not in proposal.removed and (proposal.state is None or source in proposal.state):
        advice = f"{RESTORE}, or take out the whole source with `mpop source remove`"
        yield Violation(RULE, path, f"tilt series {item.get('name')} is gone, and its source is not", advice)


def _unlisted(path: str, old: Record, new: Record) -> Iterator[Violation]:
    gone = set(old.get("items", ())) - set(new.get("items", ()))
    if gone:
        message = f"source {new.get('name')} no longer lists {len(gone)} of its tilt series (first: {min(gone)})"
        yield Violation(RULE, path, message, RESTORE)


def _lost_particles(proposal: Proposal, path: str, old: Record, new: Record) -> Iterator[Violation]:
    key = PART.key(path)
    if key is not None and SPECIES.path(key[0]) in proposal.removed:
        return
    gone = [
        item
        for item in particle_groups(old)
        if item not in particle_groups(new) and ITEM.path(item) not in proposal.removed
    ]
    if gone:
        message = f"the species no longer names its particles in {len(gone)} tilt series (first: {min(gone)})"
        advice = f"{RESTORE}, or take out the whole species with `mpop species remove`"
        yield Violation(RULE, path, message, advice)
