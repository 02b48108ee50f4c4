"""Four labs and what they share, against a plain dictionary of what every commit must hold.

Two labs have everything, one has no data and one only those of a species; both read the rest from what is shared.
All may drop what they have, against what is shared and against each other: an object may be missing only where
somebody who has it has promised it.

Commits, branches, merges, pushes, pulls from what is shared and from each other, so that histories criss-cross,
undoing, packing, garbage collection, remotes that come and go, what people do by plain Git, and death at any
change of the disk come in any order. After every step what the labs see is what the dictionary says, and in the
end every commit of every population is read, verified, and checked by Git. MPOP_STATE_MACHINES=200 runs longer.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import fault_actions
import pytest
from example_population import make_population
from fault_world import AUTHOR, World, git
from faults import Faults, compiler, is_refusal
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from merge_model import Graph, ancestors, best_common_ancestors, pick

from mpop.exchange.cloning import clone
from mpop.exchange.dropping import DropOptions, drop_data
from mpop.exchange.fetching import fetch_from, upstream
from mpop.exchange.pushing import PushOptions, push_to
from mpop.exchange.releasing import release
from mpop.exchange.selection import NONE, SPECIES, Data
from mpop.merging import merge
from mpop.population import Population
from mpop_store import MissingObjectError, MpopError, NotFoundError, StateError
from mpop_store.git.undoing import undo
from mpop_store.transfer.remotes import Remotes
from mpop_store.upkeep.packing import pack

Content = dict[str, str]
"""`item <id>` or `species <id>` -> the group of its model or maps."""

MAIN, SIDE = "refs/heads/main", "refs/heads/side"
WHOLE = ("a", "b")
LAZY = {"c": Data(NONE), "d": Data(SPECIES, ("ribosome",))}
"""Labs that do not have everything -> what they were cloned with."""
BRANCHES = st.sampled_from([MAIN, SIDE])
LABS = st.sampled_from([*WHOLE, *LAZY])
ANYONE = st.sampled_from([*WHOLE, *LAZY, "shared"])
PEER = "peer"
"""What a lab calls another lab as its remote."""
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
        for lab in WHOLE:
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
        self.standing = dict.fromkeys((*WHOLE, *LAZY), MAIN)
        self.peers: dict[str, str] = {}
        self.lacking = set(LAZY)
        self.counter = 0

    @initialize()
    def start(self) -> None:
        """Everybody has the same commit."""
        shutil.rmtree(self.folder)
        self.world = World(Path(str(_common["template"]))).copy(self.folder)
        for lab, data in LAZY.items():  # they rely on this very population, not on one that it is a copy of
            clone("shared", Path(lab), base=self.folder, data=data)
        first = self.open("a").repository.resolve("HEAD")
        self.contents[first] = content(self.open("a"), first)
        self.parents[first] = ()
        self.refs = {name: {MAIN: first} for name in (*WHOLE, *LAZY, "shared")}

    def teardown(self) -> None:
        """Every commit of everybody holds what it must, and is sound."""
        try:
            for name, branches in self.refs.items():
                population = self.open(name)
                for commit in ancestors(self.graph, list(branches.values())):
                    assert content(population, commit) == self.contents[commit], (name, commit)
            if self.refs:
                self.world.check()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, name: str) -> Population:
        """A population, as the next command would open it."""
        return Population.open(self.folder / name)

    @property
    def graph(self) -> Graph:
        """All commits, as the model of merges takes them."""
        return {commit: (self.parents[commit], content) for commit, content in self.contents.items()}

    def history(self, tip: str) -> set[str]:
        """A commit and all that it leads to."""
        return ancestors(self.graph, [tip])

    def head(self, lab: str) -> str:
        """Where a lab stands."""
        return self.refs[lab][self.standing[lab]]

    def look(self, name: str) -> None:
        """What a population shows is what the dictionary says."""
        population = self.open(name)
        assert population.repository.refs.all("refs/heads/") == self.refs[name]
        if name in self.standing:
            assert population.repository.refs.branch == self.standing[name]
            assert content(population, None, read=name not in self.lacking) == self.contents[self.head(name)]
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
        result = merge(population, theirs, default=wins)
        if theirs in self.history(ours):
            assert result.status == "up to date"
        elif ours in self.history(theirs):
            assert result.status == "fast-forward"
            self.refs[lab][self.standing[lab]] = theirs
            self.look(lab)
        else:
            bases = best_common_ancestors(self.graph, [ours], theirs)
            base, mine, yours = virtual_base(self.graph, bases), self.contents[ours], self.contents[theirs]
            merged = {key: pick(base.get(key), mine.get(key), yours.get(key)) for key in {*mine, *yours}}
            winner = mine if wins == "ours" else yours
            taken = {key: winner[key] if clash else value for key, (value, clash) in merged.items()}
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
        self.pull_from(lab, "origin", "shared", wins)

    def pull_from(self, lab: str, remote: str, other: str, wins: str) -> None:
        """Fetch from another population, and merge the branch of the same name."""
        repository = self.open(lab).repository
        settings = Remotes(repository).get(remote)
        fetch_from(repository, settings)
        if self.standing[lab] in self.refs[other]:
            theirs = repository.resolve(upstream(repository, settings))
            assert theirs == self.refs[other][self.standing[lab]]
            self.merge(lab, theirs, wins)

    @rule(lab=LABS, other=LABS)
    def add_remote(self, lab: str, other: str) -> None:
        """Another lab, directly."""
        if lab != other and lab not in self.peers:
            Remotes(self.open(lab).repository).add(PEER, f"../{other}")
            self.peers[lab] = other

    @rule(lab=LABS)
    def remove_remote(self, lab: str) -> None:
        """Unless it keeps what is nowhere else."""
        if lab in self.peers:
            try:
                Remotes(self.open(lab).repository).remove(PEER)
            except StateError:
                assert lab in self.lacking
            else:
                del self.peers[lab]
            self.look(lab)

    @rule(lab=LABS, remote=st.sampled_from(["origin", PEER]), older=st.booleans())
    def drop(self, lab: str, remote: str, older: bool) -> None:
        """Also two labs against each other."""
        if remote == PEER and lab not in self.peers:
            return
        population = self.open(lab)
        try:
            drop_data(
                population, Remotes(population.repository).get(remote), DropOptions(everything=True, older=older)
            )
        except MpopError as error:  # it lacks the commit, or an object, or has a promise from us
            assert isinstance(error, StateError | MissingObjectError), error
        else:
            self.lacking.add(lab)
        self.look(lab)

    @rule(lab=LABS, remote=st.sampled_from(["origin", PEER]))
    def give_back(self, lab: str, remote: str) -> None:
        """What a remote keeps for us, if all of it is here again."""
        try:
            release(self.open(lab).repository, remote)
        except (StateError, NotFoundError):
            self.look(lab)

    @rule(lab=LABS, wins=WINS)
    def pull_from_peer(self, lab: str, wins: str) -> None:
        """One that lacks data cannot give them."""
        if (other := self.peers.get(lab)) is not None:
            try:
                self.pull_from(lab, PEER, other, wins)
            except MissingObjectError:
                assert other in self.lacking
                self.look(lab)

    @rule(lab=LABS, branch=BRANCHES)
    def switch_by_git(self, lab: str, branch: str) -> None:
        if branch in self.refs[lab]:
            git(self.folder / lab, "switch", "-q", branch.removeprefix("refs/heads/"))
            self.standing[lab] = branch
            self.look(lab)

    @rule(lab=LABS, how=st.sampled_from(["branch", "update-ref"]))
    def move_by_git(self, lab: str, how: str) -> None:
        """The other branch to where we are."""
        other = SIDE if self.standing[lab] == MAIN else MAIN
        words = ["branch", "-f", other.removeprefix("refs/heads/")] if how == "branch" else ["update-ref", other]
        git(self.folder / lab, *words, self.head(lab))
        self.refs[lab][other] = self.head(lab)
        self.look(lab)

    @rule(branch=BRANCHES, source=BRANCHES)
    def move_what_is_shared_by_git(self, branch: str, source: str) -> None:
        """Forward, as the one who looks after it may."""
        known = self.refs["shared"]
        if source in known and known.get(branch, known[source]) in self.history(known[source]):
            git(self.folder / "shared", "update-ref", branch, known[source])
            known[branch] = known[source]
            self.look("shared")

    @rule(name=ANYONE)
    def collect_by_git(self, name: str) -> None:
        """Everything but what reflogs lead to."""
        kept = [f"gc.{key}=never" for key in ("reflogExpire", "reflogExpireUnreachable")]
        git(self.folder / name, *(word for key in kept for word in ("-c", key)), "gc", "-q", "--prune=now")
        self.look(name)

    @rule(at=st.integers(1_600_000_000, 1_800_000_000))
    def set_clock(self, at: int) -> None:
        """What commits are dated; their order says nothing about who was first."""
        os.environ.update(GIT_AUTHOR_DATE=f"{at} +0100", GIT_COMMITTER_DATE=f"{at} +0100")

    @rule(lab=LABS)
    def undo(self, lab: str) -> None:
        """Of a commit, a merge, a switch, a fetch, or of undoing."""
        population = self.open(lab)
        try:
            undo(population.repository)
        except StateError:  # it has moved since, by Git, or nothing would be left
            assert self.open(lab).repository.refs.all("refs/heads/") == self.refs[lab]
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


def virtual_base(graph: Graph, bases: Sequence[str]) -> dict[str, object]:
    """What several best common ancestors held, key by key, merged in their turn."""
    state: dict[str, object] = dict(graph[bases[0]][1])
    for number in range(1, len(bases)):
        below = virtual_base(graph, best_common_ancestors(graph, bases[:number], bases[number]))
        other = graph[bases[number]][1]
        state = {key: pick(below.get(key), state.get(key), other.get(key))[0] for key in {*state, *other}}
    return state


def content(population: Population, at: str | None, read: bool = True) -> Content:
    """What a commit, or the working state, holds. read: every array, too."""
    found = {f"item {one.id}": one.model_object for one in population.items(at).values()}
    found |= {f"species {one.id}": one.maps_object for one in population.species_heads(at).values()}
    for group in found.values() if read else ():
        population.read_group(group)
    return found


TestLabs = Labs.TestCase
TestLabs.settings = settings(
    max_examples=int(os.environ.get("MPOP_STATE_MACHINES", "30")),
    stateful_step_count=30,
    derandomize="MPOP_STATE_MACHINES" not in os.environ,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if "MPOP_STATE_MACHINES" in os.environ else [])],
    suppress_health_check=list(HealthCheck),
)
