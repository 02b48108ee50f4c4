"""What an offered species says of itself, beside what its arrays say.

The resolution is a claim until the FSC of the stored half-maps gives it again; particles are counted where they
are, not where the record says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpop.errors import MpopError
from mpop.geometry.symmetry import copies
from mpop.maps.fsc import FSCReport, fsc_report
from mpop.population import Population
from mpop.records import SpeciesRecord
from mpop_hooks.schema import ITEM

MAX_BOX = 1024
"""Voxels along an edge; no map of one particle is larger."""
SHELLS = 1.0
"""By how many Fourier shells a claimed resolution may be finer than the one that the half-maps give."""


@dataclass(frozen=True)
class SeriesCount:
    """Particles of a species in one series, offered and (0 where there are none) before."""

    item: str
    name: str
    particles: int
    before: int
    half1: int
    half2: int


@dataclass(frozen=True)
class OfferedSpecies:
    """One species of an offer.

    claimed_A, derived_A: resolution in its record, and from its half-maps; None where they nowhere agree.
    series: those in which its particles are not what they were before; unchanged: how many others it is in.
    problems: what is wrong with it, in words.
    """

    id: str
    name: str
    how: Literal["new", "changed"]
    version: str
    symmetry: str
    diameter_A: float
    pixel_size_A: float
    box: int
    claimed_A: float | None
    derived_A: float | None
    before_A: float | None
    particles: int
    series: list[SeriesCount] = field(default_factory=list)
    unchanged: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SpeciesMaps:
    """The arrays behind a claim: half1, half2, mask (z, y, x), and their FSC."""

    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    mask: NDArray[np.float32]
    fsc: FSCReport


def offered_species(population: Population, species: str, at: str, before: str) -> OfferedSpecies:
    """Look at one species of an offered commit. before: the commit that it is offered for."""
    record = population.one_species(species, at)
    known = population.species_heads(before).get(record.id)
    old = None if known is None else population.one_species(record.id, before)
    problems: list[str] = []
    derived = None
    try:
        derived = read_maps(population, record).fsc.resolution_A
    except MpopError as error:
        problems.append(str(error))
    else:
        problems += _false_claim(record, derived)
    series = _series(population, record, old, (at, before), problems)
    counted = (0 if old is None else old.n_particles) + sum(one.particles - one.before for one in series)
    if counted != record.n_particles and not problems:
        problems.append(f"the record says {record.n_particles} particles, and there are {counted}")
    return OfferedSpecies(
        id=record.id,
        name=record.name,
        how="new" if old is None else "changed",
        version=record.version,
        symmetry=record.symmetry,
        diameter_A=record.diameter_A,
        pixel_size_A=record.pixel_size_A,
        box=record.box,
        claimed_A=record.resolution_A,
        derived_A=derived,
        before_A=None if old is None else old.resolution_A,
        particles=counted,
        series=[one for one in series if one.item in record.particles],
        unchanged=sum(1 for item, group in record.particles.items() if old and old.particles.get(item) == group),
        problems=problems,
    )


def read_maps(population: Population, record: SpeciesRecord) -> SpeciesMaps:
    """The half-maps and mask of a species, and their FSC. Raises MpopError for what cannot be maps."""
    if not 0 < record.box <= MAX_BOX:
        raise MpopError(f"a box of {record.box} voxels is not one of a particle")
    maps = population.maps(record)
    volumes = []
    for name in ("half1", "half2", "mask"):
        volume = maps.get(name)
        if volume is None or volume.shape != (record.box,) * 3 or not np.isfinite(volume).all():
            raise MpopError(f"{name} is not a volume of {record.box}^3 numbers")
        volumes.append(volume.astype(np.float32, copy=False))
    half1, half2, mask = volumes
    report = fsc_report(half1, half2, mask, record.pixel_size_A, copies=copies(record.symmetry))
    return SpeciesMaps(half1, half2, mask, report)


def _false_claim(record: SpeciesRecord, derived_A: float | None) -> list[str]:
    """A claimed resolution that is finer than what the half-maps give, in words."""
    if record.resolution_A is None:
        return []
    derived = 0.0 if derived_A is None else 1 / derived_A
    if 1 / record.resolution_A - derived <= SHELLS / (record.box * record.pixel_size_A):
        return []
    gives = "agree nowhere" if derived_A is None else f"agree to {derived_A:.2f} A"
    return [f"the record claims {record.resolution_A:.2f} A, but its half-maps {gives}"]


def _series(
    population: Population,
    record: SpeciesRecord,
    old: SpeciesRecord | None,
    commits: tuple[str, str],
    problems: list[str],
) -> list[SeriesCount]:
    """Particles by series, in the order of the series' names; of series in which they were changed, added or lost.

    commits: one of them knows the series.
    """
    found: list[SeriesCount] = []
    was = {} if old is None else old.particles
    for item in sorted(record.particles.keys() | was.keys()):
        if record.particles.get(item) == was.get(item):
            continue
        try:
            halves = _halves(population, record, item)
            before = 0 if old is None else len(_halves(population, old, item))
            name = _name(population, item, commits)
        except MpopError as error:
            problems.append(str(error))
            continue
        in_half1 = int(np.count_nonzero(halves == 1))
        found.append(SeriesCount(item, name, len(halves), before, in_half1, len(halves) - in_half1))
    return sorted(found, key=lambda one: (one.name, one.item))


def _halves(population: Population, species: SpeciesRecord, item: str) -> NDArray[np.uint8]:
    """(p,) the half of every particle of a species in a series."""
    if item not in species.particles:
        return np.zeros(0, np.uint8)
    return population.particles(species, item).half


def _name(population: Population, item: str, commits: tuple[str, str]) -> str:
    first, second = commits
    known = population.repository.find(ITEM.path(item), first) is not None
    return population.item(item, first if known else second).name
