"""Random histories of several labs, merged by mpop and by an independent model (`merge_model`), key by key."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from example_population import make_population, maps, model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from merge_model import (
    PARTICLES,
    State,
    ancestors,
    base_state,
    best_common_ancestors,
    merge_states,
)
from two_sides import SPECIES

from mpop.merging import bases, plan
from mpop.merging.applying import apply
from mpop.merging.resolving import decide
from mpop.population import Population, record_path, versioned
from mpop.records.models import PopulationRecord, Record
from mpop.records.tilt_series import ParticleSet

ITEMS = {"1": "1" * 16, "2": "2" * 16}
OTHER = "c" * 16
SOURCE = "5" * 16
VALUES = st.integers(0, 2)

START: State = {
    "root": {"name": 0},
    "source": {"name": 0, "pixel_size_A": 1},
    "item 1": {"name": 0, "model": 0},
    "item 2": {"name": 0, "model": 0},
    "species": {"name": 0, "maps": 0},
    "other species": None,
    "particles 1": {"columns": {"x"}, "rows": {1: {"pose": 0, "x": 0}, 2: {"pose": 0, "x": 0}}},
    "particles 2": {"columns": set(), "rows": {1: {"pose": 0}}},
}

Edit = tuple[Any, ...]
SETTINGS = [(name, key) for name, keys in START.items() if keys and "rows" not in keys for key in keys]
targets = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(SETTINGS)),
    st.tuples(st.just("set"), st.sampled_from([("item 1", "model"), ("species", "maps")])),
    st.tuples(st.just("other"), st.sampled_from(["name", "maps", "gone"])),
    st.tuples(st.just("pose"), st.sampled_from("12"), st.integers(1, 3)),
    st.tuples(st.just("cell"), st.sampled_from("12"), st.integers(1, 3), st.sampled_from("xy")),
    st.tuples(st.just("remove"), st.sampled_from("12"), st.integers(2, 3)),
    st.tuples(st.just("drop column"), st.sampled_from("12"), st.sampled_from("xy")),
)
pools = st.lists(targets, min_size=1, max_size=2)
"""What one history is about: few things, so that labs change the same ones, in different ways and back."""
edits = st.tuples(st.integers(0, 1), VALUES)
"""Which of them, and to what."""


def of_pool(pool: list[Edit], who: int, edit: tuple[int, int]) -> Edit:
    """An edit of one of a few things by one of the labs."""
    which, value = edit
    return (*pool[which % len(pool)], (value + who + 1) % 3)


def edited(state: State, edit: Edit) -> State:
    """A state after an edit; one that makes no sense there changes nothing."""
    state = copy.deepcopy(state)
    match edit:
        case ("set", (name, key), value):
            state[name][key] = value + (key == "pixel_size_A")
        case ("other", "gone", _):
            state["other species"] = None
        case ("other", key, value):
            state["other species"] = (state["other species"] or {"name": 0, "maps": 0, "there": True}) | {
                key: value
            }
        case ("pose", item, identity, value):
            held = state[PARTICLES + item]
            row = held["rows"].setdefault(identity, dict.fromkeys(held["columns"], 0))
            row["pose"] = value
        case ("remove", item, identity, _):
            state[PARTICLES + item]["rows"].pop(identity, None)
        case ("cell", item, identity, column, value):
            held = state[PARTICLES + item]
            held["columns"].add(column)
            for row in held["rows"].values():
                row.setdefault(column, 0)
            if identity in held["rows"]:
                held["rows"][identity][column] = value
        case ("drop column", item, column, _):
            held = state[PARTICLES + item]
            held["columns"].discard(column)
            for row in held["rows"].values():
                row.pop(column, None)
    return state


class Lab:
    """Commits of states in one population."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self.template = {record_path(one): one for one in self._records()}
        self.models = [population.write_tilt_series(model(float(bend))) for bend in range(3)]
        self.maps = [population.write_group(maps(seed)) for seed in range(3)]
        self.graph: dict[str, tuple[list[str], State]] = {}

    def _records(self) -> Iterator[Record]:
        here = self.population
        yield from (here.source(SOURCE), *here.items().values(), here.one_species(SPECIES))

    def commit(self, parents: list[str], state: State) -> str:
        """A commit with a state, whatever its parents hold; no record says what it was made from."""
        here, template = self.population, self.template
        records: list[Record] = [PopulationRecord(format=1, name=f"name {state['root']['name']}")]
        names = {name: f"name {state[name]['name']}" for name in ("source", "item 1", "item 2", "species")}
        pixel = float(state["source"]["pixel_size_A"])
        source = template[f"sources/{SOURCE}.json"]
        records.append(source.model_copy(update={"name": names["source"], "pixel_size_A": pixel}))
        for digit, item in ITEMS.items():
            update = {"name": names[f"item {digit}"], "model_object": self.models[state[f"item {digit}"]["model"]]}
            records.append(template[f"items/{item[:2]}/{item}.json"].model_copy(update=update))
        groups = {item: here.write_particles(self._set(state[PARTICLES + digit])) for digit, item in ITEMS.items()}
        count = sum(len(state[PARTICLES + digit]["rows"]) for digit in ITEMS)
        species = template[f"species/{SPECIES}.json"]
        chosen = {"name": names["species"], "maps_object": self.maps[state["species"]["maps"]]}
        records.append(species.model_copy(update={**chosen, "particles": groups, "n_particles": count}))
        if (other := state["other species"]) is not None:
            chosen = {"id": OTHER, "name": f"name {other['name']}", "maps_object": self.maps[other["maps"]]}
            records.append(species.model_copy(update={**chosen, "particles": {}, "n_particles": 0}))
        changes = here.changes([versioned(one) for one in records], None)
        commit = here.repository.write_commit(None, changes, parents, f"commit {len(self.graph)}")
        self.graph[commit] = (parents, state)
        return commit

    @staticmethod
    def _set(held: Any) -> ParticleSet:
        ids = sorted(held["rows"])
        place = np.array([[[held["rows"][one]["pose"]] * 3] for one in ids], np.float64)
        extra = {column: [held["rows"][one][column] for one in ids] for column in sorted(held["columns"])}
        half = np.array([1 + one % 2 for one in ids], np.uint8)
        return ParticleSet(np.array(ids, np.uint64), half, place, np.zeros_like(place), extra)

    def state(self, commit: str) -> State:
        """What a commit holds, read back."""
        here = self.population

        def number(name: str) -> int:
            return int(name.split()[-1])

        species = here.species(commit)
        source, one, other = here.source(SOURCE, commit), species[SPECIES], species.get(OTHER)
        found: State = {
            "root": {"name": number(here.repository.read("population.json", commit)["name"])},
            "source": {"name": number(source.name), "pixel_size_A": int(source.pixel_size_A)},
            "species": {"name": number(one.name), "maps": self.maps.index(one.maps_object)},
            "other species": other
            and {"name": number(other.name), "maps": self.maps.index(other.maps_object), "there": True},
        }
        for digit, identity in ITEMS.items():
            item, particles = here.item(identity, commit), here.particles(one, identity)
            found[f"item {digit}"] = {"name": number(item.name), "model": self.models.index(item.model_object)}
            rows = {
                int(i): {
                    "pose": int(place[0, 0]),
                    **{name: column[row] for name, column in particles.extra.items()},
                }
                for row, (i, place) in enumerate(zip(particles.id, particles.position_A, strict=True))
            }
            found[PARTICLES + digit] = {"columns": set(particles.extra), "rows": rows}
        return found


