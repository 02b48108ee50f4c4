"""The actions during which faults happen, each with the world that it starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import fault_actions
from fault_world import World, git

from mpop.exchange.cloning import clone
from mpop_store.transfer.remotes import Remotes


@dataclass(frozen=True)
class Scenario:
    """An action, as `Faults.run` takes it; {root} stands for the population's folder, {folder} for the world's.

    makes: name of a population that the action makes, which may be anything until it is finished. first: the
    reference that moves before the others do; the same action moves the others, too.
    """

    prepare: Callable[[World], None]
    action: tuple[str, ...]
    makes: str | None = None
    first: str | None = None

    def words(self, world: World) -> list[str]:
        """The action in a world."""
        return [word.format(root=world.root, folder=world.folder) for word in self.action]


def _nothing(world: World) -> None:
    """Start from the example as it is."""


def _staged(world: World) -> None:
    fault_actions.stage(str(world.root))


def _branched(world: World) -> None:
    """A branch `side` with another species, and a refinement on main."""
    repository = world.population.repository
    repository.switch("refs/heads/side", "switch", start=repository.resolve("HEAD"))
    fault_actions.add_species(str(world.root))
    repository.switch("refs/heads/main", "switch")
    fault_actions.refine(str(world.root))


def share(world: World) -> None:
    """A bare population `shared`, and `other`, another lab's clone of it."""
    clone(str(world.root), world.folder / "shared", bare=True)
    clone("../shared", world.folder / "other", base=world.root)
    git(world.folder / "other", "config", "remote.origin.url", "../shared")  # wherever the world is copied
    Remotes(world.population.repository).add("origin", "../shared")


def _to_push(world: World) -> None:
    share(world)
    fault_actions.refine(str(world.root))


def _to_pull(world: World) -> None:
    _to_push(world)
    fault_actions.push(str(world.root))


def _to_merge(world: World) -> None:
    _to_pull(world)
    fault_actions.add_species(str(world.folder / "other"))


def _requested(world: World) -> None:
    """A request that offers `side`, with a better series, for main, which has got another species."""
    repository = world.population.repository
    repository.switch("refs/heads/side", "switch", start=repository.resolve("HEAD"))
    fault_actions.refine_series(str(world.root), "1" * 16, "3")
    fault_actions.offer(str(world.root))
    repository.switch("refs/heads/main", "switch")
    fault_actions.add_species(str(world.root))


def _to_drop(world: World) -> None:
    """Objects in packs and loose ones, all of which `shared` has."""
    share(world)
    fault_actions.pack_all(str(world.root))
    fault_actions.refine(str(world.root))
    fault_actions.push(str(world.root))


def _garbage(world: World) -> None:
    """Loose objects and packed ones, of which some are needed by nothing."""
    fault_actions.litter(str(world.root))


SCENARIOS = {
    "stage": Scenario(_nothing, ("fault_actions:stage", "{root}")),
    "commit": Scenario(_staged, ("-C", "{root}", "commit", "-m", "Two species")),
    "refine": Scenario(_nothing, ("fault_actions:refine", "{root}")),
    "switch": Scenario(_branched, ("fault_actions:switch", "{root}", "refs/heads/side")),
    "merge": Scenario(_branched, ("-C", "{root}", "merge", "side")),
    "pack": Scenario(_branched, ("-C", "{root}", "pack")),
    "gc": Scenario(_garbage, ("fault_actions:collect", "{root}")),
    "clone": Scenario(share, ("clone", "{folder}/shared", "{folder}/new"), makes="new"),
    "push": Scenario(_to_push, ("-C", "{root}", "push")),
    "pull": Scenario(_to_pull, ("-C", "{folder}/other", "pull")),
    "push to a server": Scenario(_to_push, ("fault_actions:push_to_server", "{root}", "{folder}/shared")),
    "fetch from a server": Scenario(
        _to_pull, ("fault_actions:fetch_from_server", "{folder}/other", "{folder}/shared")
    ),
    "request merge": Scenario(_requested, ("fault_actions:take_request", "{root}"), first="refs/heads/main"),
    "drop": Scenario(_to_drop, ("-C", "{root}", "drop", "--all")),
    "pull with a merge": Scenario(_to_merge, ("-C", "{folder}/other", "pull")),
}
