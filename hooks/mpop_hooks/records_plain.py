"""Records are what they say and hold nothing that could do harm: asked first, of everything that strangers write.

Records travel between labs, and a program that reads one makes paths, tables and arrays of what is in it. So a
record lies at the path that its kind and id demand, ids and hashes are hexadecimal, names are no paths, all text
can be printed, sizes have bounds (`mpop_hooks.fields`). Where raw images are is stated, and never followed without
comparing them with their hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from mpop_hooks.fields import wrong_fields
from mpop_hooks.findings import Finding
from mpop_hooks.names import MAX_NAME
from mpop_hooks.proposal import Proposal, Record
from mpop_hooks.species_parts import HEAD, PART

RULE = "records-plain"
ADVICE = "make this record with mpop, do not edit it by hand"

REQUIRED = {
    "population": ("name", "format"),
    "source": ("id", "name", "items", "pixel_size_A", "image_shape", "volume_dims_A"),
    "item": ("id", "name", "source", "raw", "model_object"),
    HEAD: ("id", "name", "symmetry", "diameter_A", "pixel_size_A", "box", "maps_object", "n_particles"),
    PART: ("species", "particles", "item_versions"),
    "job": ("id", "verb", "parameters", "inputs", "software"),
}
"""Kind -> fields without which nothing can be made of a record."""

PATHS: Mapping[str, Callable[[Record], str]] = {
    "population": lambda record: "population.json",
    "source": lambda record: f"sources/{record['id']}.json",
    "item": lambda record: f"items/{record['id'][:2]}/{record['id']}.json",
    HEAD: lambda record: f"species/{record['id']}.json",
    PART: lambda record: f"species/{record['species']}/{_digits(record)}.json",
    "job": lambda record: f"jobs/{record['id'][:2]}/{record['id']}.json",
}
"""Kind -> where a record of this kind lies."""

NOT_RELATIVE = re.compile(r"[/\\~]|[A-Za-z]:")
"""How a path begins, here or on Windows, that does not start from a folder of the population."""


def check(proposal: Proposal) -> Iterator[Finding]:
    """Findings for records that are not what mpop writes."""
    for path, record in proposal.records.items():
        if problem := problem_with_record(path, record):
            yield Finding(RULE, printable(path), problem, ADVICE)
        elif elsewhere := list(filter(NOT_RELATIVE.match, [raw["path"] for raw in record.get("raw", ())])):
            message = f"{len(elsewhere)} raw images are not named relative to the population ({elsewhere[0]})"
            yield Finding(RULE, path, message, "nobody else will find them", severity="note")


def problem_with_record(path: str, record: Record) -> str | None:
    """The first thing that is wrong with a record at a path, in words; None for one that mpop writes."""
    return next(_problems(path, record), None)


def printable(text: str) -> str:
    """Text of a stranger, safe to show on a terminal."""
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= MAX_NAME else f"{shown[:MAX_NAME]}..."


def _problems(path: str, record: Record) -> Iterator[str]:
    kind = str(record.get("kind"))
    if kind not in PATHS:
        yield f"records of kind {printable(kind)} are not known; update mpop"
        return
    yield from (f"it has no {field}" for field in REQUIRED[kind] if field not in record)
    yield from wrong_fields(record)
    if path != (place := PATHS[kind](record)):
        yield f"a record of this kind and id belongs at {place}"


def _digits(part: Record) -> str:
    """The two digits with which all items of a part begin."""
    digits = {item[:2] for field in ("particles", "item_versions") for item in part[field]}
    return digits.pop() if len(digits) == 1 else "?"