def expected_conflicts(clashes: set[tuple[Any, ...]]) -> set[str]:
    """What mpop asks a person about, of the keys that both sides changed."""
    items = {name[-1] for name, *key in clashes if name.startswith("item") and key == ["model"]}
    asked = {f"item/{ITEMS[digit]}" for digit in items}
    if ("source", "pixel_size_A") in clashes:
        asked.add(f"source/{SOURCE}")
    rows = {name[-1] for name, *_ in clashes if name.startswith(PARTICLES)}
    if ("species", "maps") in clashes or rows - items:
        asked.add(f"species/{SPECIES}")
    if {("other species", "maps"), ("other species", "there")} & clashes:
        asked.add(f"species/{OTHER}")
    return asked


def merged_by_mpop(lab: Lab, ours: str, theirs: str) -> tuple[State, set[str]]:
    """The merged state, ours winning conflicts, and the keys of these."""
    planned = plan(lab.population, theirs, ours=ours, preview=False)
    outcome = apply(planned, decide(planned.conflicts, {}, "ours"))
    commit = lab.population.repository.write_commit(ours, outcome.changes, [ours, theirs], "merge")
    return lab.state(commit), {one.key for one in planned.conflicts}


def assert_as_the_model_says(lab: Lab, ours: str, theirs: str) -> None:
    """Key by key: what is no conflict has one value; what is, one of two."""
    graph = lab.graph
    best = best_common_ancestors(graph, [ours], theirs)
    assert lab.population.repository.merge_bases([ours], theirs) == best
    here, there = graph[ours][1], graph[theirs][1]
    wanted, clashes = merge_states(base_state(graph, best), here, there)
    found, asked = merged_by_mpop(lab, ours, theirs)
    assert asked == expected_conflicts(clashes)
    for name, record in wanted.items():
        if ("other species", "there") in clashes and name == "other species":
            assert found[name] == here[name]
        elif name.startswith(PARTICLES):
            assert found[name]["columns"] == record["columns"]
            assert found[name]["rows"].keys() == record["rows"].keys()
            for identity, row in record["rows"].items():
                for cell, value in row.items():
                    options = {here[name]["rows"].get(identity, {}).get(cell)} | {
                        there[name]["rows"].get(identity, {}).get(cell)
                    }
                    allowed = options if (name, identity, cell) in clashes else {value}
                    assert found[name]["rows"][identity][cell] in allowed, (name, identity, cell)
        elif record is None:
            assert found[name] is None
        else:
            for key, value in record.items():
                assert found[name][key] == (here[name][key] if (name, key) in clashes else value), (name, key)


