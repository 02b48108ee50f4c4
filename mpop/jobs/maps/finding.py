"""What a map command found: numbers and arrays, and nothing else. Reports show it, and a commit holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # plain files need no population
    from mpop.population import Population
    from mpop.records.models import JobRecord

Numbers = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Finding:
    """What there is to show, fresh or from a commit; both are the same.

    numbers: plain JSON values, as `--json` prints them. arrays: by name; each analysis says which it gives.
    """

    numbers: Numbers
    arrays: Arrays = field(default_factory=dict)

    @classmethod
    def load(cls, population: Population, job: JobRecord) -> Finding:
        """That of a recorded job. Raises NotFoundError where its arrays are not here."""
        return cls(job.result, {} if job.result_object is None else population.read_group(job.result_object))

    def frequency(self, curve: str) -> NDArray[np.floating]:
        """(k,) of the shells of a curve (..., k) of half-maps, 1/A, from shell 0 on."""
        shells = self.arrays[curve].shape[-1]
        return np.arange(shells) / (self.numbers["box"] * self.numbers["pixel_size_A"])


def reference_of(numbers: Numbers) -> tuple[str, str]:
    """What a map was compared with, model or map, and the name of its file."""
    ((kind, path),) = numbers["against"].items()
    return kind, PurePath(path).name
