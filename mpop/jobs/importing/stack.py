"""`mpop source add --stack`: a table of extracted particle images becomes a source, each stack file an item.

An item holds the optics of its images, not their poses: those belong to the species, which `mpop species add`
takes from the same table. Everything is read and checked before the working state is touched, by one `stage`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.formats.images import open_stack
from mpop.formats.stack_tables import StackTable, read_stack_table
from mpop.jobs.importing.source import SIZE_TOLERANCE, refuse_known, refuse_name, source_id
from mpop.jobs.leasing import leased
from mpop.jobs.progress import Progress, silent
from mpop.population import Population
from mpop.records.models import ItemRecord, RawImage, SourceRecord
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel
from mpop_store import canonical_json, hash_bytes

MAX_NAME = 100
"""Characters of an item's name that is made from folders."""


@dataclass(frozen=True)
class AddedStack:
    """The staged source, how many images it holds, and what the user should know about the import."""

    record: SourceRecord
    images: int
    warnings: list[str]


@leased("source add")
def add_stack(
    population: Population,
    name: str,
    star: str | Path,
    images: str | Path | None = None,
    pixel_size_A: float | None = None,
    ignore_aberrations: bool = False,
    store_raw: bool = False,
    progress: Progress = silent,
) -> AddedStack:
    """Import a table of particle images and stage it.

    images: folder that the names in the table count from; if not given, that of the table or the nearest above it
    where the first one is found, as RELION's names count from its project. ignore_aberrations: go on although the
    table has aberrations that mpop does not model. Raises InputError with every kind of mismatch; then nothing is
    staged.
    """
    refuse_name(population, name)
    if pixel_size_A is not None and not pixel_size_A > 0:
        raise InputError(f"--angpix {pixel_size_A:g} is not a pixel size; it must be greater than 0")
    table = read_stack_table(star, pixel_size_A)
    warnings = _aberrations(table, ignore_aberrations)
    folder = _folder(table, None if images is None else Path(images))
    names = item_names(table.files)
    items: list[ItemRecord] = []
    seen: dict[str, str] = {}
    pixel, shape = table.pixel_size_A, None
    for number, file in enumerate(table.files):
        path = folder / file
        stack, claimed = open_stack(path, square_pixels=True)
        pixel = _pixel_size(path, pixel, claimed)
        shape = shape or (int(stack.shape[1]), int(stack.shape[2]))
        rows = np.flatnonzero(table.file == number)
        _check_images(table, path, stack, rows, shape)
        raw = _raw(population, path, stack, store_raw)
        if raw.hash in seen:
            raise InputError(f"{table.path}: {file} and {seen[raw.hash]} are the same images under two names")
        seen[raw.hash] = file
        items.append(_item(population, names[number], raw, _model(table, rows, file, raw, shape, pixel)))
        progress("read stacks", number + 1, len(table.files))
    assert shape is not None
    assert pixel is not None
    refuse_known(population, items)
    identity = source_id(item.id for item in items)
    source = SourceRecord(
        id=identity,
        name=name,
        type="particle-stack",
        pixel_size_A=pixel,
        image_shape=shape,
        volume_dims_A=(shape[1] * pixel, shape[0] * pixel, pixel),
        items=sorted(item.id for item in items),
    )
    population.stage([source, *(item.model_copy(update={"source": identity}) for item in items)])
    return AddedStack(population.source(identity), len(table), warnings)


def item_names(files: Sequence[str]) -> list[str]:
    """Names for stacks: that of the file, with as many folders before it as make all of them different."""
    parts = [PurePosixPath(file).with_suffix("").parts for file in files]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["-".join(one[-depth:]).replace("\\", "-").lstrip(".-/ ")[-MAX_NAME:] for one in parts]
        if len(set(names)) == len(names) and all(names):
            return names
    return [f"stack-{number:06d}" for number in range(1, len(files) + 1)]


def image_ids(item: str, images: Iterable[int]) -> NDArray[np.uint64]:
    """Ids of the particles in images of an item, by their place in the stack; the same whatever their poses."""
    return np.array([int(hash_bytes(f"{item} {image}".encode())[:16], 16) for image in images], dtype=np.uint64)


