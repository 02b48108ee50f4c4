"""A disk that gets full, turns read-only or cannot sync, at any change: one line says so, nothing is half done."""

from __future__ import annotations

import pytest
from fault_trials import Trial
from fault_world import points
from faults import is_refusal

SAYS = {"full": "no space left on device", "read-only": "read-only file system", "sync": "input/output error"}


@pytest.mark.parametrize("fault", SAYS)
def test_the_fault_is_named_and_the_next_command_works(trial: Trial, fault: str) -> None:
    for number in trial.points(points(4)):
        with trial.world() as world:
            ended = trial.run(world, fault, number)
            where = f"{trial.where(number)}: {ended.stderr}"
            if ended.code:
                assert is_refusal(ended) and SAYS[fault] in ended.stderr.lower(), where
            else:
                assert trial.is_done(world), where
            trial.settle(world, where)
