"""What an iteration of the `refine` job must not do: replace half-maps by such as certainly agree less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpop.doubts import Doubt
from mpop.geometry.symmetry import copies
from mpop.maps.fsc import FSCReport
from mpop.maps.fsc_fall import fall
from mpop.population import Population
from mpop.records.models import SpeciesRecord

WAY_ON = "look whether coordinates, pixel sizes, defocus and symmetry are right, or let fewer parameters move"


@dataclass(frozen=True)
class Agreement:
    """How half-maps agree, by id of species, and the items whose images they are made of."""

    items: frozenset[str]
    reports: dict[str, FSCReport]


def ruin(
    population: Population, species: Sequence[SpeciesRecord], before: Agreement, after: Agreement
) -> list[Doubt]:
    """A doubt about every species whose new half-maps have lost what they had before.

    species: as they are without the new half-maps. before, after: what their images gave when the iteration began,
    and what they give now. Half-maps of fewer images agree less for a reason, and are not compared.
    """
    doubts = []
    for one in species:
        report, where = after.reports[one.id], f"species {one.name}"
        if report.resolution_A is None and one.resolution_A is not None:
            read, against = (
                "its new half-maps agree at no resolution",
                f"its present ones to {one.resolution_A:.1f} A",
            )
            doubts.append(Doubt("half-maps-lost", where, read, against, way_on=WAY_ON, grave=True))
        elif one.id in before.reports and before.items == after.items:
            mask = population.maps(one)["mask"]
            found = fall(before.reports[one.id], report, mask, copies(one.symmetry))
            if found is not None and found.certain:
                read = f"its images agree less since they were refined: {found.words}"
                doubts.append(Doubt("refined-worse", where, read, way_on=WAY_ON, grave=True))
    return doubts


def unseen_doubt(one: SpeciesRecord) -> Doubt:
    """About a species that no series shows."""
    return Doubt(
        "species-not-seen",
        f"species {one.name}",
        "no series shows a signal of it above noise",
        assumed="its half-maps and particles stay as they are",
        way_on="look whether its particles lie where the images show them, and at contrast and pixel sizes",
    )
