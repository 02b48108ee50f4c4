"""RELION's tables of extracted particle images: each stack file is an item.

An item holds the optics of its images, not their poses: those belong to the species, which `mpop species add`
takes from the same table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.images import open_stack
from mpop.formats.stack_tables import OPTICS, SAME, StackTable, read_stack_table
from mpop.importing.importer import ImportedItem, ImportedSource, ImporterOptions
from mpop.importing.series_checks import SIZE_TOLERANCE
from mpop.importing.stack_checks import require_one_size
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel

MAX_NAME = 100
"""Characters of an item's name that is made from folders."""


class RelionOptions(ImporterOptions):
    """How a table of particle images is read."""

    images: Path | None = Field(
        None,
        description="Folder that names in the table count from; if not given, that of the table or the nearest "
        "above it where the first one is found, as RELION's names count from its project.",
    )
    pixel_size_A: float | None = Field(None, description="Of the images, in place of that in the table.")
    ignore_aberrations: bool = Field(False, description="Go on although the table has what mpop does not model.")
    amplitude_contrast: float | None = Field(None, description="A fraction, for a table without.")
    optics_groups: Sequence[str] = Field((), description="Numbers or names of those that are meant; none for all.")
    first_per_image: bool = Field(
        False, description="Of rows that share an image, as after symmetry expansion, take the first."
    )


class RelionImporter:
    """A STAR file of extracted particle images, of RELION 3.0 to 5."""

    name = "relion"
    what = "a table of extracted particle images"
    Options = RelionOptions

    def reads(self, path: Path) -> bool:
        """Whether a path is that of a STAR file."""
        return path.suffix == ".star"

    def read(self, path: Path, options: RelionOptions) -> ImportedSource:
        """The stacks of a table."""
        if options.pixel_size_A is not None and not options.pixel_size_A > 0:
            raise InputError(f"--angpix {options.pixel_size_A:g} is not a pixel size; it must be greater than 0")
        whole = read_stack_table(path, options.pixel_size_A, with_extra=False)
        table = whole.of_groups(options.optics_groups) if options.optics_groups else whole
        table = _with_optics(table.one_row_per_image(options.first_per_image), options.amplitude_contrast)
        doubts = [*_aberrations(table, options.ignore_aberrations), *table.doubts]
        stacks = _stacks(table, whole, options.images)
        sizes = {(group, one.size): None for one in stacks for group in np.unique(table.optics_group[one.rows])}
        doubts += _size_doubts(table, list(sizes))
        unused = [row for index, row in enumerate(whole.groups) if not (whole.optics_group == index).any()]
        items = []
        for number, (one, name) in enumerate(zip(stacks, item_names(table.files), strict=True)):
            model = _model(table, one.rows, one.name, unused if number == 0 else [])
            is_part = bool(options.optics_groups) and _has_others(whole, one.name, one.rows)
            items.append(ImportedItem(name, [one.path], model, str(table.path), is_part=is_part))
        return ImportedSource(stacks[0].pixel_size_A, items, doubts)


@dataclass(frozen=True)
class _Stack:
    """A file of particle images. name: in the table. rows: of its images. size: of these in px, by the header."""

    name: str
    path: Path
    rows: NDArray[np.int64]
    size: int
    pixel_size_A: float


def _stacks(table: StackTable, whole: StackTable, images: Path | None) -> list[_Stack]:
    """The files of a table, in its order, all of one pixel size and one size of images."""
    folder = _folder(table, images)
    by_file = np.argsort(table.file, kind="stable")
    ends = np.searchsorted(table.file[by_file], np.arange(1, len(table.files)))
    way_on = "add a source for each size with --optics-group" if len(table.groups) > 1 else ""
    stacks: list[_Stack] = []
    for name, rows in zip(table.files, np.split(by_file, ends), strict=True):
        path = folder / name
        stack, claimed = open_stack(path, square_pixels=True)
        given = stacks[0].pixel_size_A if stacks else table.pixel_size_A
        pixel = _pixel_size(path, given, None if _has_several_pixel_sizes(whole, name) else claimed)
        require_one_size(path, stack, stacks[0].size if stacks else None, way_on)
        stacks.append(_Stack(name, path, rows, int(stack.shape[2]), pixel))
    return stacks


def item_names(files: Sequence[str]) -> list[str]:
    """Names for stacks: that of the file, with as many folders before it as make all of them different."""
    parts = [PurePosixPath(file).with_suffix("").parts for file in files]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["-".join(one[-depth:]).replace("\\", "-").lstrip(".-/ ")[-MAX_NAME:] for one in parts]
        if len(set(names)) == len(names) and all(names):
            return names
    return [f"stack-{number:06d}" for number in range(1, len(files) + 1)]


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


def _size_doubts(table: StackTable, sizes: Sequence[tuple[int, int]]) -> list[Doubt]:
    """Images of another size than their optics groups say may be of another pixel size, too.

    sizes: index of an optics group, and px that its images have.
    """
    used = [(table.groups[group], size) for group, size in sizes] if table.groups else []
    return [
        Doubt(
            "image-size",
            f"{table.path}: optics group {row.get('rlnOpticsGroup', 1)}",
            f"_rlnImageSize is {row['rlnImageSize']}",
            f"images are {size} px wide",
            way_on="give the pixel size that they have with --angpix, or the optics that belong to them",
            grave=True,
        )
        for row, size in used
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


def _aberrations(table: StackTable, ignore: bool) -> list[Doubt]:
    if not table.ignored:
        return []
    text = f"its images have {', '.join(table.ignored)}, which mpop does not model"
    if not ignore:
        raise InputError(f"{table.path}: {text}; use --ignore-aberrations to refine without")
    assumed = "poses and maps will be without that correction"
    return [Doubt("aberrations", str(table.path), text, assumed=assumed)]


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


def _model(
    table: StackTable,
    rows: NDArray[np.int64],
    file: str,
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
        particle_id=np.zeros(len(rows), np.uint64),  # filled in when it is taken in
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
        image_dims_A=(0.0, 0.0),
        optics_columns=(*columns, *unused),
    )
