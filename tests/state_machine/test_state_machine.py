"""Two labs and what they share, against a plain dictionary of what every commit must hold.

Commits, branches, merges, pushes, pulls, undoing, packing, garbage collection and death at any change of the disk
come in any order; after every step what the labs see is what the dictionary says, and in the end every commit of
every population is read, verified, and checked by Git. MPOP_STATE_MACHINES=200 runs longer.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fault_actions
import pytest
from example_population import make_population
from fault_world import AUTHOR, World, git
from faults import Faults, compiler, is_refusal
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mpop.exchange.cloning import clone
from mpop.exchange.fetching import fetch_from, upstream
from mpop.exchange.pushing import PushOptions, push_to
from mpop.merging import merge
from mpop.population import Population
from mpop_store import StateError
from mpop_store.git.undoing import undo
from mpop_store.objects.packing import pack
from mpop_store.transfer.remotes import Remotes

Content = dict[str, str]
"""`item <id>` or `species <id>` -> the group of its model or maps."""

MAIN, SIDE = "refs/heads/main", "refs/heads/side"
LABS = st.sampled_from(["a", "b"])
ANYONE = st.sampled_from(["a", "b", "shared"])
ITEMS = st.sampled_from(["1" * 16, "2" * 16])
DEADLY = ["series", "species", "pack", "collect", "push"]
WINS = st.sampled_from(["ours", "theirs"])

_common: dict[str, object] = {}
"""What all examples use: `template`, the world that they start from, and `faults`, where processes die."""


@pytest.fixture(scope="module", autouse=True)
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make what all examples use."""
    folder = tmp_path_factory.mktemp("state-machine")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in AUTHOR.items():
            patch.setenv(name, value)
        (folder / "made").mkdir()
        origin = make_population(folder / "made")
        (folder / "world").mkdir()
        clone(str(origin.root), folder / "world" / "shared", bare=True)
        for lab in "ab":
            clone("shared", Path(lab), base=folder / "world")
            git(folder / "world" / lab, "config", "remote.origin.url", "../shared")  # wherever it is copied
        shutil.copytree(folder / "made" / "images", folder / "world" / "images")
        _common["template"] = folder / "world"
        faults = Faults(folder) if compiler() else None
        _common["faults"] = faults
        yield
        if faults is not None:
            faults.close()


