"""`mpop source add`: what an importer hands over becomes a source and its items, whichever program it is from.

Everything is read and checked before the working state is touched, by one `stage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, gathered, settle
from mpop.errors import InputError, NotFoundError, StateError
from mpop.importing.importer import ImportedItem
from mpop.importing.optics_checks import questioned_optics
from mpop.importing.registry import importer_named, importer_of, options_of
from mpop.importing.series_checks import questioned_exposures
from mpop.jobs.importing.raw_images import Shape, Taken, take_series, take_stack
from mpop.jobs.leasing import leased
from mpop.jobs.relocating import learn_places
from mpop.population import Population
from mpop.records.models import ItemRecord, SourceRecord
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel
from mpop.run import Progress, silent
from mpop.words import counted
from mpop_hooks.names import require_name
from mpop_store import canonical_json, hash_bytes


@dataclass(frozen=True)
class AddedSource:
    """The staged source, how many raw images it holds, and what was doubted of it."""

    record: SourceRecord
    images: int
    doubts: list[Doubt]

    @property
    def warnings(self) -> list[str]:
        """The doubts as sentences."""
        return [str(doubt) for doubt in self.doubts]


@leased("source add")
def add_source(
    population: Population,
    name: str,
    path: str | Path,
    importer: str | None = None,
    store_raw: bool = False,
    force: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> AddedSource:
    """Import a project and stage it. Raises InputError with every kind of mismatch; then nothing is staged.

    importer: its name in `mpop.importing.registry`; if not given, the one that reads such a path. options: of the
    importer. force: go on in spite of grave doubts.
    """
    _refuse_name(population, name)
    chosen = importer_of(Path(path)) if importer is None else importer_named(importer)
    imported = chosen.read(Path(path), options_of(chosen, options))
    pixel = imported.pixel_size_A
    _refuse_missing(imported.items)
    doubts = settle(gathered([*imported.doubts, *_questioned(imported.items)]), force)  # before the long reading
    is_stack = isinstance(imported.items[0].model, StackModel)
    take, task = (take_stack, "read stacks") if is_stack else (take_series, "read tilt images")
    taken: list[Taken] = []
    done, total = 0, sum(len(one.files) for one in imported.items)

    def read_one() -> None:
        nonlocal done
        done += 1
        progress(task, done, total)

    shape: Shape | None = None
    for one in imported.items:
        taken.append(take(population, one, pixel, shape, store_raw, force, read_one))
        shape = taken[-1].shape
    assert shape is not None
    items = [_record(population, one, found) for one, found in zip(imported.items, taken, strict=True)]
    _refuse_known(population, items, is_stack)
    identity = source_id(item.id for item in items)
    model = taken[0].model
    source = SourceRecord(
        id=identity,
        name=name,
        type="particle-stack" if is_stack else "tilt-series",
        pixel_size_A=pixel,
        image_shape=shape,
        volume_dims_A=(*model.image_dims_A, pixel) if isinstance(model, StackModel) else model.volume_dims_A,
        items=sorted(item.id for item in items),
    )
    population.stage([source, *(item.model_copy(update={"source": identity}) for item in items)])
    doubts = gathered([*doubts, *(doubt for one in taken for doubt in one.doubts)])
    return AddedSource(population.source(identity), sum(one.images for one in taken), doubts)


def source_id(items: Iterable[str]) -> str:
    """Id of a source, 16 hex digits that follow from the ids of its series."""
    return hash_bytes(canonical_json(sorted(items)))[:16]


def _record(population: Population, item: ImportedItem, taken: Taken) -> ItemRecord:
    """The record of an item, its objects stored; the source is not known yet."""
    model = taken.model
    return ItemRecord(
        id=taken.id,
        name=item.name,
        source="",
        raw=taken.raw,
        model_object=population.write_stack(model)
        if isinstance(model, StackModel)
        else population.write_tilt_series(model),
        attachments={kind: population.objects.put(content) for kind, content in item.attachments.items()},
    )


def _questioned(items: Sequence[ImportedItem]) -> list[Doubt]:
    """What is doubtful of models by themselves; the optics of one file are asked together."""
    doubts: list[Doubt] = []
    by_file: dict[str, list[ImportedItem]] = {}
    for item in items:
        by_file.setdefault(item.where, []).append(item)
    for where, together in by_file.items():
        optics: list[CTFModel] = []
        defocus: list[NDArray[np.float64]] = []
        for model in (item.model for item in together):
            if isinstance(model, StackModel):
                optics += model.optics
                defocus.append(model.defocus_um)
            else:
                optics.append(model.ctf)
                defocus.append(model.grid_ctf.values.ravel())
                doubts += questioned_exposures(where, model.exposure)
        constants = [(one.voltage_kV, one.cs_mm, one.amplitude_contrast) for one in optics]
        doubts += questioned_optics(where, constants, np.concatenate(defocus))
    return doubts


def _refuse_missing(items: Sequence[ImportedItem]) -> None:
    """Raise InputError when raw images are not where a project says."""
    files = [(item, file) for item in items for file in item.files]
    if missing := [(item, file) for item, file in files if not file.is_file()]:
        item, first = missing[0]
        count = f"{len(missing)} of {counted(len(files), 'raw file')}"
        raise InputError(f"{item.where}: {count} missing, first {first}")


def _refuse_name(population: Population, name: str) -> None:
    """Raise InputError for what cannot be a name, and StateError when there is a source of this name."""
    require_name("source", name)
    if any(source.name == name for source in population.sources().values()):
        raise StateError(f"there is a source called {name} already; choose another name")


def _refuse_known(population: Population, items: Sequence[ItemRecord], is_stack: bool) -> None:
    """Raise StateError when the raw images of an item are in the population already.

    Those that are gone from where they should be are found again by that. Raises InputError for two items that
    have the same images.
    """
    noun, images = ("stack", "images") if is_stack else ("series", "tilt images")
    known = population.items()
    names = {_hashes(item): item.name for item in items}
    if twice := [item.name for item in items if names[_hashes(item)] != item.name]:
        raise InputError(f"{noun} {', '.join(twice)}: the same {images} as another {noun} of this project")
    again = [item for item in items if item.id in known]
    if again:
        text = f"the raw images of {', '.join(item.name for item in again[:5])} are in this population already"
        if moved := learn_places(population, [known[item.id] for item in again], again):
            text += f"; {counted(moved, 'file')} that had moved will be read from where this import found them"
        raise StateError(text)


def _hashes(item: ItemRecord) -> tuple[str, ...]:
    return tuple(raw.hash for raw in item.raw)


def remove_source(population: Population, name: str) -> None:
    """Take a source and its series out of the working state. Refused while a species has particles there."""
    source = population.source(name)
    users = [s.name for s in population.species().values() if set(s.particles) & set(source.items)]
    if users:
        raise StateError(f"species {', '.join(users)} has particles in {source.name}; remove the species first")
    items = population.items()
    missing = [identity for identity in source.items if identity not in items]
    if missing:
        raise NotFoundError(f"item {missing[0]} of source {source.name} is not in the population")
    population.stage([], remove=[source, *(items[identity] for identity in source.items)])
