"""Which of two particles in one place goes.

keep-better: particles are taken from the best on, and one that collides with a particle taken already goes. Better
is, between species, the better map (FSC), then the larger mask; within a species, the higher score if the imported
table has one, then fewer collisions, then the one listed first.
drop-incoming: what is offered goes where it collides with what was there; other collisions stay.
keep-both: nothing goes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mpop.collisions.report import CollisionReport, SpeciesSeen
from mpop.collisions.search import Collision, Partner


class Choice(StrEnum):
    """What to do with particles in one place."""

    KEEP_BETTER = "keep-better"
    DROP_INCOMING = "drop-incoming"
    KEEP_BOTH = "keep-both"


@dataclass(frozen=True)
class Loser:
    """A particle that goes, for the sake of which other, and why."""

    item: str
    species: str
    particle: int
    winner_species: str
    winner: int
    because: str


def losers(report: CollisionReport, choice: Choice) -> list[Loser]:
    """The particles to remove."""
    found: list[Loser] = []
    for one in report.items:
        if choice is Choice.KEEP_BETTER:
            found += _worse(one.item, one.collisions, report.species)
        elif choice is Choice.DROP_INCOMING:
            found += _incoming(one.item, one.collisions)
    return found


def by_species_and_item(chosen: Iterable[Loser]) -> dict[tuple[str, str], set[int]]:
    """(species id, item id) -> ids of the particles that go."""
    ids: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for loser in chosen:
        ids[loser.species, loser.item].add(loser.particle)
    return dict(ids)


def _key(partner: Partner) -> tuple[str, int]:
    return partner.species, partner.particle


def _worse(item: str, collisions: list[Collision], species: Mapping[str, SpeciesSeen]) -> list[Loser]:
    met: defaultdict[tuple[str, int], list[Partner]] = defaultdict(list)
    partners: dict[tuple[str, int], Partner] = {}
    for hit in collisions:
        for one, other in ((hit.first, hit.second), (hit.second, hit.first)):
            partners[_key(one)] = one
            met[_key(one)].append(other)

    def rank(key: tuple[str, int]) -> tuple[float, ...]:
        kind = species[key[0]]
        score = partners[key].score
        return (
            math.inf if kind.resolution_A is None else kind.resolution_A,
            -kind.mask_A3,
            0.0 if score is None else -score,
            len(met[key]),
        )

    kept: set[tuple[str, int]] = set()
    gone: list[Loser] = []
    for key in sorted(partners, key=lambda key: (rank(key), key[0])):  # sorted keeps the order of the list
        winner = next((other for other in met[key] if _key(other) in kept), None)
        if winner is None:
            kept.add(key)
        else:
            because = _because(winner, partners[key], species)
            gone.append(Loser(item, *key, *_key(winner), because))
    return gone


def _because(winner: Partner, loser: Partner, species: Mapping[str, SpeciesSeen]) -> str:
    if winner.species == loser.species:
        if winner.score is not None and loser.score is not None and winner.score != loser.score:
            return f"score {loser.score:g}, the other {winner.score:g}"
        return "scores do not tell them apart; it collides more often or comes later in the list"
    better, worse = species[winner.species], species[loser.species]
    if better.resolution_A != worse.resolution_A:
        its = "no resolution" if worse.resolution_A is None else f"{worse.resolution_A:.1f} A"
        return f"its map has {its}, that of {better.name} {better.resolution_A:.1f} A"
    return f"{better.name} has the larger mask, and the maps are equally good"


def _incoming(item: str, collisions: list[Collision]) -> list[Loser]:
    gone: dict[tuple[str, int], Loser] = {}
    for hit in collisions:
        if hit.first.incoming != hit.second.incoming:
            goes, stays = (hit.first, hit.second) if hit.first.incoming else (hit.second, hit.first)
            gone.setdefault(_key(goes), Loser(item, *_key(goes), *_key(stays), "it is the one that is offered"))
    return list(gone.values())
