"""`kill -9` at any change of the disk: what was committed stays, the next command works, and ends where it should.

By default a sample of places that holds the first and last of each phase; MPOP_FAULT_POINTS=100000 takes them all.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fault_scenarios import SCENARIOS, Scenario
from fault_world import World, place, points
from faults import Faults, Outcome, is_refusal, sample


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """One action after the other."""
    return SCENARIOS[request.param]


@pytest.fixture
def before(scenario: Scenario, example: World, tmp_path: Path) -> World:
    """The world that the action starts from."""
    world = example.copy(tmp_path / "before")
    scenario.prepare(world)
    return world


@pytest.fixture
def unharmed(scenario: Scenario, before: World, faults: Faults, tmp_path: Path) -> tuple[World, Outcome]:
    """The world after the action, and how that went."""
    world = before.copy(tmp_path / "after")
    outcome = faults.run(scenario.words(world), world.folder)
    assert outcome.code == 0, outcome.stderr
    world.check()
    return world, outcome


def test_killed_at_any_change_of_the_disk(
    scenario: Scenario, before: World, unharmed: tuple[World, Outcome], faults: Faults, tmp_path: Path
) -> None:
    after, outcome = unharmed
    states = [before.state(), after.state()]
    for number in sample(outcome.operations, points(16), place):
        world = before.copy(tmp_path / "killed")
        died = faults.run(scenario.words(world), world.folder, "kill", number)
        where = f"operation {number}, {outcome.operations[number - 1]}"
        assert died.killed, where
        world.check()
        state = world.state()
        assert state in states, where
        again = faults.run(scenario.words(world), world.folder)
        if state == states[0]:
            assert again.code == 0, f"{where}: {again.stderr}"
            assert world.state() == states[1], where
        else:
            assert again.code == 0 or is_refusal(again), f"{where}: {again.stderr}"
        world.check()
        shutil.rmtree(world.folder)
