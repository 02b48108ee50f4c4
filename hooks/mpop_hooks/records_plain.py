"""Records are what they say and hold nothing that could do harm: asked first, of everything that strangers write.

Records travel between labs, and a program that reads one makes paths, tables and arrays of what is in it. So a
record lies at the path that its kind and id demand, ids and hashes are hexadecimal, names are no paths, all text
can be printed, sizes have bounds (`mpop_hooks.schema`). Where raw images are is stated, and never followed without
comparing them with their hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mpop_hooks.fields import is_readable
from mpop_hooks.names import MAX_NAME
from mpop_hooks.proposal import Proposal, Record
from mpop_hooks.schema import SCHEMA
from mpop_hooks.violations import Violation

RULE = "records-plain"
ADVICE = "make this record with mpop, do not edit it by hand"

NOT_RELATIVE = re.compile(r"[/\\~]|[A-Za-z]:")
"""How a path begins, here or on Windows, that does not start from a folder of the population."""


def check(proposal: Proposal) -> Iterator[Violation]:
    """Findings for records that are not what mpop writes."""
    for path, record in proposal.records.items():
        if problem := problem_with_record(path, record):
            yield Violation(RULE, printable(path), problem, ADVICE)
        elif elsewhere := list(filter(NOT_RELATIVE.match, [raw["path"] for raw in record.get("raw", ())])):
            message = f"{len(elsewhere)} raw images are not named relative to the population ({elsewhere[0]})"
            yield Violation(RULE, path, message, "nobody else will find them", severity="note")


def problem_with_record(path: str, record: Record) -> str | None:
    """The first thing that is wrong with a record at a path, in words; None for one that mpop writes."""
    return next(_problems(path, record), None)


def printable(text: str) -> str:
    """Text of a stranger, safe to show on a terminal."""
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= MAX_NAME else f"{shown[:MAX_NAME]}..."


def _problems(path: str, record: Record) -> Iterator[str]:
    kind = str(record.get("kind"))
    if kind not in SCHEMA.types:
        yield f"records of kind {printable(kind)} are not known; update mpop"
        return
    found = SCHEMA.types[kind]
    yield from (f"it has no {name}" for name, one in found.fields.items() if one.is_needed and name not in record)
    if not is_readable(record):
        yield "it holds characters that cannot be printed, or is nested too deeply"
    for one, name, value in SCHEMA.fields_in(record):
        if one.must is not None and not one.must.check(value):
            yield f"its {name} {one.must.complaint}"
    if path != (place := found.path_of(record)):
        yield f"a record of this kind and id belongs at {place}"
