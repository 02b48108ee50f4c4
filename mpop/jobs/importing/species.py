"""`mpop species add`: half-maps, a mask and a particle table become a species.

Everything is read and checked before the working state is touched, by one `stage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpop.doubts import Doubt, settle
from mpop.errors import InputError, StateError
from mpop.formats.particle_tables import ParticleTable, read_particles, series_name
from mpop.formats.stack_tables import stack_table_if_one
from mpop.geometry.symmetry import symmetry_matrices
from mpop.jobs.halfmaps import filtered_and_fsc
from mpop.jobs.importing.stack_particles import match_stack_particles
from mpop.jobs.leasing import leased
from mpop.jobs.maps.input import from_files
from mpop.maps.filters import resize
from mpop.maps.fsc import fsc_report
from mpop.population import Population
from mpop.records.models import ItemRecord, SpeciesRecord
from mpop.records.tilt_series import ParticleSet
from mpop_hooks.names import require_name
from mpop_store import canonical_json, hash_bytes

MIN_BOX = 8
OUTSIDE_MARGIN = 0.05
"""How far beyond its tomogram a particle may lie, as a fraction of the tomogram."""


@dataclass(frozen=True)
class AddedSpecies:
    """The staged record, and what the user should know about the import. warnings: the doubts among them."""

    record: SpeciesRecord
    warnings: list[str]
    doubts: list[Doubt]


@leased("species add")
def add_species(
    population: Population,
    name: str,
    half1: str | Path,
    half2: str | Path,
    mask: str | Path,
    particles: str | Path,
    diameter_A: float,
    symmetry: str = "C1",
    pixel_size_A: float | None = None,
    angpix_coords: float | None = None,
    angpix_shifts: float | None = None,
    ignore_unmatched: bool = False,
    source: str | None = None,
    force: bool = False,
) -> AddedSpecies:
    """Import a species and stage it. Raises InputError with every kind of mismatch; then nothing is staged.

    source: the name or id of the source whose series the table means; needed where sources share names of series.
    force: go on in spite of grave doubts.
    """
    require_name("species", name)
    if any(species.name == name for species in population.species_heads().values()):
        raise StateError(f"there is a species called {name} already; choose another name")
    items = population.items()
    if not items:
        raise StateError("the population has no source yet; add one with `mpop source add` first")
    if source is not None:
        chosen = population.source(source).id
        items = {identity: item for identity, item in items.items() if item.source == chosen}
    symmetry_matrices(symmetry)
    _must_be_positive("--angpix-coords", angpix_coords)
    _must_be_positive("--angpix-shifts", angpix_shifts)
    _must_be_positive("--diameter", diameter_A)
    given = from_files(Path(half1), Path(half2), Path(mask), pixel_size_A)
    pixel = given.pixel_size_A
    extent = given.box * pixel
    if not MIN_BOX / 2 <= diameter_A / pixel <= extent / pixel:
        raise InputError(
            f"--diameter {diameter_A:g} A does not go with maps of {extent:.0f} A; check diameter and pixel size"
        )
    box = 2 * round(diameter_A / pixel)
    volumes = {"half1": given.half1, "half2": given.half2, "mask": given.required_mask()}
    maps = {key: resize(volume, box) for key, volume in volumes.items()}
    doubts: list[Doubt] = []
    images = stack_table_if_one(particles, angpix_shifts)
    if images is not None:
        found = match_stack_particles(population, images, items, ignore_unmatched)
        sets, warnings = found.sets, found.warnings
    else:
        table = read_particles(particles, angpix_coords, angpix_shifts)
        matched, warnings = _match(table, items, ignore_unmatched)
        sets, more = _particle_sets(population, table, matched)
        warnings += more
        doubts += table.doubts
    settle(doubts, force)
    report = fsc_report(maps["half1"], maps["half2"], maps["mask"], pixel)
    group = population.write_group({**maps, **filtered_and_fsc(maps["half1"], maps["half2"], report)})
    objects = {item: population.write_particles(part) for item, part in sets.items()}
    content = {"maps": group, "particles": objects, "symmetry": symmetry.upper(), "diameter_A": float(diameter_A)}
    record = SpeciesRecord(
        id=hash_bytes(canonical_json(content))[:16],
        name=name,
        symmetry=symmetry.upper(),
        diameter_A=float(diameter_A),
        pixel_size_A=pixel,
        box=box,
        maps_object=group,
        resolution_A=report.resolution_A,
        particles=objects,
        n_particles=sum(len(part) for part in sets.values()),
    )
    if record.id in population.species_heads():
        raise StateError(f"the same maps and particles are in this population already (id {record.id})")
    population.stage([record])
    return AddedSpecies(population.one_species(record.id), [*warnings, *map(str, doubts)], doubts)


def _must_be_positive(option: str, value: float | None) -> None:
    if value is not None and not 0 < value < np.inf:
        raise InputError(f"{option} {value:g} is not a length; it must be greater than 0")


def _match(
    table: ParticleTable, items: Mapping[str, ItemRecord], ignore_unmatched: bool
) -> tuple[dict[str, str], list[str]]:
    """Series name in the table -> item id. Every name must lead to exactly one series."""
    by_name: dict[str, list[str]] = {}
    for item in items.values():
        by_name.setdefault(series_name(item.name), []).append(item.id)
    counts = Counter(table.series)
    ambiguous = {name: by_name[name] for name in counts if len(by_name.get(name, ())) > 1}
    if ambiguous:
        name, ids = next(iter(ambiguous.items()))
        raise InputError(
            f"{table.path}: {counts[name]} rows are from {name}, a name of several series: {', '.join(ids)}; "
            "say which source is meant with --source"
        )
    matched = {name: by_name[name][0] for name in counts if name in by_name}
    unmatched = {name: count for name, count in counts.items() if name not in by_name}
    if not matched:
        known = ", ".join(sorted(by_name)[:5])
        example = ", ".join(sorted(unmatched)[:5])
        raise InputError(
            f"{table.path}: none of the {len(table)} particles is in a series of this population "
            f"(the table has {example}; the population has {known})"
        )
    if unmatched:
        listed = ", ".join(f"{name} ({count} rows)" for name, count in sorted(unmatched.items())[:5])
        text = f"{sum(unmatched.values())} of {len(table)} rows are in series that this population lacks: {listed}"
        if not ignore_unmatched:
            raise InputError(f"{table.path}: {text}; use --ignore-unmatched to leave them out")
        return matched, [text]
    return matched, []


def _particle_sets(
    population: Population, table: ParticleTable, matched: Mapping[str, str]
) -> tuple[dict[str, ParticleSet], list[str]]:
    """The particles of every item, and warnings."""
    warnings = []
    half = table.half
    if half is None:
        half = (np.arange(len(table)) % 2 + 1).astype(np.uint8)
        warnings.append("the table has no half-sets (rlnRandomSubset); particles were assigned alternately")
    items = population.items()
    series = np.array(table.series)
    sets: dict[str, ParticleSet] = {}
    for name, item in sorted(matched.items()):
        rows = np.flatnonzero(series == name)
        volume = np.array(population.tilt_series(items[item]).volume_dims_A)
        position = table.position_A[rows] + (volume / 2 if table.centred else 0.0)
        outside = np.flatnonzero((np.abs(position / volume - 0.5) > 0.5 + OUTSIDE_MARGIN).any(axis=(1, 2)))
        if len(outside):
            text = (
                f"{len(outside)} of {len(rows)} particles of {name} lie outside of its tomogram "
                f"(the first in row {table.row[rows[outside[0]]]})"
            )
            if len(outside) > len(rows) / 2:
                raise InputError(f"{table.path}: {text}; give the right --angpix-coords")
            warnings.append(text)
        sets[item] = ParticleSet(
            id=_identities(item, position, table.angles_deg[rows]),
            half=half[rows],
            position_A=position,
            angles_deg=table.angles_deg[rows],
            extra={key: [values[i] for i in rows] for key, values in table.extra.items()},
        )
    return sets, warnings


def _identities(item: str, position: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(p,) ids that follow from where particles are; equal rows differ by how often they came before."""
    seen: Counter[bytes] = Counter()
    identities = np.empty(len(position), dtype=np.uint64)
    for i, (place, angle) in enumerate(zip(position, angles, strict=True)):
        key = item.encode() + place.astype("<f8").tobytes() + angle.astype("<f8").tobytes()
        digest = hash_bytes(key + str(seen[key]).encode())
        seen[key] += 1
        identities[i] = int(digest[:16], 16)
    return identities
