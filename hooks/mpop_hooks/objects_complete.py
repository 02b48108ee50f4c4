"""Everything that a record names is in the store: a commit never points at data that is not there.

What the record before named too was asked for then; `mpop verify` finds what is lost later.
"""

from __future__ import annotations

from collections.abc import Iterator

from mpop_hooks.proposal import Proposal
from mpop_hooks.schema import references_of
from mpop_hooks.violations import Violation
from mpop_store import MpopError
from mpop_store.arrays.manifests import group_objects

RULE = "objects-complete"
ADVICE = "run the command that made this record again, or fetch the data first"


def check(proposal: Proposal) -> Iterator[Violation]:
    """Findings for objects, of groups their parts too, that are named but missing."""
    for path, record in proposal.records.items():
        wanted, known = references_of(record), references_of(proposal.before.get(path, {}))
        needed = [name for name in wanted.files if name not in set(known.files)]
        for name in sorted(set(wanted.groups) - set(known.groups)):
            try:
                needed += group_objects(proposal.objects, name)
            except MpopError as error:
                yield Violation(RULE, path, str(error), ADVICE)
        for name in needed:
            if not proposal.objects.has(name):
                yield Violation(RULE, path, f"object {name} is named but is not in the store", ADVICE)
