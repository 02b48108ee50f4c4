"""The typed records that live in Git: models of what `mpop_hooks.schema` says of each record type.

Every record has a `version`: BLAKE3 of the canonical JSON (RFC 8785) of the record without the fields
`version` and `derived` (`mpop_store.version_of`). So it covers everything the record names, its parent
and its job included, and `mpop verify` can derive it again. Fields called `*_object` hold the BLAKE3 name
of an object or of a group manifest in the store. No arithmetic here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mpop_hooks import schema
from mpop_hooks.attachments import FIELDS_BEFORE, with_attachments
from mpop_hooks.record_types import Fields
from mpop_hooks.schema import FailedSeries, RawImage, SourceType

__all__ = [
    "MODELS",
    "FailedSeries",
    "ItemRecord",
    "JobRecord",
    "PopulationRecord",
    "RawImage",
    "Record",
    "SourceRecord",
    "SourceType",
    "SpeciesHead",
    "SpeciesPart",
    "SpeciesRecord",
    "model_of",
]


class Record(BaseModel):
    """Base of all records: unknown fields are refused, values do not change in place.

    A validator is built at its first use: most commands read two kinds of record, and building all takes 10 ms.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class PopulationRecord(Record, schema.Population):
    """`population.json`."""


class SourceRecord(Record, schema.Source):
    """`sources/<id>.json`."""


class ItemRecord(Record, schema.Item):
    """`items/<id[:2]>/<id>.json`."""

    @model_validator(mode="before")
    @classmethod
    def _in_fields_of_today(cls, record: Any) -> Any:
        """Records of the first versions have fields for Warp's files, and a version that covers these."""
        return with_attachments(record) if isinstance(record, dict) and FIELDS_BEFORE.keys() & record else record


class SpeciesHead(Record, schema.Species):
    """`species/<id>.json`."""


class SpeciesPart(Record, schema.SpeciesPart):
    """`species/<id>/<digits>.json`."""


class SpeciesRecord(SpeciesHead):
    """A whole species: the head and what its parts hold. `n_items` and `parts` follow from the rest."""

    particles: dict[str, str]
    item_versions: dict[str, str] = Field(default_factory=dict)


class JobRecord(Record, schema.Job):
    """`jobs/<id[:2]>/<id>.json`."""


MODELS: dict[str, type[Record]] = {
    one.model_fields["kind"].default: one
    for one in (PopulationRecord, SourceRecord, ItemRecord, SpeciesHead, SpeciesPart, JobRecord)
}
"""Kind -> model."""


def model_of(kind: str) -> type[Record]:
    """The model of a kind of record; one made of its fields alone where the science has none of its own."""
    return MODELS.get(kind) or _made_of(schema.SCHEMA.types[kind].fields_of)


@cache
def _made_of(fields: type[Fields]) -> type[Record]:
    return type(fields.__name__, (Record, fields), {"__doc__": fields.__doc__})
