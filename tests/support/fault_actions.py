"""What `faults.Faults` runs besides commands of mpop: functions of the path of a population."""

from __future__ import annotations

import example_population

from mpop.population import Population


def refine(path: str) -> None:
    """Commit a refinement, arrays and all."""
    example_population.refine(Population.open(path))


def stage(path: str) -> None:
    """Change a species, add another, and remove none, in the working state."""
    population = Population.open(path)
    (species,) = population.species("HEAD").values()
    maps = population.write_group(example_population.maps(7))
    other = {"id": "c" * 16, "name": "proteasome", "maps_object": maps}
    population.stage([species.model_copy(update={"symmetry": "C2"}), species.model_copy(update=other)])
