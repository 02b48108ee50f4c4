"""Everything that a record names is in the store: a commit never points at data that is not there.

What the record before named too was asked for then; `mpop verify` finds what is lost later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mpop_hooks.attachments import FIELDS_BEFORE, attachments_of
from mpop_hooks.findings import Finding
from mpop_hooks.proposal import Proposal
from mpop_hooks.species_parts import particle_groups
from mpop_store import MpopError
from mpop_store.arrays.manifests import group_objects
from mpop_store.references import References

RULE = "objects-complete"
ADVICE = "run the command that made this record again, or fetch the data first"

STATE = "state"
"""Among the inputs of a job, which are versions of records, the group that the iteration before handed on."""


def references_of(record: Mapping[str, Any]) -> References:
    """What a record names in the object store; for `mpop_store`, which does not know records."""
    groups = [
        value
        for key, value in record.items()
        if key.endswith("_object") and key not in FIELDS_BEFORE and value is not None
    ]
    groups += particle_groups(record).values()
    groups += [raw["stored_object"] for raw in record.get("raw", ()) if raw.get("stored_object") is not None]
    groups += [record["inputs"][STATE]] if STATE in record.get("inputs", ()) else []
    derived = [kept["group"] for kept in record.get("derived", {}).get("sums", {}).values()]
    return References(tuple(groups), tuple(attachments_of(record).values()), tuple(derived))


def check(proposal: Proposal) -> Iterator[Finding]:
    """Findings for objects, of groups their parts too, that are named but missing."""
    for path, record in proposal.records.items():
        wanted, known = references_of(record), references_of(proposal.before.get(path, {}))
        needed = [name for name in wanted.files if name not in set(known.files)]
        for name in sorted(set(wanted.groups) - set(known.groups)):
            try:
                needed += group_objects(proposal.objects, name)
            except MpopError as error:
                yield Finding(RULE, path, str(error), ADVICE)
        for name in needed:
            if not proposal.objects.has(name):
                yield Finding(RULE, path, f"object {name} is named but is not in the store", ADVICE)