def _aberrations(table: StackTable, ignore: bool) -> list[str]:
    if not table.ignored:
        return []
    text = f"{table.path}: its images have {', '.join(table.ignored)}, which mpop does not model"
    if not ignore:
        raise InputError(f"{text}; use --ignore-aberrations to refine without")
    return [f"{text}; poses and maps will be without that correction"]


def _folder(table: StackTable, given: Path | None) -> Path:
    """Where the names of stacks count from."""
    start = table.path.resolve().parent
    candidates = [given] if given is not None else [start, *start.parents]
    for folder in candidates:
        if (folder / table.files[0]).is_file():
            return folder
    where = given if given is not None else f"{start} and the folders above it"
    raise InputError(
        f"{table.path}: no file {table.files[0]} in {where}; give the folder that it counts from with --images"
    )


def _pixel_size(path: Path, told: float | None, claimed: float | None) -> float:
    """Of the images, from the table or else from the header; both must agree."""
    pixel = claimed if told is None else told
    if pixel is None:
        raise InputError(f"{path}: neither the table nor the header give the pixel size; give --angpix")
    if claimed is not None and abs(claimed / pixel - 1) > SIZE_TOLERANCE:
        raise InputError(f"{path}: its header says {claimed:g} A/px, the table {pixel:g}; give the right --angpix")
    return pixel


def _check_images(
    table: StackTable, path: Path, stack: NDArray, rows: NDArray[np.int64], shape: tuple[int, int]
) -> None:
    """The images are there, square, of one size, and numbers."""
    if stack.shape[1:] != shape or shape[0] != shape[1] or shape[0] % 2:
        raise InputError(
            f"{path}: images of {stack.shape[2]} x {stack.shape[1]} px; all must be square, even and of one size"
        )
    beyond = rows[table.image[rows] >= len(stack)]
    if len(beyond):
        raise InputError(
            f"{table.path}: image {table.image[beyond[0]] + 1} of {path} is listed, but that holds {len(stack)}"
        )
    for row in rows:
        if not np.isfinite(stack[table.image[row]]).all():
            raise InputError(f"{path}: image {table.image[row] + 1} holds NaN or infinity")


def _raw(population: Population, path: Path, stack: NDArray, store_raw: bool) -> RawImage:
    """Hash a stack, and put its images into the store if wished."""
    relative = Path(os.path.relpath(path.parent.resolve() / path.name, population.root.resolve())).as_posix()
    stored = population.write_group({"image": np.asarray(stack)}) if store_raw else None
    return RawImage(
        path=relative, hash=population.files.hash(path), size=path.stat().st_size, stored_object=stored
    )


def _item(population: Population, name: str, raw: RawImage, model: StackModel) -> ItemRecord:
    """The record of a stack, its model stored; the source is not known yet."""
    group = population.write_stack(model)
    return ItemRecord(id=_item_id(raw), name=name, source="", raw=[raw], model_object=group)


def _item_id(raw: RawImage) -> str:
    return hash_bytes(canonical_json([raw.hash]))[:16]


def _model(
    table: StackTable,
    rows: NDArray[np.int64],
    file: str,
    raw: RawImage,
    shape: tuple[int, int],
    pixel_size_A: float,
) -> StackModel:
    rows = rows[np.argsort(table.image[rows], kind="stable")]
    values, group = np.unique(table.optics[rows], axis=0, return_inverse=True)
    return StackModel(
        file=file,
        image=table.image[rows],
        particle_id=image_ids(_item_id(raw), table.image[rows].tolist()),
        defocus_um=table.defocus_um[rows],
        defocus_delta_um=table.defocus_delta_um[rows],
        defocus_angle_deg=table.defocus_angle_deg[rows],
        phase_shift_pi=table.phase_shift_pi[rows],
        bfactor_A2=table.bfactor_A2[rows],
        scale=table.scale[rows],
        optics_group=group.reshape(-1).astype(np.int64),
        optics=tuple(CTFModel(voltage_kV=kv, cs_mm=cs, amplitude_contrast=a) for kv, cs, a in values.tolist()),
        image_dims_A=(shape[1] * pixel_size_A, shape[0] * pixel_size_A),
    )
