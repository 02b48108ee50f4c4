"""A power cut at any change of the disk: what was not synced is gone, what was committed is not.

Two kinds of file systems: one that has kept every rename but of the contents only what was synced, and one that
has kept names, too, as of the last sync of their folder only.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fault_scenarios import SCENARIOS, Scenario
from fault_world import World, place, points
from faults import Faults, after_power_cut, sample


@pytest.mark.parametrize("names_survive", [True, False], ids=["names survive", "names are lost"])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_nothing_committed_is_lost(
    scenario: Scenario, names_survive: bool, example: World, faults: Faults, tmp_path: Path
) -> None:
    before = example.copy(tmp_path / "before")
    scenario.prepare(before)
    after = before.copy(tmp_path / "after")
    outcome = faults.run(scenario.words(after), after.folder)
    assert outcome.code == 0, outcome.stderr
    states = [before.state(), after.state()]
    numbers = sample(outcome.operations, points(10), place)
    for number in [*numbers, 0]:  # 0: the power goes right after the end
        world, shadow = before.copy(tmp_path / "cut"), tmp_path / "shadow"
        faults.run(scenario.words(world), world.folder, "kill", number, shadow)
        left = World(tmp_path / "left")
        after_power_cut(world.folder, shadow, left.folder, names_survive)
        where = f"operation {number}, {outcome.operations[number - 1]}"
        left.check(torn=True)
        state = left.state()
        assert state in states if number else state == states[1], where
        again = faults.run(scenario.words(left), left.folder)
        assert state == states[1] or (again.code == 0 and left.state() == states[1]), f"{where}: {again.stderr}"
        left.check()
        for folder in (world.folder, shadow, left.folder):
            shutil.rmtree(folder)