def assert_one_sided_changes_survive(lab: Lab, ours: str, theirs: str) -> None:
    """What only they changed since all common ancestors is taken, a change back too; this needs no model."""
    before = [lab.graph[one][1] for one in best_common_ancestors(lab.graph, [ours], theirs)]
    here, there = lab.graph[ours][1], lab.graph[theirs][1]
    found, _ = merged_by_mpop(lab, ours, theirs)
    for name in ("root", "source", "item 1", "item 2", "species"):
        for key in here[name]:
            if all(one[name][key] == here[name][key] for one in before):
                assert found[name][key] == there[name][key], (name, key)


Edits = list[tuple[int, int]]
Turn = tuple[Edits, list[int], list[bool]]
choices = st.lists(st.booleans(), min_size=8, max_size=8)
turns = st.tuples(st.lists(edits, min_size=1, max_size=2), st.sampled_from([[1], [2], [1, 2], []]), choices)
"""What a lab does in a round: what it edits, which of the others it then merges, and how it decides."""
rounds = st.lists(st.tuples(turns, turns, turns), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(make_population(tmp_path_factory.mktemp("graphs")))


def resolved(state: State, ours: State, theirs: State, choices: list[bool]) -> State:
    """A merged state in which somebody has decided what was open, record by record for one side."""
    decided = copy.deepcopy(state)
    for choice, name in zip(choices, sorted(state), strict=True):
        side, other = (ours, theirs) if choice else (theirs, ours)
        record = decided[name]
        if name == "other species" and record is not None and record["there"] != record["there"]:
            decided[name] = copy.deepcopy(side[name])
            continue
        rows = record["rows"] if name.startswith(PARTICLES) else {None: record or {}}
        for identity, row in rows.items():
            for cell, value in row.items():
                if value != value:  # open
                    sides = [one[name]["rows"][identity] if identity else one[name] for one in (side, other)]
                    row[cell] = next(one[cell] for one in sides if cell in one)
    return decided


def joined(lab: Lab, ours: str, theirs: str, decisions: list[bool]) -> str:
    """A commit that merges another, conflicts decided one way or the other; the newer where one has the other."""
    graph = lab.graph
    if theirs in ancestors(graph, [ours]):
        return ours
    if ours in ancestors(graph, [theirs]):
        return theirs
    both = graph[ours][1], graph[theirs][1]
    base = base_state(graph, best_common_ancestors(graph, [ours], theirs))
    return lab.commit([ours, theirs], resolved(merge_states(base, *both)[0], *both, decisions))


def work(lab: Lab, who: int, pool: list[Edit], tip: str, changes: Edits) -> str:
    """A commit of edits; different labs seldom have the same values in mind."""
    state = lab.graph[tip][1]
    for change in changes:
        state = edited(state, of_pool(pool, who, change))
    return lab.commit([tip], state)


def grow(lab: Lab, pool: list[Edit], history: list[tuple[Turn, ...]], labs: int) -> list[str]:
    """In each round all labs edit, and then merge what others had at that time; returns where each ended."""
    lab.graph.clear()
    tips = [lab.commit([], START)] * labs
    for turn in history:
        tips = [work(lab, who, pool, tip, turn[who][0]) for who, tip in enumerate(tips)]
        fetched = tips
        for who, (_, others, decisions) in enumerate(turn[:labs]):
            for other in others:
                theirs = fetched[(who + other) % labs]
                tips = [*tips[:who], joined(lab, tips[who], theirs, decisions), *tips[who + 1 :]]
    return [work(lab, who, pool, tip, []) for who, tip in enumerate(tips)]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(pool=pools, history=rounds, labs=st.integers(2, 3))
def test_random_graphs_merge_as_the_model_says(
    lab: Lab, pool: list[Edit], history: list[tuple[Turn, ...]], labs: int
) -> None:
    ours, theirs, *_ = grow(lab, pool, history, labs)
    if ours in ancestors(lab.graph, [theirs]) or theirs in ancestors(lab.graph, [ours]):
        return
    assert_as_the_model_says(lab, ours, theirs)
    assert_as_the_model_says(lab, theirs, ours)
    assert_one_sided_changes_survive(lab, ours, theirs)
    assert_one_sided_changes_survive(lab, theirs, ours)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(pool=pools, history=rounds, last=st.tuples(st.lists(edits, max_size=1), st.lists(edits, max_size=1)))
def test_ladders_merge_as_the_model_says(
    lab: Lab, pool: list[Edit], history: list[tuple[Turn, ...]], last: tuple[Edits, Edits]
) -> None:
    """Two labs that edit and then merge each other, in every round."""
    crossing = [tuple((changes, [1], decisions) for changes, _, decisions in turn) for turn in history]
    tips = grow(lab, pool, crossing, 2)
    ours, theirs = (work(lab, who, pool, tips[who], last[who]) for who in (0, 1))
    assert_as_the_model_says(lab, ours, theirs)
    assert_as_the_model_says(lab, theirs, ours)
    assert_one_sided_changes_survive(lab, ours, theirs)


def test_a_ladder_of_two_hundred_rungs_is_climbed_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rung has two bases, each with two below: that must be neither 2^200 merges nor 200 nested calls."""
    joins = []
    join = bases._joined
    monkeypatch.setattr(bases, "_joined", lambda three: joins.append(three) or join(three))
    lab.graph.clear()
    here = there = lab.commit([], START)
    state = START
    for rung in range(200):
        bent = edited(state, ("set", ("item 1", "model"), rung % 3))
        named = edited(state, ("set", ("item 2", "name"), (rung + 1) % 3))
        parents = [here, there] if rung else [here]
        here, there = lab.commit(parents, bent), lab.commit(parents[::-1], named)
        state = edited(bent, ("set", ("item 2", "name"), (rung + 1) % 3))
    ours = lab.commit([here, there], edited(state, ("set", ("item 2", "name"), 1)))
    theirs = lab.commit([there, here], edited(state, ("set", ("item 1", "model"), 2)))
    ours = lab.commit([ours], edited(lab.graph[ours][1], ("set", ("species", "maps"), 2)))
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 150)
        found, asked = merged_by_mpop(lab, ours, theirs)
    finally:
        sys.setrecursionlimit(limit)
    assert asked == set()
    assert found == edited(
        edited(lab.graph[ours][1], ("set", ("item 1", "model"), 2)), ("set", ("item 2", "name"), 1)
    )
    assert len(joins) == 200
