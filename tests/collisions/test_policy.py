"""The policy on collisions: who pushes or merges new particles into old ones is told, or stopped."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_population import make_population
from offered import VIRUS, add_virus

from mpop.population import Population
from mpop_hooks import Proposal, Violation, check
from mpop_hooks.proposal import Event

RIBOSOME = "a" * 16


@pytest.fixture
def population(tmp_path: Path) -> Population:
    """The example population, its particles of the ribosome all in one corner."""
    population = make_population(tmp_path)
    ribosome = population.one_species("ribosome")
    for number, item in enumerate(sorted(ribosome.particles)):
        places = np.zeros((4, 1, 3)) + np.arange(4)[:, None, None] * [[[0.0, 0.0, 1000.0]]]
        particles = replace(population.particles(ribosome, item), position_A=places + 2000.0 * number)
        ribosome.particles[item] = population.write_particles(particles)
    population.stage([ribosome])
    population.commit("Move apart")
    return population


def ask(population: Population, event: Event = "receive", old: str | None = "HEAD~1") -> list[Violation]:
    return check(Proposal.between(population.repository, old, "HEAD", event))


def configure(population: Population, value: str) -> None:
    subprocess.run(["git", "-C", str(population.root), "config", "mpop.collisions", value], check=True)


def add(population: Population, at_A: float) -> None:
    """A species with particles around (20..140, at, at) in the first series."""
    add_virus(population, [population.item("TS_1")], at_A=at_A)
    population.commit("Add a virus")


def test_new_particles_in_old_ones_are_told(population: Population) -> None:
    add(population, 20.0)
    for event in ("receive", "merge"):
        (found,) = ask(population, event)
        assert (found.rule, found.severity, found.path) == ("collisions", "note", f"species/{VIRUS}.json")
        assert "new particles of virus stand where particles of ribosome are, in 1 tilt series (first: TS_1)" in (
            found.message
        )
    assert ask(population, "commit") == []


def test_a_population_may_refuse_or_ignore_them(population: Population) -> None:
    add(population, 20.0)
    configure(population, "refuse")
    (found,) = ask(population)
    assert found.severity == "refuse"
    configure(population, "off")
    assert ask(population) == []


def test_new_particles_beside_old_ones_pass(population: Population) -> None:
    add(population, 5000.0)
    assert ask(population) == []


def test_what_was_there_before_is_nobodys_fault(population: Population) -> None:
    """Neither the first commit of a population nor particles that a refinement moves."""
    assert ask(population, old=None) == []
    assert ask(population) == []
    add(population, 20.0)
    ribosome = population.one_species("ribosome")
    item = population.item("TS_1").id
    particles = population.particles(ribosome, item)
    ribosome.particles[item] = population.write_particles(replace(particles, position_A=particles.position_A + 1))
    population.stage([ribosome])
    population.commit("Refine")
    assert ask(population) == []


def test_one_more_particle_of_a_known_species_is_looked_at(population: Population) -> None:
    add(population, 20.0)
    virus = population.one_species("virus")
    item = population.item("TS_1").id
    particles = population.particles(virus, item)
    away = np.concatenate([particles.position_A[:-1], particles.position_A[-1:] + 5000.0])
    one_more = replace(particles, id=np.append(particles.id[:-1], np.uint64(5)), position_A=away)
    virus.particles[item] = population.write_particles(one_more)
    population.stage([virus])
    population.commit("Exchange one")
    assert ask(population, old="HEAD~1") == []
    closer = replace(one_more, id=np.append(np.uint64(7), one_more.id[1:]))
    virus.particles[item] = population.write_particles(closer)
    population.stage([virus])
    population.commit("Exchange another")
    (found,) = ask(population, old="HEAD~1")
    assert found.message.startswith("1 new particles of virus stand where particles of ribosome are")
