"""A species whose particles the population has already is noted; others are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mpop.jobs.importing.known_particles import known_particles_doubts
from mpop.records.tilt_series import ParticleSet

if TYPE_CHECKING:
    from tests.conftest import TinyWorld


def kinds(world: TinyWorld, name: str, change: Callable[[ParticleSet], ParticleSet]) -> list[tuple[str, bool]]:
    """What is doubted of the particles of a species, changed, as if it came in again."""
    population = world.population
    one = population.one_species(name)
    sets = {item: change(population.particles(one, item)) for item in one.particles}
    return [(found.kind, found.grave) for found in known_particles_doubts(population, "p.star", sets, 120.0)]


@pytest.mark.parametrize("off_A", [0.0, 3.0])
def test_a_species_that_is_known_is_noted(shared_tiny_world: TinyWorld, off_A: float) -> None:
    def moved(part: ParticleSet) -> ParticleSet:
        return replace(part, position_A=part.position_A + off_A)

    assert kinds(shared_tiny_world, "asymmetric", moved) == [("species-known", False)]


def test_particles_elsewhere_are_not(shared_tiny_world: TinyWorld) -> None:
    assert (
        kinds(shared_tiny_world, "asymmetric", lambda part: replace(part, position_A=part.position_A + 40)) == []
    )


def test_a_part_of_the_particles_is_not(shared_tiny_world: TinyWorld) -> None:
    def half_elsewhere(part: ParticleSet) -> ParticleSet:
        away = np.where(np.arange(len(part))[:, None, None] % 2 == 0, 50.0, 0.0)
        return replace(part, position_A=part.position_A + away)

    assert kinds(shared_tiny_world, "asymmetric", half_elsewhere) == []
