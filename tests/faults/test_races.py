"""Several processes at once, on one population and on what two labs share: no work is lost or left dangling."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fault_actions
import pytest
from fault_scenarios import share
from fault_world import World

from mpop.exchange.elsewhere import verify_elsewhere
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop_store import MissingObjectError, StateError
from mpop_store.transfer.remotes import Remotes

TURNS = 5
FAR_MPOP = str(Path(sys.executable).with_name("mpop"))
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


# --- two populations that drop against each other ----------------------------------------------------------------

LOCAL_SSH = "sh -c 'exec sh -c \"$2\"' ssh"
"""In place of ssh: runs the command for the other machine on this one."""
RACES = int(os.environ.get("MPOP_DROP_RACES", "3"))
"""Rounds of each kind."""
MIB = int(os.environ.get("MPOP_DROP_RACE_MIB", "2"))
"""Bytes that both have; in vain are rounds in which one is done before the other has begun."""


def drop_against(path: str, barrier: Any, results: Any) -> None:
    """Drop everything that `twin` has, unless that is refused."""
    barrier.wait()
    try:
        fault_actions.drop(path, "twin")
        results.put((path, "dropped"))
    except StateError as error:
        results.put((path, str(error)))


@pytest.mark.parametrize("transport", ["folder", "ssh"])
def test_two_that_drop_against_each_other_lose_nothing(
    example: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", LOCAL_SSH)
    first = example.copy(tmp_path / "made").root
    fault_actions.put_noise(str(first), MIB)
    for number in range(RACES):
        folder = tmp_path / f"round {number}"
        roots = [folder / "a", folder / "b"]
        for root in roots:
            shutil.copytree(first, root)
        for root, other in (roots, roots[::-1]):
            address = str(other) if transport == "folder" else f"localhost:{other}"
            Remotes(Population.open(root).repository).add("twin", address, FAR_MPOP)
        before = set(Population.open(first).objects.names())
        results = SPAWN.Queue()
        barrier = SPAWN.Barrier(2)
        workers = [SPAWN.Process(target=drop_against, args=(str(root), barrier, results)) for root in roots]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(300)
            assert worker.exitcode == 0
        ends = sorted(results.get(timeout=10)[1] for _ in workers)
        left = [set(Population.open(root).objects.names()) for root in roots]
        assert left[0] | left[1] >= before, (number, ends)
        assert ends[0] == "dropped" or all("are promised to" in one for one in ends), (number, ends)
        for root in roots:
            assert verify(Population.open(root)).ok, (number, ends)
            assert verify_elsewhere(Population.open(root).repository, 1.0, 0).ok, (number, ends)
        shutil.rmtree(folder)
