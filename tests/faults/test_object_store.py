"""The object store alone, broken at every change of the disk: killed, disk full, power cut.

Whatever was stored is read as it was, the same again ends well, and then nothing is left lying about.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import store_actions
from faults import Faults, Outcome, after_power_cut
from store_actions import CONTENTS, NAMES, VICTIM

from mpop_store import MissingObjectError, ObjectStore


@dataclass(frozen=True)
class Action:
    """A change of the store. prepare: what is there before; stored: what must be there throughout."""

    name: str
    prepare: Callable[[str], None] | None
    stored: frozenset[str]


EVERYTHING = frozenset(NAMES)
ACTIONS = (
    Action("receive", None, frozenset()),
    Action("pack_loose", store_actions.put, EVERYTHING),
    Action("unite", store_actions.write_packs, EVERYTHING),
    Action("rescue", store_actions.damage, EVERYTHING - {NAMES[VICTIM]}),
)


@pytest.fixture(params=ACTIONS, ids=lambda action: action.name)
def action(request: pytest.FixtureRequest) -> Action:
    return request.param


@pytest.fixture
def before(action: Action, tmp_path: Path) -> Path:
    """The store that the action starts from."""
    folder = tmp_path / "before"
    (folder / "objects").mkdir(parents=True)
    (folder / "packs").mkdir()
    if action.prepare is not None:
        action.prepare(str(folder))
    return folder


def run(
    action: Action, faults: Faults, folder: Path, fault: str = "none", at: int = 0, shadow: Path | None = None
) -> Outcome:
    return faults.run([f"store_actions:{action.name}", str(folder)], folder, fault, at, shadow)


def check(action: Action, folder: Path, finished: bool) -> None:
    """Nothing is lost or wrong; after an action that came to its end, everything is where it belongs."""
    store = ObjectStore(folder / "objects")
    for name, data in zip(NAMES, CONTENTS, strict=True):
        try:
            assert store.offline().read_file(name) and store.get(name) == data
        except MissingObjectError:
            assert name not in action.stored, name
            assert not finished or name == NAMES[VICTIM]
    if finished:
        assert [path.name for path in (folder / "packs").glob("tmp-*")] == []


def test_killed_at_any_change(action: Action, before: Path, faults: Faults, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(before, whole)
    outcome = run(action, faults, whole)
    assert outcome.code == 0, outcome.stderr
    check(action, whole, finished=True)
    assert len(outcome.operations) > 5
    for number in range(1, len(outcome.operations) + 1):
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(before, folder)
        assert run(action, faults, folder, "kill", number).killed
        if action.name != "rescue":  # which reading finishes
            check(action, folder, finished=False)
        again = run(action, faults, folder)
        assert again.code == 0, f"{outcome.operations[number - 1]}: {again.stderr}"
        ObjectStore(folder / "objects").clean(older_than_s=0.0)
        check(action, folder, finished=True)


def test_a_full_disk_at_any_change(action: Action, before: Path, faults: Faults, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(before, whole)
    operations = run(action, faults, whole).operations
    for number in range(1, len(operations) + 1):
        folder = tmp_path / f"full-{number}"
        shutil.copytree(before, folder)
        outcome = run(action, faults, folder, "full", number)
        assert outcome.code in (0, 5), f"{operations[number - 1]}: {outcome.stderr}"
        assert not list((folder / "packs").glob("tmp-*")), operations[number - 1]
        again = run(action, faults, folder)
        assert again.code == 0, again.stderr
        check(action, folder, finished=True)


@pytest.mark.parametrize("names_survive", [True, False], ids=["names survive", "names are lost"])
def test_a_power_cut_at_any_change(
    action: Action, before: Path, faults: Faults, tmp_path: Path, names_survive: bool
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(before, whole)
    operations = run(action, faults, whole).operations
    for number in range(1, len(operations) + 1, 2):
        folder, shadow, left = (tmp_path / f"{name}-{number}" for name in ("cut", "shadow", "left"))
        shutil.copytree(before, folder)
        assert run(action, faults, folder, "kill", number, shadow).killed
        after_power_cut(folder, shadow, left, names_survive)
        again = run(action, faults, left)
        assert again.code == 0, f"{operations[number - 1]}: {again.stderr}"
        ObjectStore(left / "objects").clean(older_than_s=0.0)
        check(action, left, finished=True)
        for path in (folder, shadow, left):
            shutil.rmtree(path)
