"""A disk that gets full, turns read-only or cannot sync, at any change: one line says so, nothing is half done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fault_scenarios import SCENARIOS, Scenario
from fault_world import World, place, points
from faults import Faults, is_refusal, sample

SAYS = {"full": "No space left on device", "read-only": "Read-only file system", "sync": "Input/output error"}


@pytest.mark.parametrize("fault", SAYS)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_the_fault_is_named_and_the_next_command_works(
    scenario: Scenario, fault: str, example: World, faults: Faults, tmp_path: Path
) -> None:
    before = example.copy(tmp_path / "before")
    scenario.prepare(before)
    after = before.copy(tmp_path / "after")
    outcome = faults.run(scenario.words(after), after.folder)
    assert outcome.code == 0, outcome.stderr
    states = [before.state(), after.state()]
    for number in sample(outcome.operations, points(8), place):
        world = before.copy(tmp_path / "world")
        ended = faults.run(scenario.words(world), world.folder, fault, number)
        where = f"operation {number}, {outcome.operations[number - 1]}: {ended.stderr}"
        world.check()
        state = world.state()
        if ended.code:
            assert is_refusal(ended) and SAYS[fault].lower() in ended.stderr.lower(), where
        else:
            assert state == states[1], where
        assert state in states, where
        again = faults.run(scenario.words(world), world.folder)
        if state == states[0]:
            assert again.code == 0 and world.state() == states[1], f"{where}, then {again.stderr}"
        world.check()
        shutil.rmtree(world.folder)
