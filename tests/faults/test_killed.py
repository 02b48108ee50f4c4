"""`kill -9` at any change of the disk: what was committed stays, the next command works, and ends where it should.

By default a sample of places that holds the first and last of each phase; MPOP_FAULT_POINTS=100000 takes them all.
"""

from __future__ import annotations

from fault_trials import Trial
from fault_world import points


def test_killed_at_any_change_of_the_disk(trial: Trial) -> None:
    for number in trial.points(points(10)):
        with trial.world() as world:
            died = trial.run(world, "kill", number)
            assert died.killed or number > len(died.operations), trial.where(number)
            trial.settle(world, trial.where(number))
