"""An independent model of the recursive three-way merge: plain dictionaries, plain recursion, nothing of mpop.

A state is {record: {key: value} or None}. Particles are a record of their own for each series: {"columns": set,
"rows": {id: {"pose": value, column: value}}}. A value that the two halves of a virtual base disagree on is `OPEN`,
which is equal to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

State = dict[str, Any]
Graph = Mapping[str, tuple[Sequence[str], State]]
"""Commit -> its parents and its state."""

OPEN = float("nan")
PARTICLES = "particles "


def ancestors(graph: Graph, tips: Sequence[str]) -> set[str]:
    """Everything that leads to some commits, themselves included."""
    found, waiting = set(), list(tips)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += graph[one][0]
    return found


def best_common_ancestors(graph: Graph, ours: Sequence[str], theirs: str) -> list[str]:
    """Common ancestors that no other one has as its ancestor, sorted."""
    common = ancestors(graph, ours) & ancestors(graph, [theirs])
    return sorted(one for one in common if not any(one in ancestors(graph, graph[other][0]) for other in common))


def base_state(graph: Graph, bases: Sequence[str]) -> State:
    """The one base, or the virtual one."""
    state = graph[bases[0]][1]
    for number in range(1, len(bases)):
        below = base_state(graph, best_common_ancestors(graph, bases[:number], bases[number]))
        state = merge_states(below, state, graph[bases[number]][1])[0]
    return state


def pick(base: Any, ours: Any, theirs: Any) -> tuple[Any, bool]:
    """The merged value, and whether it is in conflict; OPEN then."""
    if ours == theirs:
        return ours, False
    if base == theirs:
        return ours, False
    if base == ours:
        return theirs, False
    return OPEN, True


def merge_states(base: State, ours: State, theirs: State) -> tuple[State, set[tuple[Any, ...]]]:
    """The merged state with OPEN in what is in conflict, and those: (record, key), (record, id, cell)."""
    merged: State = {}
    conflicts: set[tuple[Any, ...]] = set()
    for name in sorted(ours):
        if name.startswith(PARTICLES):
            merged[name] = _particles(name, base[name], ours[name], theirs[name], conflicts)
        else:
            merged[name] = _record(name, base[name], ours[name], theirs[name], conflicts)
    return merged, conflicts


def _record(name: str, base: Any, ours: Any, theirs: Any, conflicts: set[tuple[Any, ...]]) -> Any:
    if _same(base, theirs) or _same(ours, theirs):
        return ours
    if _same(base, ours):
        return theirs
    if ours is None or theirs is None:
        conflicts.add((name, "there"))
        return dict(ours or theirs) | {"there": OPEN}
    merged = {}
    for key in ours:
        before = base[key] if base is not None else (False if key == "there" else None)
        merged[key], clash = pick(before, ours[key], theirs[key])
        if clash:
            conflicts.add((name, key))
    return merged


def _same(one: Any, other: Any) -> bool:
    """Equal in every key, nothing being open."""
    if one is None or other is None:
        return one is other
    return all(one[key] == other[key] for key in one)


def _particles(name: str, base: Any, ours: Any, theirs: Any, conflicts: set[tuple[Any, ...]]) -> Any:
    columns = set()
    for column in ours["columns"] | theirs["columns"]:
        kept = all(column in side["columns"] for side in (ours, theirs))
        if kept or column not in base["columns"]:
            columns.add(column)
    rows: dict[int, dict[str, Any]] = {}
    for identity in ours["rows"].keys() | theirs["rows"].keys():
        here, there, was = (side["rows"].get(identity) for side in (ours, theirs, base))
        if here is None or there is None:
            if was is None:
                rows[identity] = {cell: (here or there or {}).get(cell, 0) for cell in ("pose", *columns)}
            continue
        rows[identity] = {}
        for cell in ("pose", *columns):
            values = [(row or {}).get(cell, "nothing") for row in (was, here, there)]
            value, clash = pick(*values)
            rows[identity][cell] = value
            if clash:
                conflicts.add((name, identity, cell))
    return {"columns": columns, "rows": rows}
