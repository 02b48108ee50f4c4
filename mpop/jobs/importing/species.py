"""`mpop species add`: half-maps, a mask and a particle table become a species.

Everything is read and checked before the working state is touched, by one `stage`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpop.collisions.half_sets import refuse_empty_half
from mpop.doubts import Doubt, settle
from mpop.errors import InputError, StateError
from mpop.formats.particle_tables import read_particles
from mpop.formats.stack_tables import stack_table_if_one
from mpop.formats.star import read_star
from mpop.geometry.symmetry import copies, symmetry_matrices
from mpop.jobs.importing.known_particles import known_particles_doubts
from mpop.jobs.importing.signal import signal_doubts
from mpop.jobs.importing.stack_particles import match_stack_particles
from mpop.jobs.importing.tilt_particles import match_tilt_particles
from mpop.jobs.leasing import leased
from mpop.jobs.maps.checking import map_doubts
from mpop.jobs.maps.input import HalfMaps, from_files
from mpop.maps.filtered import filtered_and_fsc
from mpop.maps.filters import resize
from mpop.maps.fsc import FSCReport, fsc_report
from mpop.maps.symmetry_checks import symmetry_doubts
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop_hooks.names import require_name
from mpop_store import canonical_json, hash_bytes

MIN_BOX = 8


@dataclass(frozen=True)
class AddedSpecies:
    """The staged record, and what the user should know about the import. warnings: the doubts among them.
    positions: what those of particles were read from, and in which unit; nothing for stacks."""

    record: SpeciesRecord
    warnings: list[str]
    doubts: list[Doubt]
    positions: str


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
    first_per_image: bool = False,
) -> AddedSpecies:
    """Import a species and stage it. Raises InputError with every kind of mismatch; then nothing is staged.

    source: the name or id of the source whose series the table means; needed where sources share names of series.
    force: go on in spite of grave doubts. first_per_image: in a table of stacks, of rows that share an image take
    the first.
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
    report = fsc_report(given.half1, given.half2, given.required_mask(), pixel, copies=copies(symmetry))
    doubts = _map_doubts(given, report, diameter_A, symmetry)
    settle(doubts, force)  # before the particles, which may be many
    volumes = {"half1": given.half1, "half2": given.half2, "mask": given.required_mask()}
    maps = {key: resize(volume, box) for key, volume in volumes.items()}
    positions = ""
    blocks = read_star(Path(particles))
    images = stack_table_if_one(particles, angpix_shifts, blocks)
    if images is not None:
        found = match_stack_particles(population, images, items, ignore_unmatched, diameter_A, first_per_image)
        sets, warnings = found.sets, found.warnings
        doubts += found.doubts
    else:
        table = read_particles(particles, angpix_coords, angpix_shifts, blocks)
        tilted = match_tilt_particles(population, table, items, ignore_unmatched, diameter_A)
        sets, warnings, positions = tilted.sets, tilted.warnings, tilted.positions
        doubts += tilted.doubts
    refuse_empty_half(str(particles), (part.half for part in sets.values()))
    doubts += known_particles_doubts(population, str(particles), sets, diameter_A)
    settle(doubts, force)
    if box != given.box:
        report = fsc_report(maps["half1"], maps["half2"], maps["mask"], pixel, copies=copies(symmetry))
    doubts += signal_doubts(population, maps, report, diameter_A, pixel, sets)
    settle(doubts, force)
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
    return AddedSpecies(population.one_species(record.id), [*warnings, *map(str, doubts)], doubts, positions)


def _map_doubts(given: HalfMaps, report: FSCReport, diameter_A: float, symmetry: str) -> list[Doubt]:
    """What `mpop fsc` would say of the maps, and whether diameter and point group go with them."""
    mask = given.required_mask()
    doubts = map_doubts(given, mask, report, diameter_A)
    if any(doubt.grave for doubt in doubts):
        return doubts  # of maps that are no half-maps of one particle, its symmetry is not asked
    pixel = given.pixel_size_A
    return doubts + symmetry_doubts(given.both, given.half1, given.half2, mask, report, pixel, symmetry)


def _must_be_positive(option: str, value: float | None) -> None:
    if value is not None and not 0 < value < np.inf:
        raise InputError(f"{option} {value:g} is not a length; it must be greater than 0")
