"""Every record's version is the hash of its content: nobody can change a result and keep its version.

The head of a species names the version of each of its parts, so its version covers all particles.
"""

from __future__ import annotations

from collections.abc import Iterator

from mpop_hooks.proposal import Proposal, Record
from mpop_hooks.schema import PART, SPECIES
from mpop_hooks.violations import Violation
from mpop_store import InputError, version_of

RULE = "versions-derive"
ADVICE = "do not edit records by hand; let mpop write them"


def check(proposal: Proposal) -> Iterator[Violation]:
    """Findings for versions that do not follow from content, and parts of species that do not fit their head."""
    for path, record in proposal.records.items():
        if record.get("version") != _version(record):
            yield Violation(RULE, path, "the version of this record is not the hash of its content", ADVICE)
        if record.get("kind") == PART.kind and not _is_named(proposal, path, record):
            yield Violation(RULE, path, "the head of this species does not name this part", ADVICE)
        if record.get("kind") == SPECIES.kind:
            yield from _unfit_parts(proposal, path, record)


def _version(record: Record) -> str | None:
    try:
        return version_of(record)
    except InputError:
        return None  # holds what no JSON of ours does


def _is_named(proposal: Proposal, path: str, part: Record) -> bool:
    """Whether a new part is the one that the head, new or as it stays, names."""
    if (key := PART.key(path)) is None:
        return False
    species, digits = key
    head = proposal.records.get(SPECIES.path(species))
    if head is None and proposal.state is not None:
        head = proposal.state.get(SPECIES.path(species))
    return head is not None and head.get("parts", {}).get(digits) == part.get("version")


def _unfit_parts(proposal: Proposal, path: str, head: Record) -> Iterator[Violation]:
    """Parts that a head names anew and that do not come along, or that go although it names them still."""
    old = proposal.before.get(path, {}).get("parts", {})
    for digits, version in head.get("parts", {}).items():
        is_new = version != old.get(digits)
        if not (is_new or proposal.removed):
            continue  # as nearly all, of hundreds
        part = PART.path(str(head.get("id")), digits)
        if part in proposal.removed or (is_new and part not in proposal.records):
            yield Violation(RULE, part, "the head of the species names this part, and it is not there", ADVICE)
