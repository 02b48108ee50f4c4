"""The actions during which faults happen, each with the world that it starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import fault_actions
from fault_world import World


@dataclass(frozen=True)
class Scenario:
    """An action, as `Faults.run` takes it; {root} stands for the population's folder, {folder} for the world's."""

    prepare: Callable[[World], None]
    action: tuple[str, ...]

    def words(self, world: World) -> list[str]:
        """The action in a world."""
        return [word.format(root=world.root, folder=world.folder) for word in self.action]


def _nothing(world: World) -> None:
    """Start from the example as it is."""


def _staged(world: World) -> None:
    fault_actions.stage(str(world.root))


SCENARIOS = {
    "stage": Scenario(_nothing, ("fault_actions:stage", "{root}")),
    "commit": Scenario(_staged, ("-C", "{root}", "commit", "-m", "Two species")),
    "refine": Scenario(_nothing, ("fault_actions:refine", "{root}")),
}
