"""The schema of a population: every record type with its fields, what they must be and what they name.

This is the only place that says so. To add a field, write a line in its class; to add a record type, a class and a
line in `SCHEMA`. The models of the science are made of these classes (`mpop.records.models`), policies look at
records by them, and whoever needs the path of a record, or what lives at a path, asks here.

A field without a default must be in every record. A field called `..._object` names a group of arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from mpop_hooks.attachments import FIELDS_BEFORE
from mpop_hooks.fields import (
    POINT_GROUP,
    Hex,
    OrNone,
    WithFields,
    a,
    a_hash,
    a_length,
    an_id,
    between,
    by,
    each,
    is_path,
    matches,
    some,
)
from mpop_hooks.names import is_name
from mpop_hooks.record_types import (
    Field,
    Fields,
    Must,
    NamesObjects,
    NamesRecords,
    Record,
    RecordType,
    Schema,
    described_by,
    itself,
)
from mpop_store.references import References

SourceType = Literal["tilt-series", "particle-stack"]

STATE = "state"
"""Among the inputs of a job, which are versions of records, the group that the iteration before handed on."""

NOT_A_HASH = "is not a hash"
NOT_AN_ID = "is not an id"

Id = Annotated[str, Must(an_id, NOT_AN_ID)]
Name = Annotated[str, Must(is_name, "is empty, too long or looks like a path")]
Hash = Annotated[str, Must(a_hash, NOT_A_HASH)]
Length = Annotated[float, Must(a_length, "is no length")]
Group = Annotated[str, Must(a_hash, NOT_A_HASH), NamesObjects("groups", itself)]
GroupOrNone = Annotated[str | None, Must(OrNone(a_hash), NOT_A_HASH), NamesObjects("groups", itself)]
Parent = Annotated[str | None, Must(OrNone(a_hash), NOT_A_HASH), NamesRecords("parent", "version", itself)]
Merged = Annotated[
    list[str], Must(each(a_hash), "are not hashes"), NamesRecords("merged version", "version", list)
]
JobOrNone = Annotated[str | None, Must(OrNone(an_id), NOT_AN_ID), NamesRecords("job", "job id", itself)]


class Population(Fields):
    """What this repository is. `format` is the version of the layout that we write."""

    format: Literal[1]
    kind: Literal["population"] = "population"
    name: Name
    version: Hash = ""


@dataclass(frozen=True, kw_only=True)
class RawImage:
    """One raw image: where it is (relative to the population, POSIX) and what it is (full-content BLAKE3)."""

    path: Annotated[str, Must(is_path, "is no path")]
    hash: Hash
    size: Annotated[int, Must(between(0, 2**50), "is no size")]
    stored_object: GroupOrNone = None
    """Group with array `image` if the raw data were put into the store (`--store-raw`)."""


def _stored(raw: list[dict[str, Any]]) -> Iterator[str]:
    return (one["stored_object"] for one in raw if one.get("stored_object") is not None)


class Source(Fields):
    """A set of series, or of stacks of particle images, that were imported together."""

    kind: Literal["source"] = "source"
    id: Id
    name: Name
    type: SourceType = "tilt-series"
    pixel_size_A: Length
    image_shape: Annotated[tuple[int, int], Must(each(between(1, 10**6), 2), "are not rows and columns")]
    """Rows, columns of a tilt image, or of a particle image."""
    volume_dims_A: Annotated[tuple[float, float, float], Must(each(a_length, 3), "are not three lengths")]
    """Of a tomogram; of a particle image, one pixel deep."""
    items: Annotated[list[str], Must(each(an_id), "are not ids"), NamesRecords("series or stack", "item id", list)]
    """Ids of its items, sorted."""
    version: Hash = ""


class Item(Fields):
    """One series, or one stack of particle images, and its current model.

    id is derived from the content of the raw images, so that two labs that hold the same data under
    different names hold the same item.
    """

    kind: Literal["item"] = "item"
    id: Id
    name: Name
    source: Annotated[str, Must(an_id, NOT_AN_ID), NamesRecords("source", "source id", itself)]
    raw: Annotated[
        list[RawImage],
        Must(some(described_by(RawImage)), "does not describe raw images"),
        NamesObjects("groups", _stored),
    ]
    """One per tilt, in file order; of a stack, its file. [] never."""
    model_object: Group
    """Group with the arrays of a TiltSeriesModel, or of a StackModel."""
    attachments: Annotated[
        dict[str, str],
        Must(by(is_name, a_hash), "do not name objects by name"),
        NamesObjects("files", dict.values),
    ] = field(default_factory=dict)
    """Name -> object: files of the program that it was imported from, byte for byte, so that what mpop does not
    know survives an export. Which there are is for the importer to say."""
    species_versions: Annotated[
        dict[str, str],
        Must(by(an_id, a_hash), "does not name versions by species id"),
        NamesRecords("reference", "species version", dict.values),
    ] = field(default_factory=dict)
    """Species id -> version of that species that this model was refined against."""
    job: JobOrNone = None
    parent: Parent = None
    """Version of this item before."""
    merged: Merged = field(default_factory=list)
    """Versions that a merge joined with the parent: those of the other side."""
    version: Hash = ""


FILE_OF_FIRST_VERSIONS = Field(must=Must(OrNone(a_hash), NOT_A_HASH), objects=NamesObjects("files", itself))

kept_sums = WithFields(sums=OrNone(by(an_id, WithFields(key=a(str), group=a_hash))))


def _kept_groups(derived: dict[str, Any]) -> Iterator[str]:
    return (kept["group"] for kept in derived.get("sums", {}).values())


class Species(Fields):
    """A macromolecule without what grows with the number of series: the head of its records."""

    kind: Literal["species"] = "species"
    id: Id
    name: Name
    symmetry: Annotated[str, Must(matches(POINT_GROUP), "is no point group")]
    diameter_A: Length
    pixel_size_A: Length
    box: Annotated[int, Must(between(1, 1024), "is not between 1 and 1024")]
    maps_object: Group
    """Group with arrays half1, half2, mask, filtered (z, y, x) float32 and fsc (columns, shells)."""
    resolution_A: Annotated[float | None, Must(OrNone(a_length), "is no length")]
    """Where the corrected half-map FSC crosses 0.143; None when it never rises above."""
    n_particles: Annotated[int, Must(between(0, 10**10), "is no number of particles")]
    n_items: Annotated[int, Must(between(0, 10**8), "is no number of series")] = 0
    """Number of items that contributed to the half-maps."""
    parts: Annotated[
        dict[str, str],
        Must(by(Hex(2), a_hash), "does not name versions by two digits"),
        NamesRecords("part", "species-part version", dict.values),
    ] = field(default_factory=dict)
    """First two digits of item ids -> version of the part with these items."""
    denoiser_object: GroupOrNone = None
    job: JobOrNone = None
    parent: Parent = None
    merged: Merged = field(default_factory=list)
    """Versions that a merge joined with the parent: those of the other side."""
    version: Hash = ""
    derived: Annotated[
        dict[str, Any],
        Must(kept_sums, "does not describe what can be computed again"),
        NamesObjects("derived", _kept_groups),
    ] = field(default_factory=dict)
    """Droppable, recomputable: {"sums": {source id: group with the Fourier sums}}. Not in the version."""


class SpeciesPart(Fields):
    """A species' particles in the items whose ids begin with two digits.

    Split so that a refined series changes a few kilobytes, however many series there are. The head names the
    version of every part, so that its own version covers all particles.
    """

    kind: Literal["species-part"] = "species-part"
    species: Annotated[str, Must(an_id, NOT_AN_ID), NamesRecords("species", "species id", itself)]
    particles: Annotated[
        dict[str, str],
        Must(by(an_id, a_hash), "does not name groups by item id"),
        NamesObjects("groups", dict.values),
        NamesRecords("series or stack", "item id", list),
    ]
    """Item id -> group with the particles in that item (arrays id, half, position, angles)."""
    item_versions: Annotated[
        dict[str, str],
        Must(by(an_id, a_hash), "does not name versions by item id"),
        NamesRecords("contribution", "item version", dict.values),
    ]
    """Item id -> version of that item that contributed to the half-maps."""
    version: Hash = ""


BY_ITEM = ("particles", "item_versions")
"""The fields of a species that its parts hold."""


def _digits(part: Record) -> str:
    """The two digits with which all items of a part begin."""
    digits = {item[:2] for name in BY_ITEM for item in part[name]}
    return digits.pop() if len(digits) == 1 else "?"


@dataclass(frozen=True, kw_only=True)
class FailedSeries:
    """A series that a job could not use, and why."""

    item: Id
    name: Name
    reason: Annotated[str, Must(a(str), "is no text")]


def _handed_on(inputs: dict[str, str]) -> Iterator[str]:
    return (inputs[name] for name in inputs if name == STATE)


class Job(Fields):
    """What was done, from what, with what, and how it went.

    id is the BLAKE3 of the canonical JSON of kind, verb, parameters, seed and inputs: the job as a pure
    function. What the run was like (environment, times, scores) is in the record's version, not in its id.
    """

    kind: Literal["job"] = "job"
    id: Id
    verb: Annotated[
        Literal[
            "reconstruct",
            "refine",
            "merge",
            "fsc",
            "fsc3d",
            "local-resolution",
            "orientations",
            "denoise",
            "correct",
        ],
        Must(a(str), "is no verb"),
    ]
    parameters: Annotated[dict[str, Any], Must(a(dict), "are not by name")]
    seed: int
    inputs: Annotated[
        dict[str, str],
        Must(by(a(str), a_hash), "does not name versions by path"),
        NamesObjects("groups", _handed_on),
    ]
    """Record path -> version read; of an iteration also "state" -> the group that the one before handed on."""
    software: Annotated[dict[str, str], Must(by(a(str), a(str)), "does not name versions by program")]
    device: str
    threads: int
    wall_s: float
    peak_GiB: float
    score_before: float | None = None
    score_after: float | None = None
    resolution_before_A: dict[str, float | None] = field(default_factory=dict)
    resolution_after_A: dict[str, float | None] = field(default_factory=dict)
    series: Annotated[list[dict[str, Any]], Must(each(a(dict)), "does not list series")] = field(
        default_factory=list
    )
    """Per series: item, name, score before and after, evaluations, seconds; `erased`: hot pixels, and the parts of
    the area that were blank or beads. What was left out whole is in the warnings."""
    failed: Annotated[list[FailedSeries], Must(each(described_by(FailedSeries)), "does not list series")] = field(
        default_factory=list
    )
    warnings: Annotated[list[str], Must(each(a(str)), "are not lines")] = field(default_factory=list)
    result: Annotated[dict[str, Any], Must(a(dict), "is not by name")] = field(default_factory=dict)
    """What a job found that changes no species, by name: numbers and sentences, as its `--json` prints them."""
    result_object: GroupOrNone = None
    """Group with the arrays that go with it: curves, volumes, maps."""
    version: Hash = ""


POPULATION = RecordType(Population, "population.json")
SOURCE = RecordType(Source, "sources/{id}.json")
ITEM = RecordType(Item, "items/{id:.2}/{id}.json", earlier=dict.fromkeys(FIELDS_BEFORE, FILE_OF_FIRST_VERSIONS))
SPECIES = RecordType(Species, "species/{id}.json")
PART = RecordType(SpeciesPart, "species/{species}/{digits}.json", follows={"digits": _digits})
JOB = RecordType(Job, "jobs/{id:.2}/{id}.json")

SCHEMA = Schema(POPULATION, SOURCE, ITEM, SPECIES, PART, JOB)


def references_of(record: Record) -> References:
    """What a record names in the object store; for `mpop_store`, which does not know records."""
    return SCHEMA.references_of(record)


def particle_groups(record: Record) -> Mapping[str, str]:
    """Item id -> group of the particles of a species there, as far as this record names them."""
    return record.get("particles", {}) if record.get("kind") in (SPECIES.kind, PART.kind) else {}
