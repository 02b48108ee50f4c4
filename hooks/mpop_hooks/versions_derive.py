"""Every record's version is the hash of its content: nobody can change a result and keep its version."""

from __future__ import annotations

from collections.abc import Iterator

from mpop_hooks.findings import Finding
from mpop_hooks.proposal import Proposal
from mpop_store import version_of

RULE = "versions-derive"
ADVICE = "do not edit records by hand; let mpop write them"


def check(proposal: Proposal) -> Iterator[Finding]:
    """Findings for records whose version does not follow from their content."""
    for path, record in proposal.records.items():
        if record.get("version") != version_of(record):
            yield Finding(RULE, path, "the version of this record is not the hash of its content", ADVICE)