class Labs(RuleBasedStateMachine):
    """The dictionaries: contents, of commits by id; parents, by commit; refs, by population and branch."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mpop-labs-"))
        self.contents: dict[str, Content] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.refs: dict[str, dict[str, str]] = {}
        self.standing = {"a": MAIN, "b": MAIN}
        self.counter = 0

    @initialize()
    def start(self) -> None:
        """Everybody has the same commit."""
        shutil.rmtree(self.folder)
        self.world = World(Path(str(_common["template"]))).copy(self.folder)
        first = self.open("a").repository.resolve("HEAD")
        self.contents[first] = content(self.open("a"), first)
        self.parents[first] = ()
        self.refs = {name: {MAIN: first} for name in ("a", "b", "shared")}

    def teardown(self) -> None:
        """Every commit of everybody holds what it must, and is sound."""
        try:
            for name, branches in self.refs.items():
                population = self.open(name)
                for commit in {one for tip in branches.values() for one in self.history(tip)}:
                    assert content(population, commit) == self.contents[commit], (name, commit)
            if self.refs:
                self.world.check()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, name: str) -> Population:
        """A population, as the next command would open it."""
        return Population.open(self.folder / name)

    def history(self, tip: str) -> set[str]:
        """A commit and all that it leads to."""
        found, waiting = set(), [tip]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.parents[one]
        return found

    def head(self, lab: str) -> str:
        """Where a lab stands."""
        return self.refs[lab][self.standing[lab]]

    def look(self, name: str) -> None:
        """What a population shows is what the dictionary says."""
        population = self.open(name)
        assert population.repository.refs.all("refs/heads/") == self.refs[name]
        if name in self.standing:
            assert population.repository.refs.branch == self.standing[name]
            assert content(population, None) == self.contents[self.head(name)]
            assert population.repository.is_clean

    def learn(self, lab: str, changes: Content, *others: str) -> None:
        """A lab has made a commit."""
        old = self.head(lab)
        new = self.open(lab).repository.resolve("HEAD")
        assert new != old
        self.contents[new] = self.contents[old] | changes
        self.parents[new] = (old, *others)
        self.refs[lab][self.standing[lab]] = new
        self.look(lab)

    def number(self) -> int:
        """A number that was not used before."""
        self.counter += 1
        return self.counter

    @rule(lab=LABS, item=ITEMS)
    def refine_series(self, lab: str, item: str) -> None:
        group = fault_actions.refine_series(str(self.folder / lab), item, str(self.number()))
        self.learn(lab, {f"item {item}": group})

    @rule(lab=LABS)
    def add_species(self, lab: str) -> None:
        identity = f"{self.number():016x}"
        group = fault_actions.put_species(str(self.folder / lab), identity, str(self.counter))
        self.learn(lab, {f"species {identity}": group})

    @rule(lab=LABS, which=st.integers(0, 9))
    def change_species(self, lab: str, which: int) -> None:
        known = sorted(name.split()[1] for name in self.contents[self.head(lab)] if name.startswith("species"))
        identity = known[which % len(known)]
        group = fault_actions.put_species(str(self.folder / lab), identity, str(self.number()))
        self.learn(lab, {f"species {identity}": group})

    @rule(lab=LABS)
    def switch(self, lab: str) -> None:
        """To the other branch, which is made if it is not there."""
        target = SIDE if self.standing[lab] == MAIN else MAIN
        start = None if target in self.refs[lab] else self.head(lab)
        self.open(lab).repository.switch(target, "switch", start=start)
        self.refs[lab].setdefault(target, self.head(lab))
        self.standing[lab] = target
        self.look(lab)

    @rule(lab=LABS, wins=WINS)
    def merge_branches(self, lab: str, wins: str) -> None:
        other = SIDE if self.standing[lab] == MAIN else MAIN
        if other in self.refs[lab]:
            self.merge(lab, self.refs[lab][other], wins)

    def merge(self, lab: str, theirs: str, wins: str) -> None:
        """Three-way, key by key."""
        population, ours = self.open(lab), self.head(lab)
        base = population.repository.merge_base(ours, theirs)
        assert base is not None
        result = merge(population, theirs, default=wins)
        if theirs in self.history(ours):
            assert result.status == "up to date"
        elif ours in self.history(theirs):
            assert result.status == "fast-forward"
            self.refs[lab][self.standing[lab]] = theirs
            self.look(lab)
        else:
            old, mine, yours = self.contents[base], self.contents[ours], self.contents[theirs]
            taken = {
                key: value
                for key, value in yours.items()
                if value != old.get(key) and (mine.get(key) == old.get(key) or wins == "theirs")
            }
            self.learn(lab, taken, theirs)

    @rule(lab=LABS)
    def push(self, lab: str) -> None:
        branch, tip = self.standing[lab], self.head(lab)
        there = self.refs["shared"].get(branch)
        repository = self.open(lab).repository
        try:
            push_to(repository, Remotes(repository).get("origin"), PushOptions())
        except StateError:
            assert there is not None and there not in self.history(tip)
        else:
            assert there is None or there in self.history(tip)
            self.refs["shared"][branch] = tip
        self.look("shared")

    @rule(lab=LABS, wins=WINS)
    def pull(self, lab: str, wins: str) -> None:
        repository = self.open(lab).repository
        settings = Remotes(repository).get("origin")
        fetch_from(repository, settings)
        if self.standing[lab] in self.refs["shared"]:
            theirs = repository.resolve(upstream(repository, settings))
            assert theirs == self.refs["shared"][self.standing[lab]]
            self.merge(lab, theirs, wins)

    @rule(lab=LABS)
    def undo(self, lab: str) -> None:
        """Of a commit, a merge, a switch, a fetch, or of undoing."""
        population = self.open(lab)
        last = population.repository.operations.last()
        try:
            undo(population.repository)
        except StateError:
            assert last is not None and any(name.startswith("refs/heads/") for name in last.moves)
        again = self.open(lab).repository
        self.refs[lab] = again.refs.all("refs/heads/")
        self.standing[lab] = str(again.refs.branch)
        assert set(self.refs[lab].values()) <= set(self.contents)
        self.look(lab)

    @rule(name=ANYONE)
    def pack(self, name: str) -> None:
        pack(self.open(name).repository)
        self.look(name)

    @rule(name=ANYONE)
    def collect(self, name: str) -> None:
        fault_actions.collect(str(self.folder / name))
        self.look(name)

    @precondition(lambda self: _common.get("faults") is not None)
    @rule(
        lab=LABS,
        what=st.sampled_from(["series", "species", "pack", "collect", "push"]),
        moment=st.integers(1, 120),
    )
    def die(self, lab: str, what: str, moment: int) -> None:
        """Whatever it was about, it was done, or it was not."""
        number = str(self.number())
        path, identity = str(self.folder / lab), f"{self.counter:016x}"
        action = {
            "series": ["refine_series", path, "1" * 16, number],
            "species": ["put_species", path, identity, number],
            "pack": ["pack_all", path],
            "collect": ["collect", path],
            "push": ["push", path],
        }[what]
        faults = _common["faults"]
        assert isinstance(faults, Faults)
        ended = faults.run([f"fault_actions:{action[0]}", *action[1:]], self.folder, "kill", moment)
        assert ended.killed or ended.code == 0 or is_refusal(ended), ended.stderr
        if what == "push":
            shared = self.open("shared").repository.refs.all("refs/heads/")
            branch = self.standing[lab]
            assert shared in (self.refs["shared"], self.refs["shared"] | {branch: self.head(lab)})
            self.refs["shared"] = shared
        elif self.open(lab).repository.resolve("HEAD") != self.head(lab):
            key = {"series": f"item {'1' * 16}", "species": f"species {identity}"}[what]
            self.learn(lab, {key: content(self.open(lab), None)[key]})
        self.open(lab).repository.discard()  # what was staged, and not committed any more
        self.look(lab)
        self.look("shared")


def content(population: Population, at: str | None) -> Content:
    """What a commit, or the working state, holds; every array is read."""
    found = {f"item {one.id}": one.model_object for one in population.items(at).values()}
    found |= {f"species {one.id}": one.maps_object for one in population.species_heads(at).values()}
    for group in found.values():
        population.read_group(group)
    return found


TestLabs = Labs.TestCase
TestLabs.settings = settings(
    max_examples=int(os.environ.get("MPOP_STATE_MACHINES", "10")),
    stateful_step_count=16,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if "MPOP_STATE_MACHINES" in os.environ else [])],
    suppress_health_check=list(HealthCheck),
)
