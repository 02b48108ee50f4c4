"""The policy on records: what others send can be read by this mpop, field by field.

`mpop_hooks.records_plain` has seen before that nothing in a record does harm. A record with a field too many, or
with text where a number belongs, would still make a population unreadable for everybody who pulls it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from mpop.records.models import model_of
from mpop_hooks import Proposal, Violation, hookimpl

RULE = "records-known"
ADVICE = "update mpop here, or have the record made by an mpop of this version"


@hookimpl
def mpop_check(proposal: Proposal) -> Iterator[Violation]:
    """Findings for records from elsewhere that this mpop cannot read."""
    if proposal.event == "commit":
        return
    for path, record in proposal.records.items():
        try:
            model_of(record["kind"]).model_validate(record)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            yield Violation(RULE, path, f"this mpop cannot read its field {where}: {problem['msg']}", ADVICE)
