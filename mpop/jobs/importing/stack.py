"""`mpop source add --stack`: a table of extracted particle images becomes a source, each stack file an item.

An item holds the optics of its images, not their poses: those belong to the species, which `mpop species add`
takes from the same table. Everything is read and checked before the working state is touched, by one `stage`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, settle
from mpop.errors import InputError
from mpop.formats.images import open_stack
from mpop.formats.stack_tables import OPTICS, SAME, StackTable, read_stack_table
from mpop.jobs.importing.optics_checks import questioned_optics
from mpop.jobs.importing.source import SIZE_TOLERANCE, refuse_known, refuse_name, source_id
from mpop.jobs.leasing import leased
from mpop.population import Population
from mpop.records.models import ItemRecord, RawImage, SourceRecord
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel
from mpop.run import Progress, silent
from mpop_store import canonical_json, hash_bytes

MAX_NAME = 100
"""Characters of an item's name that is made from folders."""
AT_A_TIME = 64
"""Images that are looked at together."""


@dataclass(frozen=True)
class AddedStack:
    """The staged source, how many images it holds, and what to know of it. warnings: the doubts among them."""

    record: SourceRecord
    images: int
    warnings: list[str]
    doubts: list[Doubt]


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
    amplitude_contrast: float | None = None,
    optics_groups: Sequence[str] = (),
    first_per_image: bool = False,
    force: bool = False,
) -> AddedStack:
    """Import a table of particle images and stage it.

    images: folder that the names in the table count from; if not given, that of the table or the nearest above it
    where the first one is found, as RELION's names count from its project. ignore_aberrations: go on although the
    table has aberrations that mpop does not model. amplitude_contrast: for a table without. optics_groups: numbers
    or names of those whose images are meant; () for all. first_per_image: of rows that share an image, as after
    symmetry expansion, take the first. force: go on in spite of grave doubts. Raises InputError with every kind of
    mismatch; then nothing is staged.
    """
    refuse_name(population, name)
    if pixel_size_A is not None and not pixel_size_A > 0:
        raise InputError(f"--angpix {pixel_size_A:g} is not a pixel size; it must be greater than 0")
    whole = read_stack_table(star, pixel_size_A, with_extra=False)
    table = whole.of_groups(optics_groups) if optics_groups else whole
    table = _with_optics(table.one_row_per_image(first_per_image), amplitude_contrast)
    warnings = _aberrations(table, ignore_aberrations)
    groups = [(kv, cs, amplitude) for kv, cs, amplitude in np.unique(table.optics, axis=0).tolist()]
    of_optics = settle(questioned_optics(str(table.path), groups, table.defocus_um), force)
    folder = _folder(table, None if images is None else Path(images))
    names = item_names(table.files)
    unused = [row for index, row in enumerate(whole.groups) if not (whole.optics_group == index).any()]
    items: list[ItemRecord] = []
    seen: dict[str, str] = {}
    pixel, shape = table.pixel_size_A, None
    by_file = np.argsort(table.file, kind="stable")
    ends = np.searchsorted(table.file[by_file], np.arange(1, len(table.files)))
    for number, rows in enumerate(np.split(by_file, ends)):
        file = table.files[number]
        path = folder / file
        stack, claimed = open_stack(path, square_pixels=True)
        pixel = _pixel_size(path, pixel, None if _has_several_pixel_sizes(whole, file) else claimed)
        shape = shape or (int(stack.shape[1]), int(stack.shape[2]))
        settle(_size_doubts(table, rows, int(stack.shape[2])), force)
        _check_images(table, path, stack, rows, shape)
        raw = _raw(population, path, stack, store_raw)
        if raw.hash in seen:
            raise InputError(f"{table.path}: {file} and {seen[raw.hash]} are the same images under two names")
        seen[raw.hash] = file
        part = table.image[rows] if optics_groups and _has_others(whole, file, rows) else None
        identity = _item_id(raw, part)
        model = _model(table, rows, identity, file, shape, pixel, unused if number == 0 else [])
        items.append(_item(population, identity, names[number], raw, model))
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
    doubts = [*table.doubts, *of_optics, *_size_doubts(table, np.arange(len(table)), shape[1])]
    return AddedStack(population.source(identity), len(table), [*warnings, *map(str, doubts)], doubts)


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


def _with_optics(table: StackTable, amplitude_contrast: float | None) -> StackTable:
    """The table with everything that a CTF needs. Raises InputError for what is missing, or given twice."""
    column = "rlnAmplitudeContrast"
    if amplitude_contrast is not None:
        if not 0 <= amplitude_contrast <= 1:
            raise InputError(f"--amplitude-contrast {amplitude_contrast:g} is not a fraction between 0 and 1")
        if column not in table.missing:
            raise InputError(f"{table.path}: has _{column}; --amplitude-contrast is for tables without")
        optics = table.optics.copy()
        optics[:, OPTICS.index(column)] = amplitude_contrast
        table = replace(table, optics=optics, missing=[name for name in table.missing if name != column])
    if table.missing:
        way_on = "; give it with --amplitude-contrast" if table.missing == [column] else ""
        raise InputError(
            f"{table.path}: neither the block of its particles nor data_optics has a column "
            f"_{', _'.join(table.missing)}{way_on}"
        )
    return table


