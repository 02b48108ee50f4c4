"""`mpop restore`: species, tilt series, sources or single records of the working state as they are in a commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mpop.errors import InputError, NotFoundError
from mpop.population import Population
from mpop_hooks.schema import ITEM, PART, SOURCE, SPECIES


@dataclass(frozen=True)
class Restored:
    """commit: where the records came from. paths: the records that are different now."""

    commit: str
    paths: list[str]


def restore(population: Population, names: Sequence[str] = (), source: str = "HEAD") -> Restored:
    """Make what is named (names, ids or paths of records; none: everything) what it is in a commit.

    A species brings its particles, a source its items. What the commit does not have is taken out. Raises
    NotFoundError for a name that neither the commit nor the working state knows, InputError for one with two
    meanings.
    """
    population.repository.require_work_tree()
    commit = population.repository.resolve(source)
    states = (population.repository.entries(commit), population.repository.entries())
    changed = {path for path in {*states[0], *states[1]} if states[0].get(path) != states[1].get(path)}
    if names:
        changed &= {path for name in names for path in _paths(population, commit, states, changed, name)}
    population.repository.discard(sorted(changed), commit)
    return Restored(commit, sorted(changed))


def _paths(
    population: Population, commit: str, states: Sequence[dict[str, str]], changed: set[str], name: str
) -> set[str]:
    """The records that belong to a name, in either state."""
    found = {name} if any(name in state for state in states) else _named(population, commit, states, changed, name)
    if not found:
        raise NotFoundError(
            f"no species, tilt series, stack, source or record {name!r}, neither here nor in {commit[:10]}"
        )
    if len(found) > 1:
        raise InputError(f"{name!r} may mean several things ({', '.join(sorted(found))}); give one of these paths")
    return set(_with_parts(population, commit, states, found.pop()))


def _named(
    population: Population, commit: str, states: Sequence[dict[str, str]], changed: set[str], name: str
) -> set[str]:
    """Paths of the species, tilt series and sources that are called so; those that changed come first."""
    there = {*states[0], *states[1]}
    few, series = [*SPECIES.keys(there), *SOURCE.keys(there)], ITEM.keys(there).keys()
    for paths in ([*few, *(series & changed)], series - changed):
        found = set[str]()
        for path in paths:
            for state in states:
                record = population.repository.load(state[path]) if path in state else {}
                if name in (record.get("id"), record.get("name")):
                    found.add(path)
        if found:
            return found
    return set()


def _with_parts(population: Population, commit: str, states: Sequence[dict[str, str]], path: str) -> Iterable[str]:
    """A record, and those that make sense only together with it."""
    if key := SPECIES.key(path) or PART.key(path):
        species = key[0]
        for state in states:
            yield from (one for one in state if one.startswith((PART.prefix(species), SPECIES.path(species))))
        return
    yield path
    if SOURCE.key(path):
        for at, state in zip((commit, None), states, strict=True):
            listed = population.repository.read(path, at).get("items", ()) if path in state else ()
            yield from map(ITEM.path, listed)
