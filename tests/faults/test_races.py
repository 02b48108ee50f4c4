"""Several processes at once, on one population and on what two labs share: no work is lost or left dangling."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fault_actions
import pytest
from fault_scenarios import share
from fault_world import World

from mpop.population import Population
from mpop_store import MissingObjectError, StateError

TURNS = 5
SPAWN = multiprocessing.get_context("spawn")


def insist(action: Callable[..., object], *arguments: str, also: Callable[[], object] = lambda: None) -> None:
    """Do what a person would: when told to run the command again, run it again."""
    for _ in range(200):
        try:
            action(*arguments)
            return
        except (StateError, MissingObjectError):
            also()
    raise AssertionError(f"{action.__name__} never got its turn")


def commit_species(path: str, first: int, barrier: Any) -> None:
    """One new species after the other."""
    barrier.wait()
    for number in range(first, first + TURNS):
        insist(fault_actions.put_species_at_once, path, f"{number:016x}", str(number))


def refine(path: str, first: int, barrier: Any) -> None:
    """One series, again and again."""
    barrier.wait()
    for number in range(first, first + TURNS):
        insist(fault_actions.refine_series, path, "1" * 16, str(number))


def collect(path: str, first: int, barrier: Any) -> None:
    """Garbage, with nothing spared but what somebody is at work on."""
    barrier.wait()
    for _ in range(2 * TURNS):
        fault_actions.collect(path, "0")


def pack(path: str, first: int, barrier: Any) -> None:
    """Objects into packs."""
    barrier.wait()
    for _ in range(TURNS):
        fault_actions.pack_all(path)


def share_species(path: str, first: int, barrier: Any) -> None:
    """New species, each pushed; when the other lab was first, pulled and merged before."""
    barrier.wait()
    for number in range(first, first + TURNS):
        fault_actions.put_species_at_once(path, f"{number:016x}", str(number))
        insist(fault_actions.push, path, also=lambda: fault_actions.pull(path))


def race(*runners: tuple[Callable[[str, int, Any], None], Path]) -> None:
    """Run all at once."""
    barrier = SPAWN.Barrier(len(runners))
    processes = [
        SPAWN.Process(target=runner, args=(str(path), 100 * (1 + number), barrier))
        for number, (runner, path) in enumerate(runners)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def expected(*firsts: int) -> set[str]:
    """Ids of the species that were made."""
    return {f"{number:016x}" for first in firsts for number in range(first, first + TURNS)}


@pytest.mark.parametrize(
    "others", [[], [collect], [pack], [collect, pack]], ids=["alone", "gc", "pack", "gc and pack"]
)
def test_two_writers_of_one_population(example: World, tmp_path: Path, others: list[Any]) -> None:
    world = example.copy(tmp_path / "world")
    race((commit_species, world.root), (refine, world.root), *((other, world.root) for other in others))
    population = world.population
    assert set(population.species_heads("HEAD")) == {"a" * 16, *expected(100)}
    commits = list(population.repository.log())
    assert len(commits) == 1 + 2 * TURNS
    fault_actions.read(str(world.root))
    world.check()


def test_two_labs_push_while_garbage_is_collected(example: World, tmp_path: Path) -> None:
    world = example.copy(tmp_path / "world")
    share(world)
    shared = world.folder / "shared"
    race((share_species, world.root), (share_species, world.folder / "other"), (collect, shared))
    for path in (world.root, world.folder / "other"):
        fault_actions.pull(str(path))
    made = {"a" * 16, *expected(100, 200)}
    for path in (world.root, world.folder / "other"):
        assert set(Population.open(path).species_heads("HEAD")) == made
    world.check()
