"""Attachments of an item: files of the program that it was imported from, kept byte for byte, each an object.

The first versions had a field of its own for each of Warp's two files. Records with these fields stay as they
are, so that the versions and commits that cover them do, and are read as if they had attachments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WARP_XML, WARP_TOMOSTAR = "warp.xml", "warp.tomostar"

FIELDS_BEFORE = {"warp_xml_object": WARP_XML, "tomostar_object": WARP_TOMOSTAR}
"""Field of the first versions -> the attachment that it is."""


def attachments_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Names of attachments, and of the objects that hold them, whichever version wrote the record."""
    before = {name: record[field] for field, name in FIELDS_BEFORE.items() if record.get(field) is not None}
    return before | record.get("attachments", {})


def with_attachments(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an item in the fields that are written today."""
    today = {field: value for field, value in record.items() if field not in FIELDS_BEFORE}
    return today | {"attachments": attachments_of(record)}
