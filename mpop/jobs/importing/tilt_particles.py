"""Particles of a species in tilt series: rows of a table matched with the series of a population."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.collisions.half_sets import half_sets_doubt
from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.particle_tables import ParticleTable, series_name
from mpop.jobs.importing.coordinate_units import choose_units, outside
from mpop.jobs.importing.series_names import match_names
from mpop.population import Population
from mpop.records.models import ItemRecord
from mpop.records.tilt_series import ParticleSet
from mpop.records.visible import VISIBLE, visible_tilts
from mpop_store import hash_bytes


@dataclass(frozen=True)
class TiltParticles:
    """Particles by item id, and what the user should know. positions: what theirs were read from, in words."""

    sets: dict[str, ParticleSet]
    warnings: list[str]
    doubts: list[Doubt]
    positions: str


def match_tilt_particles(
    population: Population,
    table: ParticleTable,
    items: Mapping[str, ItemRecord],
    ignore_unmatched: bool,
    diameter_A: float,
) -> TiltParticles:
    """The rows of a table as particle sets. items: those that may be meant.

    Raises InputError when rows are of series that the population lacks, unless they are to be ignored, when a name
    could be several series, or when most particles of a series lie outside of it.
    """
    matched, warnings, doubts = _match(table, items, ignore_unmatched)
    half = table.half
    if half is None:
        half = (np.arange(len(table)) % 2 + 1).astype(np.uint8)
        warnings.append("the table has no half-sets (rlnRandomSubset); particles were assigned alternately")
    rows = _rows(table.series)
    models = {name: population.tilt_series(items[item]) for name, item in matched.items()}
    volumes = {name: np.array(model.volume_dims_A) for name, model in models.items()}
    volume = np.full((len(table), 3), np.nan)
    for name, one in volumes.items():
        volume[rows[name]] = one
    units = choose_units(table, volume)
    position = units.position_A + (volume[:, None] / 2 if table.centred else 0.0)
    sets: dict[str, ParticleSet] = {}
    for name, item in sorted(matched.items()):
        here = rows[name]
        if warning := _outside(table, name, here, position[here], volumes[name]):
            warnings.append(warning)
        sets[item] = ParticleSet(
            id=_identities(item, position[here], table.angles_deg[here]),
            half=half[here],
            position_A=position[here],
            angles_deg=table.angles_deg[here],
            extra={key: [values[i] for i in here] for key, values in table.extra.items()},
        )
    doubts = [*table.doubts, *doubts, *units.doubts]
    doubts += _visible_doubts(table, {name: (sets[item], models[name].n_tilts) for name, item in matched.items()})
    placed = ((part.half, part.position_A) for part in sets.values())
    if shared := half_sets_doubt(str(table.path), placed, diameter_A):
        doubts.append(shared)
    return TiltParticles(sets, warnings, doubts, units.said)


def _rows(series: list[str]) -> dict[str, NDArray[np.intp]]:
    """The rows of every name, in the order of the table."""
    names, index = np.unique(np.array(series), return_inverse=True)
    order = np.argsort(index, kind="stable")
    parts = np.split(order, np.searchsorted(index[order], np.arange(1, len(names))))
    return dict(zip(names.tolist(), parts, strict=True))


def _match(
    table: ParticleTable, items: Mapping[str, ItemRecord], ignore_unmatched: bool
) -> tuple[dict[str, str], list[str], list[Doubt]]:
    """Series name in the table -> item id, warnings, and doubts. Every name must lead to exactly one series."""
    by_name: dict[str, list[str]] = {}
    for item in items.values():
        by_name.setdefault(series_name(item.name), []).append(item.id)
    counts = Counter(table.series)
    names = match_names(counts, by_name)
    for name, fits in names.several.items():
        listed = " or ".join(sorted(fits)) if len(fits) > 1 else f"{fits[0]}, as other names of the table"
        raise InputError(f"{table.path}: {counts[name]} rows are from {name}, which could be {listed}; rename it")
    ambiguous = {name: by_name[one] for name, one in names.matched.items() if len(by_name[one]) > 1}
    if ambiguous:
        name, ids = next(iter(ambiguous.items()))
        raise InputError(
            f"{table.path}: {counts[name]} rows are from {name}, a name of several series: {', '.join(ids)}; "
            "say which source is meant with --source"
        )
    matched = {name: by_name[one][0] for name, one in names.matched.items()}
    unmatched = {name: count for name, count in counts.items() if name not in matched}
    if not matched:
        known = ", ".join(sorted(by_name)[:5])
        example = ", ".join(sorted(unmatched)[:5])
        raise InputError(
            f"{table.path}: none of the {len(table)} particles is in a series of this population "
            f"(the table has {example}; the population has {known})"
        )
    doubts = [
        Doubt(
            "series-name",
            str(table.path),
            f"{counts[name]} rows are from {name}",
            "no series is called so",
            f"they are taken as from {names.matched[name]}",
        )
        for name in sorted(names.guessed)
    ]
    if unmatched:
        listed = ", ".join(f"{name} ({count} rows)" for name, count in sorted(unmatched.items())[:5])
        text = f"{sum(unmatched.values())} of {len(table)} rows are in series that this population lacks: {listed}"
        if not ignore_unmatched:
            raise InputError(f"{table.path}: {text}; use --ignore-unmatched to leave them out")
        return matched, [text], doubts
    return matched, [], doubts


def _outside(
    table: ParticleTable, name: str, rows: NDArray[np.intp], position: NDArray[np.float64], volume: np.ndarray
) -> str | None:
    """A warning of particles outside of their tomogram. Raises InputError when they are most."""
    wrong = np.flatnonzero(outside(position, volume))
    if not len(wrong):
        return None
    text = (
        f"{len(wrong)} of {len(rows)} particles of {name} lie outside of its tomogram "
        f"(the first in row {table.row[rows[wrong[0]]]})"
    )
    if len(wrong) > len(rows) / 2:
        raise InputError(f"{table.path}: {text}; give the right --angpix-coords")
    return text


def _visible_doubts(table: ParticleTable, parts: Mapping[str, tuple[ParticleSet, int]]) -> list[Doubt]:
    """Whether the table's flags of tilts that show a particle can be used. parts: by name, and how many tilts."""
    where = f"{table.path}: _{VISIBLE}"
    shown = {name: visible_tilts(*part) for name, part in sorted(parts.items()) if VISIBLE in part[0].extra}
    flags = [visible for visible in shown.values() if visible is not None]
    doubts = []
    if others := [name for name, visible in shown.items() if visible is None]:
        doubts.append(
            Doubt(
                "visible-frames",
                where,
                f"does not have as many flags as there are tilts in {', '.join(others[:5])}",
                assumed="all tilts of such series are used",
            )
        )
    if hidden := sum(int((~visible).sum()) for visible in flags):
        particles = sum(int((~visible).any(axis=1).sum()) for visible in flags)
        doubts.append(
            Doubt(
                "visible-frames",
                where,
                f"leaves out {hidden} images of {particles} particles",
                assumed="its flags are taken in the order of the tilts in the tomostar",
            )
        )
    return doubts


def _identities(item: str, position: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(p,) ids that follow from where particles are; equal rows differ by how often they came before."""
    parts = [values.reshape(len(values), -1).astype("<f8", copy=False) for values in (position, angles)]
    rows = np.concatenate(parts, axis=1)
    whole, size, start = rows.tobytes(), rows.strides[0], item.encode()
    seen: Counter[bytes] = Counter()
    identities = np.empty(len(rows), dtype=np.uint64)
    for i in range(len(rows)):
        row = whole[i * size : (i + 1) * size]
        identities[i] = int(hash_bytes(start + row + str(seen[row]).encode())[:16], 16)
        seen[row] += 1
    return identities
