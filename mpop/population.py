"""A population: the records and arrays of one repository, typed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import ValidationError

from mpop.errors import InputError, NotFoundError, StateError
from mpop.formats.images import read_image
from mpop.records.arrays import (
    particles_from_arrays,
    particles_to_arrays,
    tilt_series_from_arrays,
    tilt_series_to_arrays,
)
from mpop.records.models import (
    ItemRecord,
    JobRecord,
    PopulationRecord,
    RawImage,
    Record,
    SourceRecord,
    SpeciesRecord,
)
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop_hooks import check_records
from mpop_store import hash_file, version_of
from mpop_store.groups import GroupStore, read_group, write_group
from mpop_store.repository import FORMAT_VERSION, ROOT_RECORD, Repository

R = TypeVar("R", bound=Record)


def versioned(record: R) -> R:
    """The record with its version filled in."""
    return record.model_copy(update={"version": version_of(record.model_dump(mode="json"))})


def record_path(record: Record) -> str:
    """Where a record lives in the repository."""
    match record:
        case PopulationRecord():
            return ROOT_RECORD
        case SourceRecord():
            return f"sources/{record.id}.json"
        case ItemRecord():
            return f"items/{record.id[:2]}/{record.id}.json"
        case SpeciesRecord():
            return f"species/{record.id}.json"
        case JobRecord():
            return f"jobs/{record.id[:2]}/{record.id}.json"
    raise TypeError(f"no path for a {type(record).__name__}")


def _typed(kind: type[R], path: str, record: Mapping[str, Any]) -> R:
    try:
        return kind.model_validate(record)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise StateError(f"{path} is not a record that this mpop reads (field {where}); update mpop?") from error


class Population:
    """Sources, items, species and jobs of one repository. `at=None` reads the working state."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.objects = repository.objects
        self._checked_files: set[Path] = set()

    @classmethod
    def init(cls, path: str | Path, name: str | None = None) -> Population:
        """Make an empty population in a folder."""
        repository = Repository.init(path)
        try:
            record = PopulationRecord(format=FORMAT_VERSION, name=name or repository.root.name)
            repository.stage({ROOT_RECORD: versioned(record).model_dump(mode="json")})
        except BaseException:
            shutil.rmtree(repository.root / ".git", ignore_errors=True)
            raise
        return cls(repository)

    @classmethod
    def open(cls, path: str | Path = ".") -> Population:
        """The population that holds a folder."""
        return cls(Repository.open(path))

    @property
    def root(self) -> Path:
        """Folder of the population; relative paths of raw data start here."""
        return self.repository.root

    @property
    def name(self) -> str:
        """Name of the population."""
        return _typed(PopulationRecord, ROOT_RECORD, self.repository.read(ROOT_RECORD)).name

    def _all(self, prefix: str, kind: type[R], at: str | None) -> dict[str, R]:
        found = self.repository.records(prefix, at)
        records = [_typed(kind, path, record) for path, record in found.items()]
        return {record.id: record for record in records}  # pyright: ignore[reportAttributeAccessIssue]

    def sources(self, at: str | None = None) -> dict[str, SourceRecord]:
        """Data sources by id."""
        return self._all("sources/", SourceRecord, at)

    def items(self, at: str | None = None) -> dict[str, ItemRecord]:
        """Tilt series by id."""
        return self._all("items/", ItemRecord, at)

    def species(self, at: str | None = None) -> dict[str, SpeciesRecord]:
        """Species by id."""
        return self._all("species/", SpeciesRecord, at)

    def jobs(self, at: str | None = None) -> dict[str, JobRecord]:
        """Job records by id."""
        return self._all("jobs/", JobRecord, at)

    @staticmethod
    def _one(kind: str, known: Mapping[str, R], wanted: str) -> R:
        if wanted in known:
            return known[wanted]
        named = [record for record in known.values() if getattr(record, "name", None) == wanted]
        if len(named) == 1:
            return named[0]
        if named:
            ids = ", ".join(sorted(i for i, record in known.items() if record in named))
            raise InputError(f"several {kind} are called {wanted!r}; give an id instead: {ids}")
        names = ", ".join(sorted(str(getattr(record, "name", "")) for record in known.values())) or "none yet"
        raise NotFoundError(f"no {kind} {wanted!r} in this population (there are: {names})")

    def source(self, name: str, at: str | None = None) -> SourceRecord:
        """A source by name or id."""
        return self._one("source", self.sources(at), name)

    def item(self, name: str, at: str | None = None) -> ItemRecord:
        """A tilt series by name or id."""
        return self._one("tilt series", self.items(at), name)

    def one_species(self, name: str, at: str | None = None) -> SpeciesRecord:
        """A species by name or id."""
        return self._one("species", self.species(at), name)

    def stage(self, records: Iterable[Record], remove: Iterable[Record] = ()) -> None:
        """Put records (their versions filled in) into the working state, take others out; all or nothing."""
        changes = self._changes(records)
        self.repository.stage(changes | {record_path(record): None for record in remove})

    def commit(self, message: str) -> str:
        """Commit the working state."""
        staged = [path for kind, path in self.repository.status() if kind != "D"]
        self._refuse({path: self.repository.read(path) for path in staged})
        return self.repository.commit(message)

    def commit_records(self, records: Iterable[Record], message: str, since: str) -> str:
        """Commit records on top of HEAD, for jobs that started from the commit `since`."""
        changes = self._changes(records)
        self._refuse(changes)
        return self.repository.commit_changes(changes, message, since)

    @staticmethod
    def _changes(records: Iterable[Record]) -> dict[str, dict[str, Any] | None]:
        return {record_path(record): versioned(record).model_dump(mode="json") for record in records}

    def _refuse(self, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
        records = {path: record for path, record in changes.items() if record is not None}
        repository = self.repository
        old = {} if repository.head is None else repository.entries("HEAD")
        before = {path: repository.load(old[path]) for path in records if path in old}
        findings = check_records(records, before, self.objects)
        if findings:
            more = f" and {len(findings) - 1} more findings" if len(findings) > 1 else ""
            raise StateError(f"refused to commit: {findings[0]}{more}")

    def write_group(self, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any] | None = None) -> str:
        """Store arrays; returns the group's name."""
        return write_group(self.objects, arrays, attributes)

    def read_group(self, name: str) -> dict[str, NDArray[Any]]:
        """All arrays of a group."""
        return read_group(self.objects, name)[0]

    def tilt_series(self, item: ItemRecord) -> TiltSeriesModel:
        """The current model of a series."""
        return tilt_series_from_arrays(*read_group(self.objects, item.model_object))

    def write_tilt_series(self, model: TiltSeriesModel) -> str:
        """Store a model; returns its group's name."""
        return write_group(self.objects, *tilt_series_to_arrays(model))

    def particles(self, species: SpeciesRecord, item: str) -> ParticleSet:
        """The particles of a species in one item; NotFoundError when it has none there."""
        if item not in species.particles:
            raise NotFoundError(f"species {species.name} has no particles in item {item}")
        return particles_from_arrays(*read_group(self.objects, species.particles[item]))

    def write_particles(self, particles: ParticleSet) -> str:
        """Store particles; returns their group's name."""
        return write_group(self.objects, *particles_to_arrays(particles))

    def maps(self, species: SpeciesRecord) -> dict[str, NDArray[Any]]:
        """half1, half2, mask, filtered (z, y, x) and fsc (5, shells) of a species."""
        return read_group(self.objects, species.maps_object)[0]

    def zarr(self, at: str | None = None) -> zarr.Group:
        """Everything as one lazy, read-only Zarr hierarchy: species/<name>/..., items/<source>/<name>/..."""
        sources = {one.id: one.name for one in self.sources(at).values()}
        mounts = {f"species/{one.name}": one.maps_object for one in self.species(at).values()}
        mounts |= {f"items/{sources[one.source]}/{one.name}": one.model_object for one in self.items(at).values()}
        return zarr.open_group(GroupStore(self.objects, mounts), mode="r", zarr_format=3)

    def raw_path(self, raw: RawImage) -> Path:
        """Absolute path of a linked raw image."""
        return Path(os.path.normpath(self.root.resolve() / raw.path))

    def tilt_image(self, item: ItemRecord, tilt: int) -> NDArray[np.float32]:
        """A raw image (y, x), protein dark, in file order of the tilts.

        A linked file is compared with the hash in its record the first time this process reads it. Raises
        InputError when it is gone or has changed.
        """
        raw = item.raw[tilt]
        if raw.stored_object is not None:
            return np.asarray(read_group(self.objects, raw.stored_object)[0]["image"])
        path = self.raw_path(raw)
        if not path.is_file():
            raise InputError(
                f"{item.name}, tilt {tilt + 1}: {path} is gone; bring it back or add the source again"
            )
        if path not in self._checked_files:
            if path.stat().st_size != raw.size or hash_file(path) != raw.hash:
                raise InputError(f"{item.name}, tilt {tilt + 1}: {path} has changed since it was imported")
            self._checked_files.add(path)
        return read_image(path)
