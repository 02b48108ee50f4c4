"""What an importer is, and what it hands over: a project as its program wrote it, and nothing of a population.

An importer reads tables, which is quick. What it hands over is taken in by `mpop.jobs.importing.source`, which
reads, checks and hashes the images, asks of all programs alike what no microscope has, and makes the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from mpop.doubts import Doubt
from mpop.records.stack import SeriesModel


class ImporterOptions(BaseModel):
    """Base of the options of all importers: unknown ones are refused. The description of each says what it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class ImportedItem:
    """One tilt series, or one stack of particle images.

    files: its raw images, one for each tilt in the order of the model; of a stack, its file. model: what the
    project says of them; `image_dims_A` is (0, 0) where only the images say it, and a stack gets the ids of its
    particles when it is taken in. where: how doubts about the model call the file that it is from. attachments:
    name, as `program.kind`, and content of files that an export needs. is_part: of a stack, whether the model
    leaves out images of the file, which may make another source.
    """

    name: str
    files: Sequence[Path]
    model: SeriesModel
    where: str
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    is_part: bool = False


@dataclass(frozen=True)
class ImportedSource:
    """A project: items of one kind, not none, at one pixel size, and what was doubted when it was read."""

    pixel_size_A: float
    items: Sequence[ImportedItem]
    doubts: Sequence[Doubt] = ()


OptionsT = TypeVar("OptionsT", bound=BaseModel)


class Importer(Protocol[OptionsT]):
    """Reads the projects of one program. what: such a project in a few words."""

    name: str
    what: str
    Options: type[OptionsT]

    def reads(self, path: Path) -> bool:
        """Whether a path looks like a project of this program."""
        ...

    def read(self, path: Path, options: OptionsT) -> ImportedSource:
        """The project at a path. Raises InputError for what cannot be read, and what cannot be meant."""
        ...
