"""The typed records that live in Git: population, source, item, species, job.

Every record has a `version`: BLAKE3 of the canonical JSON (RFC 8785) of the record without the fields
`version` and `derived` (`mpop_store.version_of`). So it covers everything the record names, its parent
and its job included, and `mpop verify` can derive it again. Fields called `*_object` hold the BLAKE3 name
of an object or of a group manifest in the store. No arithmetic here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mpop_hooks.attachments import FIELDS_BEFORE, with_attachments

SourceType = Literal["tilt-series", "particle-stack"]


class Record(BaseModel):
    """Base of all records: unknown fields are refused, values do not change in place.

    A validator is built at its first use: most commands read two kinds of record, and building all takes 10 ms.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class PopulationRecord(Record):
    """`population.json`: what this repository is. `format` is the version of the layout we write."""

    format: Literal[1] = 1
    kind: Literal["population"] = "population"
    name: str
    version: str = ""


class RawImage(Record):
    """One raw image: where it is (relative to the population, POSIX) and what it is (full-content BLAKE3)."""

    path: str
    hash: str
    size: int
    stored_object: str | None = None
    """Group with array `image` if the raw data were put into the store (`--store-raw`)."""


class SourceRecord(Record):
    """`sources/<id>.json`: a set of series, or of stacks of particle images, that were imported together."""

    kind: Literal["source"] = "source"
    id: str
    name: str
    type: SourceType = "tilt-series"
    pixel_size_A: float
    image_shape: tuple[int, int]
    """Rows, columns of a tilt image, or of a particle image."""
    volume_dims_A: tuple[float, float, float]
    """Of a tomogram; of a particle image, one pixel deep."""
    items: list[str]
    """Ids of its items, sorted."""
    version: str = ""


class ItemRecord(Record):
    """`items/<id[:2]>/<id>.json`: one series, or one stack of particle images, and its current model.

    id is derived from the content of the raw images, so that two labs that hold the same data under
    different names hold the same item.
    """

    kind: Literal["item"] = "item"
    id: str
    name: str
    source: str
    raw: list[RawImage]
    """One per tilt, in file order; of a stack, its file. [] never."""
    model_object: str
    """Group with the arrays of a TiltSeriesModel, or of a StackModel."""
    attachments: dict[str, str] = Field(default_factory=dict)
    """Name -> object: files of the program that it was imported from, byte for byte, so that what mpop does not
    know survives an export. Which there are is for the importer to say."""
    species_versions: dict[str, str] = Field(default_factory=dict)
    """Species id -> version of that species that this model was refined against."""
    job: str | None = None
    parent: str | None = None
    """Version of this item before."""
    merged: list[str] = Field(default_factory=list)
    """Versions that a merge joined with the parent: those of the other side."""
    version: str = ""

    @model_validator(mode="before")
    @classmethod
    def _in_fields_of_today(cls, record: Any) -> Any:
        """Records of the first versions have fields for Warp's files, and a version that covers these."""
        return with_attachments(record) if isinstance(record, dict) and FIELDS_BEFORE.keys() & record else record


class SpeciesHead(Record):
    """`species/<id>.json`: a macromolecule without what grows with the number of series."""

    kind: Literal["species"] = "species"
    id: str
    name: str
    symmetry: str
    diameter_A: float
    pixel_size_A: float
    box: int
    maps_object: str
    """Group with arrays half1, half2, mask, filtered (z, y, x) float32 and fsc (columns, shells)."""
    resolution_A: float | None
    """Where the corrected half-map FSC crosses 0.143; None when it never rises above."""
    n_particles: int
    n_items: int = 0
    """Number of items that contributed to the half-maps."""
    parts: dict[str, str] = Field(default_factory=dict)
    """First two digits of item ids -> version of the `SpeciesPart` with these items."""
    denoiser_object: str | None = None
    job: str | None = None
    parent: str | None = None
    merged: list[str] = Field(default_factory=list)
    """Versions that a merge joined with the parent: those of the other side."""
    version: str = ""
    derived: dict[str, Any] = Field(default_factory=dict)
    """Droppable, recomputable: {"sums": {source id: group with the Fourier sums}}. Not in the version."""


class SpeciesPart(Record):
    """`species/<id>/<digits>.json`: a species' particles in the items whose ids begin with two digits.

    Split so that a refined series changes a few kilobytes, however many series there are.
    """

    kind: Literal["species-part"] = "species-part"
    species: str
    particles: dict[str, str]
    """Item id -> group with the particles in that item (arrays id, half, position, angles)."""
    item_versions: dict[str, str]
    """Item id -> version of that item that contributed to the half-maps."""
    version: str = ""


class SpeciesRecord(SpeciesHead):
    """A whole species: the head and what its parts hold. `n_items` and `parts` follow from the rest."""

    particles: dict[str, str]
    item_versions: dict[str, str] = Field(default_factory=dict)


class FailedSeries(Record):
    """A series that a job could not use, and why."""

    item: str
    name: str
    reason: str


class JobRecord(Record):
    """`jobs/<id[:2]>/<id>.json`: what was done, from what, with what, and how it went.

    id is the BLAKE3 of the canonical JSON of kind, verb, parameters, seed and inputs: the job as a pure
    function. What the run was like (environment, times, scores) is in the record's version, not in its id.
    """

    kind: Literal["job"] = "job"
    id: str
    verb: Literal[
        "reconstruct", "refine", "merge", "fsc", "fsc3d", "local-resolution", "orientations", "denoise", "correct"
    ]
    parameters: dict[str, Any]
    seed: int
    inputs: dict[str, str]
    """Record path -> version read."""
    software: dict[str, str]
    device: str
    threads: int
    wall_s: float
    peak_GiB: float
    score_before: float | None = None
    score_after: float | None = None
    resolution_before_A: dict[str, float | None] = Field(default_factory=dict)
    resolution_after_A: dict[str, float | None] = Field(default_factory=dict)
    series: list[dict[str, Any]] = Field(default_factory=list)
    """Per series: item, name, score before and after, evaluations, seconds; `erased`: hot pixels, and the parts of
    the area that were blank or beads. What was left out whole is in the warnings."""
    failed: list[FailedSeries] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    result: dict[str, Any] = Field(default_factory=dict)
    """What a job found that changes no species, by name: numbers and sentences, as its `--json` prints them."""
    result_object: str | None = None
    """Group with the arrays that go with it: curves, volumes, maps."""
    version: str = ""
