"""Reading, checking and hashing the raw images of what is imported, and what of a model only the images say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, settle
from mpop.errors import InputError
from mpop.formats.images import decode_image, open_stack
from mpop.importing.importer import ImportedItem
from mpop.importing.series_checks import SIZE_TOLERANCE, compared_image
from mpop.importing.stack_checks import require_images, require_one_size
from mpop.population import Population
from mpop.records.models import RawImage
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import TiltSeriesModel
from mpop_store import canonical_json, hash_bytes
from mpop_store.filecache import FileState
from mpop_store.threads import allowed

READERS = 2
"""Images read at a time: more than a disk can follow."""

Shape = tuple[int, int]


@dataclass(frozen=True)
class Taken:
    """What was read of an item. shape: of each of its images, (y, x). images: how many there are."""

    id: str
    raw: list[RawImage]
    model: SeriesModel
    shape: Shape
    images: int
    doubts: list[Doubt] = field(default_factory=list)


def take_series(
    population: Population,
    item: ImportedItem,
    pixel_size_A: float,
    shape: Shape | None,
    store_raw: bool,
    force: bool,
    read_one: Callable[[], None],
) -> Taken:
    """Read the tilt images of a series. shape: that other images have. read_one: called for each.

    Raises InputError, also for grave doubts unless forced.
    """
    model = item.model
    assert isinstance(model, TiltSeriesModel)
    if len(item.files) != model.n_tilts:
        raise InputError(f"{item.where}: {model.n_tilts} tilts, but {len(item.files)} images")
    raws: list[RawImage] = []
    doubts: list[Doubt] = []
    with ThreadPoolExecutor(min(READERS, allowed())) as pool:
        jobs = pool.map(lambda file: _read_raw(population, file, store_raw), item.files)
        for file, found in zip(item.files, jobs, strict=True):
            shape = shape or found.shape
            if found.shape != shape:
                size = f"{found.shape[1]} x {found.shape[0]} px"
                raise InputError(f"{file}: {size}, but other images are {shape[1]} x {shape[0]}")
            doubts += settle(_image_doubts(file, found, pixel_size_A), force)
            raws.append(found.raw)
            read_one()
    assert shape is not None
    measured = (shape[1] * pixel_size_A, shape[0] * pixel_size_A)
    if not all(model.image_dims_A):
        model = replace(model, image_dims_A=measured)
    if differs := settle(compared_image(item.where, model.image_dims_A, measured, pixel_size_A), force):
        doubts += differs
        model = replace(model, image_dims_A=measured)
    identity = hash_bytes(canonical_json([raw.hash for raw in raws]))[:16]
    return Taken(identity, raws, model, shape, len(raws), doubts)


def take_stack(
    population: Population,
    item: ImportedItem,
    pixel_size_A: float,
    shape: Shape | None,
    store_raw: bool,
    force: bool,
    read_one: Callable[[], None],
) -> Taken:
    """Read the particle images of a stack, as `take_series` does tilt images."""
    model, (file,) = item.model, item.files
    assert isinstance(model, StackModel)
    stack, _ = open_stack(file, square_pixels=True)
    require_one_size(file, stack, None if shape is None else shape[0])
    require_images(file, stack, model.image, item.where)
    raw = RawImage(
        path=_relative(population, file),
        hash=population.files.hash(file),
        size=file.stat().st_size,
        stored_object=population.write_group({"image": np.asarray(stack)}) if store_raw else None,
    )
    read_one()
    size = int(stack.shape[2])
    length = size * pixel_size_A
    identity = _stack_id(raw, model.image if item.is_part else None)
    ids = image_ids(identity, model.image.tolist())
    model = replace(model, particle_id=ids, image_dims_A=(length, length))
    return Taken(identity, [raw], model, (size, size), len(model))


def image_ids(item: str, images: Iterable[int]) -> NDArray[np.uint64]:
    """Ids of the particles in images of an item, by their place in the stack; the same whatever their poses."""
    return np.array([int(hash_bytes(f"{item} {image}".encode())[:16], 16) for image in images], dtype=np.uint64)


def _stack_id(raw: RawImage, part: NDArray[np.int64] | None) -> str:
    """Id of a stack, or of a part of one, of these images, where others of the file make another source."""
    content: list[str] = [raw.hash]
    if part is not None:
        content.append(hash_bytes(np.sort(part).astype("<i8").tobytes()))
    return hash_bytes(canonical_json(content))[:16]


@dataclass(frozen=True)
class _ReadImage:
    """A tilt image: its record, shape (y, x), the pixel size that its header claims, whether all is one value."""

    raw: RawImage
    shape: tuple[int, int]
    pixel_size_A: float | None
    blank: bool


def _image_doubts(path: Path, found: _ReadImage, pixel_size_A: float) -> list[Doubt]:
    doubts: list[Doubt] = []
    if found.pixel_size_A is not None and abs(found.pixel_size_A / pixel_size_A - 1) > SIZE_TOLERANCE:
        doubts.append(
            Doubt(
                "pixel-size-of-header",
                str(path),
                f"its header says {found.pixel_size_A:g} A/px",
                f"the project {pixel_size_A:g} A/px",
                "the latter holds",
                "give the right --angpix",
                grave=True,
            )
        )
    if found.blank:
        text = "all its pixels have one value"
        doubts.append(Doubt("blank-tilt", str(path), text, assumed="it is left out of maps and refinement"))
    return doubts


def _read_raw(population: Population, path: Path, store_raw: bool) -> _ReadImage:
    """Hash an image, check it, and put it into the store if wished. The bytes checked are the bytes hashed."""
    state, content = FileState.of(path), path.read_bytes()
    image, claimed = decode_image(content, path, square_pixels=True)
    stored = population.write_group({"image": image}) if store_raw else None
    raw = RawImage(
        path=_relative(population, path), hash=hash_bytes(content), size=len(content), stored_object=stored
    )
    population.files.remember(path, state, raw.hash)
    return _ReadImage(raw, (image.shape[0], image.shape[1]), claimed, bool(image.min() == image.max()))


def _relative(population: Population, path: Path) -> str:
    """A path as it counts from a population's folder, with `/`.

    Folders may be links, and `..` behind a link leads elsewhere than it reads: relative between real folders.
    """
    return Path(os.path.relpath(path.parent.resolve() / path.name, population.root.resolve())).as_posix()
