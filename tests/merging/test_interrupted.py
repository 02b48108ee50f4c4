"""A merge that dies at any change of the disk: no commit is lost, the next command goes on, to the same end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_population import make_population
from fault_world import AUTHOR, points
from faults import Faults, Operation, Outcome, compiler, sample
from two_sides import content, fork, new_maps, refine_item

from mpop.jobs.verify import verify
from mpop.merging import merge, resolve
from mpop.population import Population

DECIDED = ("--resolve", "item/TS_1=ours")


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """The process that dies for us."""
    if compiler() is None:
        pytest.skip("needs a C compiler")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in AUTHOR.items():
            patch.setenv(name, value)
        server = Faults(tmp_path_factory.mktemp("faults"))
        yield server
        server.close()


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sides that refined one series. Read only."""
    folder = tmp_path_factory.mktemp("forked")
    population = make_population(folder)
    fork(population, (refine_item("TS_1", 1.0),), (new_maps(4, 8.0), refine_item("TS_1", 2.0)))
    return folder


def copy(world: Path, target: Path) -> Population:
    shutil.copytree(world, target)
    return Population.open(target / "population")


def places(operations: list[Operation]) -> list[int]:
    def kind(path: str) -> str:
        return "/".join(part for part in path.split("/") if not any(c.isdigit() for c in part))

    return sample(operations, points(6), kind)


def command(population: Population, *words: str) -> list[str]:
    return ["-C", str(population.root), "merge", *words]


def met(outcome: Outcome, number: int) -> bool:
    """Whether it died, or was over before: names from content that holds a time decide which folders it makes."""
    return outcome.killed or (outcome.code in (0, 4) and number > len(outcome.operations))


def test_dying_before_the_decisions(forked: Path, faults: Faults, tmp_path: Path) -> None:
    whole = copy(forked, tmp_path / "whole")
    outcome = faults.run(command(whole, "theirs"), whole.root)
    assert outcome.code == 4, outcome.stderr
    assert whole.merging
    for number in places(outcome.operations):
        population = copy(forked, tmp_path / "world")
        head = population.repository.head
        assert met(faults.run(command(population, "theirs"), population.root, "kill", number), number)
        again = Population.open(population.root)
        assert again.repository.head == head
        assert again.repository.is_clean
        if not again.merging:
            assert merge(again, "theirs").status == "conflicts"
        assert len(resolve(again, {}).unresolved) == 1
        shutil.rmtree(tmp_path / "world")


def test_dying_while_it_is_committed(forked: Path, faults: Faults, tmp_path: Path) -> None:
    waiting = copy(forked, tmp_path / "waiting")
    merge(waiting, "theirs")
    resolve(waiting, {"item/TS_1": "ours"})
    ours = waiting.repository.head
    whole = copy(tmp_path / "waiting", tmp_path / "whole")
    outcome = faults.run(command(whole, "--continue"), whole.root)
    assert outcome.code == 0, outcome.stderr
    expected = content(whole)
    ends = set()
    for number in places(outcome.operations):
        population = copy(tmp_path / "waiting", tmp_path / "world")
        assert met(faults.run(command(population, "--continue"), population.root, "kill", number), number)
        again = Population.open(population.root)
        ends.add(again.merging)
        if again.merging:
            assert again.repository.head == ours
            assert faults.run(command(again, "--continue"), again.root).code == 0
            again = Population.open(population.root)
        theirs = again.repository.resolve("theirs")
        assert again.repository.show().parents == (ours, theirs), number
        assert content(again) == expected
        assert not again.merging
        assert again.repository.is_clean
        assert verify(again).problems == []
        assert merge(again, "theirs").status == "up to date"
        shutil.rmtree(tmp_path / "world")
    assert ends == {True, False}


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_bad_disk_leaves_the_merge_waiting(fault: str, forked: Path, faults: Faults, tmp_path: Path) -> None:
    population = copy(forked, tmp_path / "world")
    merge(population, "theirs")
    outcome = faults.run(command(population, *DECIDED, "--continue"), population.root, fault, 1)
    assert outcome.code == 5
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("mpop: error: ")
    again = Population.open(population.root)
    assert again.merging
    assert faults.run(command(again, *DECIDED, "--continue"), again.root).code == 0
    assert verify(Population.open(again.root)).problems == []
