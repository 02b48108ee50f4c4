"""A population: the records and arrays of one repository, typed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mpop.errors import InputError, NotFoundError, OvertakenError, StateError
from mpop.raw_places import RawPlaces
from mpop.records.arrays import (
    maps_of_species,
    model_from_arrays,
    particles_from_arrays,
    particles_to_arrays,
    stack_to_arrays,
    tilt_series_to_arrays,
)
from mpop.records.models import (
    ItemRecord,
    JobRecord,
    PopulationRecord,
    RawImage,
    Record,
    SourceRecord,
    SourceType,
    SpeciesHead,
    SpeciesPart,
    SpeciesRecord,
)
from mpop.records.species import join, split
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.words import item_noun
from mpop_hooks import Proposal, check, refusals, tell
from mpop_hooks.fields import an_id
from mpop_hooks.histories import with_rules
from mpop_hooks.names import require_name
from mpop_hooks.record_types import RecordType
from mpop_hooks.records_plain import problem_with_record
from mpop_hooks.schema import ITEM, JOB, PART, POPULATION, SCHEMA, SOURCE, SPECIES, references_of
from mpop_store import version_of
from mpop_store.arrays.groups import read_group, write_group
from mpop_store.arrays.manifests import group_objects
from mpop_store.filecache import FileCache
from mpop_store.git.repository import FORMAT_VERSION, Changes, Repository
from mpop_store.hashing import parse_json
from mpop_store.transfer.lazily import read_lazily

if TYPE_CHECKING:
    import zarr

R = TypeVar("R", bound=Record)

SOME_NAMES = 10
"""So many names are listed when one is not known."""


def versioned(record: R) -> R:
    """The record with what follows from it filled in: its version, and of a species its parts."""
    if isinstance(record, SpeciesRecord):
        head, _ = split(record)
        return record.model_copy(update={key: head[key] for key in ("n_items", "parts", "version")})
    return record.model_copy(update={"version": version_of(record.model_dump(mode="json"))})


def record_path(record: Record) -> str:
    """Where a record lives in the repository."""
    return SCHEMA.path_of(vars(record))


def typed(kind: type[R], path: str, record: Mapping[str, Any]) -> R:
    """A record as its model; path: where it is. Raises StateError for one that this mpop does not read."""
    try:
        return kind.model_validate(record)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise StateError(f"{path} is not a record that this mpop reads (field {where}); update mpop?") from error


def _refuse(proposal: Proposal) -> None:
    """Raise StateError when a policy does not agree."""
    findings = check(proposal)
    if refused := refusals(findings):
        more = f" and {len(refused) - 1} more findings" if len(refused) > 1 else ""
        raise StateError(f"refused to commit: {refused[0]}{more}")
    tell(findings)


class _Known(dict[str, R]):
    """Records by id. Raises StateError for an id that another record names and that is not there."""

    def __missing__(self, identity: str) -> R:
        raise StateError(f"a record names {identity}, and there is no record of this id; ask who made it")


class Population:
    """Sources, items, species and jobs of one repository. `at=None` reads the working state."""

    def __init__(self, repository: Repository) -> None:
        with_rules(repository)
        self.repository = repository
        self.objects = repository.objects
        self.files = FileCache(repository.private / "file-hashes")
        self.places = RawPlaces(repository.private / "raw-places.json")
        self._checked_files: set[Path] = set()
        self.waits = False
        """Whether a job waits for another one that changes the same, or is refused."""

    @classmethod
    def init(cls, path: str | Path, name: str | None = None) -> Population:
        """Make an empty population in a folder."""
        called = name or Path(path).absolute().name
        require_name("population", called)
        repository = Repository.init(path)
        try:
            record = PopulationRecord(format=FORMAT_VERSION, name=called)
            repository.stage({record_path(record): versioned(record).model_dump(mode="json")})
        except BaseException:
            shutil.rmtree(repository.root / ".git", ignore_errors=True)
            raise
        return cls(repository)

    @classmethod
    def open(cls, path: str | Path = ".") -> Population:
        """The population that holds a folder; what a clone left behind is read from its remotes."""
        repository = Repository.open(path)
        read_lazily(repository)
        return cls(repository)

    @property
    def root(self) -> Path:
        """Folder of the population; relative paths of raw data start here."""
        return self.repository.root

    @property
    def name(self) -> str:
        """Name of the population."""
        return self._read(PopulationRecord, POPULATION.path(), None).name

    def _read(self, kind: type[R], path: str, at: str | None) -> R:
        return typed(kind, path, self.repository.read(path, at))

    def _all(self, of: RecordType, kind: type[R], at: str | None) -> dict[str, R]:
        found = self.repository.records(of.prefix(), at)
        records = [typed(kind, path, record) for path, record in found.items()]
        return _Known({record.id: record for record in records})  # pyright: ignore[reportAttributeAccessIssue]

    def sources(self, at: str | None = None) -> dict[str, SourceRecord]:
        """Data sources by id."""
        return self._all(SOURCE, SourceRecord, at)

    def source_types(self, at: str | None = None) -> list[SourceType]:
        """The types of source that there are, sorted: what an item may be."""
        return sorted({source.type for source in self.sources(at).values()})

    def items(self, at: str | None = None) -> dict[str, ItemRecord]:
        """Tilt series, and stacks of particle images, by id."""
        return self._all(ITEM, ItemRecord, at)

    def species(self, at: str | None = None) -> dict[str, SpeciesRecord]:
        """Species by id."""
        return {identity: self._whole(head, at) for identity, head in self.species_heads(at).items()}

    def species_heads(self, at: str | None = None) -> dict[str, SpeciesHead]:
        """Species by id, without their particles."""
        paths = SPECIES.keys(self.repository.entries(at, SPECIES.prefix()))
        heads = [self._read(SpeciesHead, path, at) for path in sorted(paths)]
        return {head.id: head for head in heads}

    def _whole(self, head: SpeciesHead, at: str | None) -> SpeciesRecord:
        found = self.repository.records(PART.prefix(head.id), at)
        return join(head, [typed(SpeciesPart, path, part).model_dump() for path, part in found.items()])

    def jobs(self, at: str | None = None) -> dict[str, JobRecord]:
        """Job records by id."""
        return self._all(JOB, JobRecord, at)

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
        names = sorted(str(getattr(record, "name", "")) for record in known.values())
        more = f" and {len(names) - SOME_NAMES} more" if len(names) > SOME_NAMES else ""
        there = ", ".join(names[:SOME_NAMES]) + more or "none yet"
        raise NotFoundError(f"no {kind} {wanted!r} in this population (there are: {there})")

    def source(self, name: str, at: str | None = None) -> SourceRecord:
        """A source by name or id."""
        path = SOURCE.path(name)
        if an_id(name) and self.repository.find(path, at) is not None:
            return self._read(SourceRecord, path, at)
        return self._one("source", self.sources(at), name)

    def item(self, name: str, at: str | None = None) -> ItemRecord:
        """A tilt series, or a stack of particle images, by name or id."""
        path = ITEM.path(name)
        if an_id(name) and self.repository.find(path, at) is not None:
            return self._read(ItemRecord, path, at)
        return self._one(item_noun(self.source_types(at)), self.items(at), name)

    def one_species(self, name: str, at: str | None = None) -> SpeciesRecord:
        """A species by name or id."""
        return self._whole(self._one("species", self.species_heads(at), name), at)

    @property
    def merge_file(self) -> Path:
        """Where a merge is kept that waits for decisions (`mpop.merging.state`)."""
        return self.repository.private / "merge.json"

    @property
    def merging(self) -> bool:
        """Whether a merge waits for decisions; it is over once the branch has moved."""
        try:
            state = parse_json(self.merge_file.read_bytes())
        except FileNotFoundError:
            return False
        except ValueError:
            return True
        return isinstance(state, dict) and state.get("ours") == self.repository.head

    def refuse_while_merging(self) -> None:
        """Raise StateError when a merge waits for decisions: nothing else may be committed before it is over."""
        if self.merging:
            raise StateError(
                "a merge is in progress; finish it with `mpop merge --continue`, or drop it with `--abort`"
            )

    def stage(self, records: Iterable[Record], remove: Iterable[Record] = ()) -> None:
        """Put records (their versions filled in) into the working state, take others out; all or nothing.

        Raises InputError for a record that `commit` would refuse.
        """
        self.refuse_while_merging()
        changes = self.changes(records, None)
        for path, record in changes.items():
            if record is not None and (problem := problem_with_record(path, record)):
                raise InputError(f"{record.get('name', path)!r} cannot be added: {problem}")
        for record in remove:
            changes[record_path(record)] = None
            if isinstance(record, SpeciesHead):
                changes |= dict.fromkeys(self.repository.entries(None, PART.prefix(record.id)))
        self.repository.stage(changes)

    def commit(self, message: str) -> str:
        """Commit the working state."""
        self.refuse_while_merging()
        _refuse(Proposal.staged(self.repository))
        return self.repository.commit(message)

    def commit_records(self, records: Iterable[Record], message: str, since: str) -> str:
        """Commit records on top of HEAD, for jobs that started from the commit `since`.

        Raises OvertakenError when others changed the same meanwhile, or a merge waits; what the job did is on a
        branch of its own then.
        """
        changes = self.changes(records, since)
        try:
            if self.merging:
                raise OvertakenError("a merge was begun while the job ran; finish it, or drop it with --abort")
            _refuse(Proposal.changing(self.repository, "HEAD", changes, "commit"))
            return self.repository.commit_changes(changes, message, since)
        except OvertakenError as error:
            branch = self.repository.commit_aside(changes, message, since)
            raise OvertakenError(f"{error}; the result is kept: `mpop merge {branch}` brings it in") from error

    def commit_merge(self, changes: Changes, message: str, since: str, theirs: str) -> str:
        """Commit records by path on top of HEAD, as a merge with the commit `theirs`."""
        self._bring_data_of(changes)
        _refuse(Proposal.changing(self.repository, "HEAD", changes, "merge"))
        _refuse(Proposal.joining(self.repository, "HEAD", theirs, changes))
        return self.repository.commit_changes(changes, message, since, also=(theirs,))

    def _bring_data_of(self, changes: Changes) -> None:
        """Fetch what records name, all at once, in a population that reads arrays when they are asked for."""
        if self.objects.fetch_missing is not None:
            named = [references_of(record) for record in changes.values() if record is not None]
            groups = [group for one in named for group in one.groups]
            self.objects.prefetch([*groups, *(file for one in named for file in one.files)])
            self.objects.prefetch(part for group in groups for part in group_objects(self.objects, group))

    def changes(self, records: Iterable[Record], at: str | None) -> dict[str, dict[str, Any] | None]:
        """Records by path; of a species only the parts that are not in `at` already."""
        changes: dict[str, dict[str, Any] | None] = {}
        for record in records:
            path = record_path(record)
            if isinstance(record, SpeciesRecord):
                head, parts = split(record)
                known = {} if self.repository.find(path, at) is None else self.repository.read(path, at)
                old = known.get("parts", {})
                changes |= {PART.path(record.id, digits): None for digits in old if digits not in parts}
                new = {digits: part for digits, part in parts.items() if old.get(digits) != part["version"]}
                changes |= {PART.path(record.id, digits): part for digits, part in new.items()}
                changes[path] = head
            else:
                changes[path] = versioned(record).model_dump(mode="json")
        return changes

    def write_group(self, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any] | None = None) -> str:
        """Store arrays; returns the group's name."""
        return write_group(self.objects, arrays, attributes)

    def read_group(self, name: str) -> dict[str, NDArray[Any]]:
        """All arrays of a group."""
        return read_group(self.objects, name)[0]

    def model(self, item: ItemRecord) -> SeriesModel:
        """The current model of a series or of a stack."""
        return model_from_arrays(*read_group(self.objects, item.model_object))

    def tilt_series(self, item: ItemRecord) -> TiltSeriesModel:
        """The current model of a tilt series. Raises StateError when the item is a particle stack."""
        model = self.model(item)
        if isinstance(model, StackModel):
            raise StateError(f"{item.name} is a stack of particle images and no tilt series")
        return model

    def write_tilt_series(self, model: TiltSeriesModel) -> str:
        """Store a model; returns its group's name."""
        return write_group(self.objects, *tilt_series_to_arrays(model))

    def write_stack(self, model: StackModel) -> str:
        """Store the model of a stack; returns its group's name."""
        return write_group(self.objects, *stack_to_arrays(model))

    def attachment(self, item: ItemRecord, name: str) -> bytes | None:
        """A file of the program that an item was imported from, byte for byte; None if none has this name."""
        return self.objects.get(item.attachments[name]) if name in item.attachments else None

    def particles(self, species: SpeciesRecord, item: str) -> ParticleSet:
        """The particles of a species in one item; NotFoundError when it has none there."""
        if item not in species.particles:
            raise NotFoundError(f"species {species.name} has no particles in item {item}")
        return particles_from_arrays(*read_group(self.objects, species.particles[item]))

    def write_particles(self, particles: ParticleSet) -> str:
        """Store particles; returns their group's name."""
        return write_group(self.objects, *particles_to_arrays(particles))

    def maps(self, species: SpeciesHead) -> dict[str, NDArray[Any]]:
        """half1, half2, mask, filtered (z, y, x) and fsc (5, shells) of a species. Raises StateError."""
        return maps_of_species(read_group(self.objects, species.maps_object)[0])

    def zarr(self, at: str | None = None) -> zarr.Group:
        """Everything as one lazy, read-only Zarr hierarchy: species/<name>/..., items/<source>/<name>/..."""
        from mpop_store.arrays.zarr_store import open_groups  # loads Zarr

        sources = {one.id: one.name for one in self.sources(at).values()}
        mounts = {f"species/{one.name}": one.maps_object for one in self.species(at).values()}
        mounts |= {f"items/{sources[one.source]}/{one.name}": one.model_object for one in self.items(at).values()}
        return open_groups(self.objects, mounts)

    def raw_path(self, raw: RawImage) -> Path:
        """Absolute path of a linked raw image: where it was found last, or else where its record says."""
        found = self.places.of(raw.hash)
        return found if found is not None and found.is_file() else self.recorded_path(raw)

    def recorded_path(self, raw: RawImage) -> Path:
        """Absolute path of a linked raw image by its record."""
        return Path(os.path.normpath(self.root.resolve() / raw.path))

    def image_loader(self, item: ItemRecord, model: SeriesModel) -> Callable[[int], NDArray[np.float32]]:
        """What gives the raw images (y, x) of an item: those of tilts in file order, or of a stack by their place.

        A linked file is compared with the hash in its record the first time this process reads it; it is hashed
        anew only if it may have changed since it last was. Raises InputError when it is gone or has changed.
        """
        if isinstance(model, StackModel):
            images = self._stack(item)
            return lambda number: np.asarray(images[number], dtype=np.float32)
        return lambda tilt: self.tilt_image(item, tilt)

    def _stack(self, item: ItemRecord) -> NDArray[Any]:
        """All images of a stack (n, y, x), mapped from its file."""
        raw = item.raw[0]
        if raw.stored_object is not None:
            return read_group(self.objects, raw.stored_object)[0]["image"]
        from mpop.formats.images import open_stack  # loads mrcfile

        return open_stack(self._checked(raw, item.name))[0]

    def tilt_image(self, item: ItemRecord, tilt: int) -> NDArray[np.float32]:
        """A raw tilt image (y, x), protein dark; see `image_loader`."""
        raw = item.raw[tilt]
        if raw.stored_object is not None:
            return np.asarray(read_group(self.objects, raw.stored_object)[0]["image"])
        from mpop.formats.images import read_image  # loads mrcfile

        return read_image(self._checked(raw, f"{item.name}, tilt {tilt + 1}"))

    def _checked(self, raw: RawImage, name: str) -> Path:
        """Where a linked raw image is, after a look whether it is still the same."""
        path = self.raw_path(raw)
        if not path.is_file():
            raise InputError(
                f"{name}: {path} is gone; bring it back, or say where its folder is now: "
                f"`mpop source relocate {path.parent} NEW`"
            )
        if path not in self._checked_files:
            if path.stat().st_size != raw.size or self.files.hash(path) != raw.hash:
                raise InputError(f"{name}: {path} has changed since it was imported")
            self._checked_files.add(path)
        return path
