"""A disk that gets full, turns read-only or cannot sync, at any change: one line says so, nothing is half done."""

from __future__ import annotations

from pathlib import Path

import fault_actions
import pytest
from fault_scenarios import SCENARIOS
from fault_trials import Trial
from fault_world import World, points
from faults import Faults, is_refusal

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


SIDES = [
    ("push", "population"),
    ("push", "shared"),
    ("push to a server", "population"),
    ("push to a server", "shared"),
    ("pull", "other"),
    ("fetch from a server", "other"),
    ("clone", "new"),
]
"""An exchange, and a side of it that is written to."""


@pytest.mark.parametrize("fault", ["full", "read-only"])
@pytest.mark.parametrize(("name", "disk"), SIDES)
def test_a_bad_disk_on_one_side(
    name: str, disk: str, fault: str, example: World, faults: Faults, tmp_path: Path
) -> None:
    trial = Trial(SCENARIOS[name], example, faults, tmp_path)
    changes = trial.changes(disk)
    for number in (1, changes // 2, changes):
        with trial.world() as world:
            ended = trial.run(world, fault, number, disk=disk)
            where = f"change {number} of {changes} of {disk}: {ended.stderr}"
            if ended.code:
                assert is_refusal(ended) and SAYS[fault] in ended.stderr.lower(), where
            else:
                assert trial.is_done(world), where
            trial.settle(world, where)


@pytest.mark.parametrize("name", ["pull", "fetch from a server", "clone"])
def test_what_is_on_a_read_only_disk_can_be_taken_from_there(
    name: str, example: World, faults: Faults, tmp_path: Path
) -> None:
    trial = Trial(SCENARIOS[name], example, faults, tmp_path)
    with trial.world() as world:
        ended = trial.run(world, "read-only", 1, disk="shared")
        assert ended.code == 0, ended.stderr
        assert trial.is_done(world)


@pytest.fixture(scope="module")
def refined(example: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A population with two commits. Read only."""
    world = example.copy(tmp_path_factory.mktemp("refined") / "world")
    fault_actions.refine(str(world.root))
    return world


@pytest.mark.parametrize("command", ["status", "log", "show", "diff HEAD~1", "verify", "branch", "op log"])
def test_a_population_on_a_read_only_disk_can_be_read(command: str, refined: World, faults: Faults) -> None:
    words = ["-C", str(refined.root), *command.split()]
    expected = faults.run(words, refined.folder)
    ended = faults.run(words, refined.folder, "read-only", 1)
    assert (ended.code, ended.stdout, ended.stderr) == (0, expected.stdout, "")