def _size_doubts(table: StackTable, rows: NDArray[np.int64], size: int) -> list[Doubt]:
    """Images of another size than their optics groups say may be of another pixel size, too."""
    used = [table.groups[group] for group in np.unique(table.optics_group[rows])] if table.groups else []
    return [
        Doubt(
            "image-size",
            f"{table.path}: optics group {row.get('rlnOpticsGroup', 1)}",
            f"_rlnImageSize is {row['rlnImageSize']}",
            f"images are {size} px wide",
            way_on="give the pixel size that they have with --angpix, or the optics that belong to them",
            grave=True,
        )
        for row in used
        if "rlnImageSize" in row and row["rlnImageSize"] != size
    ]


def _has_others(whole: StackTable, file: str, rows: NDArray[np.int64]) -> bool:
    """Whether a table has more images of a file than those of some of its rows."""
    return int((whole.file == whole.files.index(file)).sum()) > len(rows)


def _has_several_pixel_sizes(whole: StackTable, file: str) -> bool:
    """Whether images of a file differ in pixel size by the table, so that its header cannot be right for all."""
    if whole.pixel_sizes_A is None or np.ptp(whole.pixel_sizes_A) == 0:
        return False
    sizes = whole.pixel_sizes_A[whole.file == whole.files.index(file)]
    return bool(np.ptp(sizes) > SAME * sizes[0])


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


def _pixel_size(path: Path, given: float | None, claimed: float | None) -> float:
    """Of the images, from the table or else from the header; both must agree."""
    pixel = claimed if given is None else given
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
        way_on = "; add a source for each size with --optics-group" if len(table.groups) > 1 else ""
        raise InputError(
            f"{path}: images of {stack.shape[2]} x {stack.shape[1]} px; "
            f"all must be square, even and of one size{way_on}"
        )
    beyond = rows[table.image[rows] >= len(stack)]
    if len(beyond):
        raise InputError(
            f"{table.path}: image {table.image[beyond[0]] + 1} of {path} is listed, but that holds {len(stack)}"
        )
    for some in np.array_split(rows, range(AT_A_TIME, len(rows), AT_A_TIME)):
        finite = np.isfinite(np.asarray(stack)[table.image[some]]).all(axis=(1, 2))
        if not finite.all():
            raise InputError(f"{path}: image {table.image[some[~finite][0]] + 1} holds NaN or infinity")


def _raw(population: Population, path: Path, stack: NDArray, store_raw: bool) -> RawImage:
    """Hash a stack, and put its images into the store if wished."""
    relative = Path(os.path.relpath(path.parent.resolve() / path.name, population.root.resolve())).as_posix()
    stored = population.write_group({"image": np.asarray(stack)}) if store_raw else None
    return RawImage(
        path=relative, hash=population.files.hash(path), size=path.stat().st_size, stored_object=stored
    )


def _item(population: Population, identity: str, name: str, raw: RawImage, model: StackModel) -> ItemRecord:
    """The record of a stack, its model stored; the source is not known yet."""
    group = population.write_stack(model)
    return ItemRecord(id=identity, name=name, source="", raw=[raw], model_object=group)


def _item_id(raw: RawImage, part: NDArray[np.int64] | None) -> str:
    """Id of a stack, or of a part of one, of these images, where others of the file make another source."""
    content: list[str] = [raw.hash]
    if part is not None:
        content.append(hash_bytes(np.sort(part).astype("<i8").tobytes()))
    return hash_bytes(canonical_json(content))[:16]


def _model(
    table: StackTable,
    rows: NDArray[np.int64],
    identity: str,
    file: str,
    shape: tuple[int, int],
    pixel_size_A: float,
    unused: list[dict[str, str | float | int]],
) -> StackModel:
    """The optics of some rows. unused: optics groups without particles, which this stack keeps for the table."""
    rows = rows[np.argsort(table.image[rows], kind="stable")]
    keys = np.column_stack([table.optics_group[rows], table.optics[rows]])
    values, group = np.unique(keys, axis=0, return_inverse=True)
    columns = [table.groups[int(index)] for index in values[:, 0]] if table.groups else []
    return StackModel(
        file=file,
        image=table.image[rows],
        particle_id=image_ids(identity, table.image[rows].tolist()),
        defocus_um=table.defocus_um[rows],
        defocus_delta_um=table.defocus_delta_um[rows],
        defocus_angle_deg=table.defocus_angle_deg[rows],
        phase_shift_pi=table.phase_shift_pi[rows],
        bfactor_A2=table.bfactor_A2[rows],
        scale=table.scale[rows],
        optics_group=group.reshape(-1).astype(np.int64),
        optics=tuple(
            CTFModel(voltage_kV=kv, cs_mm=cs, amplitude_contrast=a) for kv, cs, a in values[:, 1:].tolist()
        ),
        image_dims_A=(shape[1] * pixel_size_A, shape[0] * pixel_size_A),
        optics_columns=(*columns, *unused),
    )
