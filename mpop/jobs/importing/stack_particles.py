"""Particles of a species in stacks: rows of a table of particle images matched with the images of a population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.stack_tables import StackTable
from mpop.jobs.importing.stack_doubts import (
    KnownImages,
    images_in_both_halves,
    neighbours_in_both_halves,
    optics_that_differ,
)
from mpop.population import Population
from mpop.records.models import ItemRecord
from mpop.records.stack import StackModel
from mpop.records.tilt_series import ParticleSet


@dataclass(frozen=True)
class MatchedParticles:
    """Particles by item id, and what the user should know."""

    sets: dict[str, ParticleSet]
    warnings: list[str]
    doubts: list[Doubt]


def match_stack_particles(
    population: Population,
    table: StackTable,
    items: Mapping[str, ItemRecord],
    ignore_unmatched: bool,
    diameter_A: float,
    first_per_image: bool = False,
) -> MatchedParticles:
    """The poses of a table as particle sets. items: those that may be meant, tilt series among them or not.

    diameter_A: of the particle. first_per_image: of rows that share an image take the first. Raises InputError
    when rows are of images that the population lacks, unless they are to be ignored, when a file could be several
    stacks, when rows share an image, or when the table has no angles.
    """
    if table.angles_deg is None:
        raise InputError(f"{table.path}: no _rlnAngleRot, _rlnAngleTilt, _rlnAnglePsi; refine its images first")
    doubts = [*table.doubts, *images_in_both_halves(table)]
    table = table.one_row_per_image(first_per_image)
    stacks = {item.id: model for item in items.values() if isinstance(model := population.model(item), StackModel)}
    sources = population.sources()
    sets: dict[str, ParticleSet] = {}
    unmatched, warnings = 0, []
    if table.half is None:
        warnings.append("the table has no half-sets (rlnRandomSubset); particles were assigned by their id")
    half = np.zeros(len(table), np.uint8)
    said = KnownImages.none_of(len(table))
    by_name: dict[str, list[str]] = {}
    for identity in stacks:
        by_name.setdefault(PurePosixPath(items[identity].raw[0].path).name, []).append(identity)
    by_file = np.argsort(table.file, kind="stable")
    ends = np.searchsorted(table.file[by_file], np.arange(1, len(table.files)))
    for file, rows in zip(table.files, np.split(by_file, ends), strict=True):
        left = rows
        for item in _parts_of(table, file, {one: items[one] for one in by_name.get(PurePosixPath(file).name, ())}):
            place, known = _places(stacks[item], table.image[left])
            if known.any():
                pixel = sources[items[item].source].pixel_size_A
                sets[item] = _particles(table, left[known], stacks[item], place[known], pixel)
                half[left[known]] = sets[item].half
                said.set(left[known], stacks[item], place[known], pixel)
            left = left[~known]
        unmatched += len(left)
    _refuse_unmatched(table, unmatched, bool(sets), ignore_unmatched, warnings)
    doubts += [*optics_that_differ(table, said), *neighbours_in_both_halves(table, half, diameter_A)]
    return MatchedParticles(sets, warnings, doubts)


def _parts_of(table: StackTable, file: str, candidates: Mapping[str, ItemRecord]) -> list[str]:
    """The item whose file has the most folders in common with a name in a table, counted from the end.

    Several, if they are parts of one file: sources that each took other images of it.
    """
    common = {item: _common_tail(record.raw[0].path, file) for item, record in candidates.items()}
    best = sorted(item for item, length in common.items() if length == max(common.values()))
    if len({candidates[item].raw[0].hash for item in best}) > 1:
        ids = ", ".join(best)
        raise InputError(f"{table.path}: {file} could be several stacks: {ids}; say which source with --source")
    return best


def _common_tail(first: str, second: str) -> int:
    pairs = zip(reversed(PurePosixPath(first).parts), reversed(PurePosixPath(second).parts), strict=False)
    length = 0
    for a, b in pairs:
        if a != b:
            break
        length += 1
    return length


def _places(model: StackModel, image: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Index into the model of images by their place in the stack, and whether they are there."""
    place = np.minimum(np.searchsorted(model.image, image), len(model) - 1)
    return place, model.image[place] == image


def _particles(
    table: StackTable,
    rows: NDArray[np.int64],
    model: StackModel,
    place: NDArray[np.int64],
    pixel_size_A: float,
) -> ParticleSet:
    assert table.angles_deg is not None
    identity = model.particle_id[place]
    size = round(model.image_dims_A[0] / pixel_size_A)
    position = np.zeros((len(rows), 1, 3))
    position[:, 0, :2] = size // 2 * pixel_size_A - table.origin_A[rows]
    half = (identity % np.uint64(2) + np.uint64(1)).astype(np.uint8) if table.half is None else table.half[rows]
    return ParticleSet(
        id=identity,
        half=half,
        position_A=position,
        angles_deg=table.angles_deg[rows][:, None],
        extra={key: [values[row] for row in rows.tolist()] for key, values in table.extra.items()},
    )


def _refuse_unmatched(table: StackTable, count: int, any_matched: bool, ignore: bool, warnings: list[str]) -> None:
    if count == 0:
        return
    text = f"{table.path}: {count} of {len(table)} images are in no stack of this population"
    if not any_matched:
        raise InputError(f"{text}; add them with `mpop source add NAME --stack {table.path.name}` first")
    if not ignore:
        raise InputError(f"{text}; use --ignore-unmatched to leave them out")
    warnings.append(text)
