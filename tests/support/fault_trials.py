"""One action under faults: what it does when all is well, and what must hold after it met a fault."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fault_scenarios import Scenario
from fault_world import State, World
from faults import Faults, Outcome, is_refusal, sample


class Trial:
    """A scenario, run once without a fault."""

    def __init__(self, scenario: Scenario, example: World, faults: Faults, folder: Path) -> None:
        self._scenario = scenario
        self._faults = faults
        self._folder = folder
        self._before = example.copy(folder / "before")
        scenario.prepare(self._before)
        after = self._before.copy(folder / "after")
        outcome = self.run(after)
        assert outcome.code == 0, outcome.stderr
        after.check()
        self.operations = outcome.operations
        self._end = after.state()
        self._states = [one.without(scenario.makes).state() for one in (self._before, after)]
        if scenario.first is not None:
            self._states.insert(1, _moved(*self._states, scenario.first))

    def points(self, most: int) -> list[int]:
        """Numbers of operations to fail at: the first and last of each phase, and others."""
        return sample(self.operations, most, _place)

    def where(self, number: int) -> str:
        """An operation in words."""
        one = self.operations[number - 1]
        return f"operation {number} of {len(self.operations)}, {one.kind} {one.path}"

    @contextmanager
    def world(self, name: str = "world") -> Iterator[World]:
        """A world as it was before the action."""
        world = self._before.copy(self._folder / name)
        try:
            yield world
        finally:
            shutil.rmtree(world.folder)

    def run(
        self, world: World, fault: str = "none", at: int = 0, shadow: Path | None = None, disk: str = ""
    ) -> Outcome:
        """Do it. disk: the folder of the world that the fault is in; all of them if not given."""
        return self._faults.run(self._scenario.words(world), world.folder / disk, fault, at, shadow)

    def changes(self, disk: str) -> int:
        """How often a run without a fault changes one folder of the world."""
        with self.world() as world:
            return len(self.run(world, disk=disk).operations)

    def is_done(self, world: World) -> bool:
        """Whether the action has had its whole effect."""
        return world.without(self._scenario.makes).state() == self._states[-1]

    def settle(self, world: World, where: str, torn: bool = False) -> None:
        """All that was committed is there, and the action can be repeated, to the same end."""
        known = world.without(self._scenario.makes)
        known.check(torn)
        state = known.state()
        assert state in self._states, where
        again = self.run(world)
        if torn and again.code and self._scenario.makes is not None:
            assert is_refusal(again), f"{where}, then {again.stderr}"
            shutil.rmtree(world.folder / self._scenario.makes)  # it holds nothing that the other does not
            again = self.run(world)
        assert again.code == 0 or is_refusal(again), f"{where}, then {again.stderr}"
        if again.code or state != self._states[-1]:
            assert world.state() == self._end, f"{where}, then {again.stderr}"
        world.check(torn)


def _moved(before: dict[str, State], after: dict[str, State], ref: str) -> dict[str, State]:
    """The state before, but for one reference of the population."""
    files, branch, changes = before["population"]
    return {**before, "population": ({**files, ref: after["population"][0][ref]}, branch, changes)}


def _place(path: str) -> str:
    """What lies where, without the parts of its name that chance or content give."""
    return "/".join(part for part in path.split("/") if not any(c.isdigit() for c in part))
