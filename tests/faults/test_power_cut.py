"""A power cut at any change of the disk: what was not synced is gone, what was committed is not.

Two kinds of file systems: one that has kept every rename but of the contents only what was synced, and one that
has kept names, too, as of the last sync of their folder only.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fault_trials import Trial
from fault_world import World, points
from faults import after_power_cut


@pytest.mark.parametrize("names_survive", [True, False], ids=["names survive", "names are lost"])
def test_nothing_committed_is_lost(trial: Trial, names_survive: bool, tmp_path: Path) -> None:
    for number in [*trial.points(points(4)), 0]:
        shadow, left = tmp_path / "shadow", World(tmp_path / "left")
        with trial.world() as world:
            trial.run(world, "kill", number, shadow)
            after_power_cut(world.folder, shadow, left.folder, names_survive)
        if number == 0:  # the power went right after the end
            assert trial.is_done(left)
        trial.settle(left, trial.where(number), torn=True)
        for folder in (shadow, left.folder):
            shutil.rmtree(folder)
