"""What a search of many tomograms found: per tomogram, per pair of particles, per pair of species."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mpop.collisions.search import Collision


@dataclass(frozen=True)
class ItemCollisions:
    """The collisions in one series."""

    item: str
    name: str
    collisions: list[Collision]


@dataclass(frozen=True)
class PairOfSpecies:
    """How often two species, or one with itself, were found in one place; by species id, in how many series."""

    first: str
    second: str
    overlaps: int
    duplicates: int
    items: int


@dataclass(frozen=True)
class SpeciesSeen:
    """A species that took part. resolution_A: None when it is not known; mask_A3: volume of its mask."""

    id: str
    name: str
    resolution_A: float | None
    mask_A3: float


@dataclass(frozen=True)
class CollisionReport:
    """All that was found. n_items and n_particles were searched; items holds the series with collisions."""

    threshold: float
    species: dict[str, SpeciesSeen]
    n_items: int
    n_particles: int
    items: list[ItemCollisions]

    @property
    def n_collisions(self) -> int:
        """Pairs of particles that collide."""
        return sum(len(one.collisions) for one in self.items)

    @property
    def pairs(self) -> list[PairOfSpecies]:
        """The counts per pair of species, most collisions first."""
        kinds: Counter[tuple[str, str, str]] = Counter()
        items: Counter[tuple[str, str]] = Counter()
        for one in self.items:
            for hit in one.collisions:
                kinds[*_pair(hit), hit.kind] += 1
            items.update({_pair(hit) for hit in one.collisions})
        counted = [
            PairOfSpecies(*pair, kinds[*pair, "overlap"], kinds[*pair, "duplicate"], n)
            for pair, n in items.items()
        ]
        return sorted(counted, key=lambda pair: (-pair.overlaps - pair.duplicates, pair.first, pair.second))


def _pair(hit: Collision) -> tuple[str, str]:
    first, second = sorted((hit.first.species, hit.second.species))
    return first, second
