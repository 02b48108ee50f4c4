"""What one iteration of the `refine` job hands to the next: a stored group that its record names.

With the records, it is all that the next one needs. So an iteration is a function of names, and can be run
anywhere, and again, without those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mpop.errors import StateError
from mpop.jobs.refine_guard import Agreement
from mpop.maps.filtered import fsc_rows, report_of_rows
from mpop.population import Population
from mpop.refinement.widths import LearnedWidths
from mpop_store.arrays.groups import read_group

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SeriesNames:
    """Groups that hold a series: its model, and its particles by species id."""

    model: str
    particles: dict[str, str]


@dataclass(frozen=True)
class RefineState:
    """starts: series as the job found them, by item. theta: how far the parameters of each tilt series have moved
    since. depth_unclear: whether half-maps were too coarse until now to tell the handedness of all tilt series.
    images: how half-maps agree that the images gave last. name: of the group; None while it is not stored."""

    starts: dict[str, SeriesNames]
    theta: dict[str, Array]
    widths: LearnedWidths
    depth_unclear: bool
    images: Agreement
    name: str | None = field(default=None, compare=False)

    def stored(self, population: Population) -> Self:
        """The same, with the name of the group that holds it."""
        theta = [self.theta.get(item, np.zeros(0)) for item in sorted(self.starts)]
        arrays = {f"fsc.{species}": fsc_rows(report) for species, report in self.images.reports.items()}
        arrays |= {"theta": np.concatenate([*theta, np.zeros(0)]), "sizes": np.array([len(one) for one in theta])}
        facts = {
            "starts": {item: asdict(names) for item, names in self.starts.items()},
            "widths": asdict(self.widths),
            "depth_unclear": self.depth_unclear,
            "items": sorted(self.images.items),
            "reports": {
                species: {"resolution_A": one.resolution_A, "randomised_from": one.randomised_from}
                for species, one in self.images.reports.items()
            },
        }
        return replace(self, name=population.write_group(arrays, facts))

    @classmethod
    def read(cls, population: Population, name: str) -> RefineState:
        """The state that a group holds. Raises StateError for a group that is none, MissingObjectError."""
        arrays, facts = read_group(population.objects, name)
        try:
            return cls._parsed(arrays, facts, name)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StateError(f"group {name} is no state of a refinement that mpop knows; update mpop?") from error

    @classmethod
    def _parsed(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], name: str) -> RefineState:
        ends = np.cumsum(arrays["sizes"])
        theta = dict(zip(sorted(facts["starts"]), np.split(arrays["theta"], ends[:-1]), strict=True))
        reports = {
            species: report_of_rows(arrays[f"fsc.{species}"], **one) for species, one in facts["reports"].items()
        }
        return cls(
            {item: SeriesNames(**names) for item, names in facts["starts"].items()},
            {item: offsets for item, offsets in theta.items() if len(offsets)},
            _widths(**facts["widths"]),
            facts["depth_unclear"],
            Agreement(frozenset(facts["items"]), reports),
            name,
        )


def _widths(of_tilts: Mapping[str, float], of_particles: Mapping[str, Mapping[str, float]]) -> LearnedWidths:
    """JSON knows one kind of number: a width of 0.0 comes back as 0."""
    return LearnedWidths(
        {name: float(width) for name, width in of_tilts.items()},
        {name: {one: float(width) for one, width in widths.items()} for name, widths in of_particles.items()},
    )
