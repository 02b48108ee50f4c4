"""What `faults.Faults` runs besides commands of mpop: functions of the path of a population."""

from __future__ import annotations

import example_population

from mpop.population import Population
from mpop_store import hash_bytes


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


def read(path: str) -> None:
    """Print a digest of everything that every commit holds, arrays included."""
    population = Population.open(path)
    for commit in population.repository.log():
        for species in population.species(commit.id).values():
            print(commit.id[:10], species.name, species.version, _digest(population, species.maps_object))
            for item, group in sorted(species.particles.items()):
                print("  particles", item, _digest(population, group))
        for item in population.items(commit.id).values():
            print(commit.id[:10], item.name, item.version, _digest(population, item.model_object))


def _digest(population: Population, group: str) -> str:
    arrays = population.read_group(group)
    return hash_bytes(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays)))[:16]
