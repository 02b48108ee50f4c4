"""Records are what they say and hold nothing that could do harm: asked first, of everything that strangers write.

Records travel between labs, and a program that reads one makes paths, tables and arrays of what is in it. So a
record lies at the path that its kind and id demand, ids and hashes are hexadecimal, names are short, printable
and no paths, sizes have bounds. Where raw images are is told and never followed without comparing them with
their hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mpop_hooks.findings import Finding
from mpop_hooks.proposal import Proposal, Record

RULE = "records-plain"
ADVICE = "make this record with mpop, do not edit it by hand"

ID = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{48})?")
HASH = re.compile(r"[0-9a-f]{64}")
SYMMETRY = re.compile(r"[CD][1-9]\d{0,2}|T|O|I[1-4]?")
MAX_NAME = 200
MAX_PATH = 4096
MAX_RAW_BYTES = 2**50
NUMBERS = {
    "box": (1, 1024),
    "n_particles": (0, 10**10),
    "n_items": (0, 10**8),
    "pixel_size_A": (1e-3, 1e4),
    "diameter_A": (1e-3, 1e6),
}
"""Fields that decide how much memory is taken -> smallest and largest value."""


def _item_path(record: Record) -> str:
    return f"{record['id'][:2]}/{record['id']}"


PATHS: Mapping[str, Callable[[Record], str]] = {
    "population": lambda record: "population.json",
    "source": lambda record: f"sources/{record['id']}.json",
    "item": lambda record: f"items/{_item_path(record)}.json",
    "species": lambda record: f"species/{record['id']}.json",
    "species-part": lambda record: f"species/{record['species']}/{_digits(record)}.json",
    "job": lambda record: f"jobs/{_item_path(record)}.json",
}
"""Kind -> where a record of this kind lies."""


def check(proposal: Proposal) -> Iterator[Finding]:
    """Findings for records that are not what mpop writes."""
    for path, record in proposal.records.items():
        try:
            problem = next(_problems(path, record), None)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            problem = "a field is missing or of the wrong kind"
        if problem:
            yield Finding(RULE, printable(path), problem, ADVICE)
        elif elsewhere := [raw["path"] for raw in record.get("raw", ()) if not _is_relative(raw["path"])]:
            message = f"{len(elsewhere)} raw images are not named relative to the population ({elsewhere[0]})"
            yield Finding(RULE, path, message, "nobody else will find them", severity="note")


def printable(text: str) -> str:
    """Text of a stranger, safe to show on a terminal."""
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= MAX_NAME else f"{shown[:MAX_NAME]}..."


def _problems(path: str, record: Record) -> Iterator[str]:
    kind = str(record.get("kind"))
    if kind not in PATHS:
        yield f"records of kind {printable(kind)} are not known; update mpop"
        return
    for field in ("id", "species", "source", "job"):
        if isinstance(record.get(field), str) and not ID.fullmatch(record[field]):
            yield f"its {field} is not an id"
    if path != PATHS[kind](record):
        yield f"a record of this kind and id belongs at {printable(PATHS[kind](record))}"
    if "name" in record and not _is_name(record["name"]):
        yield "its name is empty, too long, not printable or looks like a path"
    yield from _wrong_hashes(record)
    for field, (low, high) in NUMBERS.items():
        if field in record and not (_is_number(record[field]) and low <= record[field] <= high):
            yield f"its {field} is not between {low:g} and {high:g}"
    if "symmetry" in record and not SYMMETRY.fullmatch(record["symmetry"]):
        yield "its symmetry is no point group"
    for raw in record.get("raw", ()):
        yield from _raw_problems(raw)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_name(name: Any) -> bool:
    """Names are for people; programs may still make file names of them."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= MAX_NAME
        and name.isprintable()
        and name == name.strip()
        and not name.startswith((".", "-"))
        and not {"/", "\\"} & set(name)
    )


def _wrong_hashes(record: Record) -> Iterator[str]:
    """Names of objects become paths in the store, so they are looked at before any object is."""
    named = [value for key, value in record.items() if key.endswith("_object") and value is not None]
    named += [kept["group"] for kept in record.get("derived", {}).get("sums", {}).values()]
    named += [record[field] for field in ("version", "parent") if record.get(field) is not None]
    for field in ("particles", "item_versions", "species_versions", "parts"):
        by_id = record.get(field, {})
        if not all(ID.fullmatch(key) or (field == "parts" and re.fullmatch("[0-9a-f]{2}", key)) for key in by_id):
            yield f"its {field} are not by id"
        named += by_id.values()
    for item in record.get("items", ()):
        if not ID.fullmatch(item):
            yield "its items are not ids"
    if not all(isinstance(name, str) and HASH.fullmatch(name) for name in named):
        yield "it names an object or a version by something that is not a hash"


def _is_relative(path: str) -> bool:
    return not path.startswith(("/", "\\", "~")) and re.match("[A-Za-z]:", path) is None


def _raw_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    path = raw["path"]
    if not (0 < len(path) <= MAX_PATH and path.isprintable()):
        yield "a raw image has no path that could be printed"
    if not HASH.fullmatch(raw["hash"]) or not (
        raw.get("stored_object") is None or HASH.fullmatch(raw["stored_object"])
    ):
        yield "a raw image is named by something that is not a hash"
    if not (_is_number(raw["size"]) and 0 <= raw["size"] <= MAX_RAW_BYTES):
        yield "a raw image has a size that no file has"


def _digits(record: Record) -> str:
    """The two digits with which all items of a part begin."""
    (digits,) = {item[:2] for field in ("particles", "item_versions") for item in record[field]}
    return digits
