"""Branches, tags, standing elsewhere, and taking any of it back."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mpop_store.errors import InputError, MpopError, NotFoundError, StateError
from mpop_store.git.branches import (
    branches,
    checkout,
    create_branch,
    create_tag,
    current_branch,
    delete_branch,
    delete_tag,
    rename_branch,
    switch,
    tags,
)
from mpop_store.git.repository import Repository
from mpop_store.git.undoing import undo


def commit(repository: Repository, name: str) -> str:
    repository.stage({f"sources/{name}.json": {"kind": "source", "name": name}})
    return repository.commit(f"Add {name}")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.init(tmp_path / "population")
    made.stage({"population.json": {"format": 1, "name": "p"}})
    made.commit("Start")
    return made


def names(repository: Repository) -> list[str]:
    return [one.name for one in branches(repository)]


def test_a_branch_and_back(repository: Repository) -> None:
    start = repository.resolve("HEAD")
    assert switch(repository, "try/it", create=True) == start
    made = commit(repository, "a")
    assert (current_branch(repository), repository.resolve("main")) == ("try/it", start)
    assert switch(repository, "main") == start
    assert repository.is_clean and not (repository.root / "sources" / "a.json").exists()
    assert [(b.name, b.commit, b.is_current) for b in branches(repository)] == [
        ("main", start, True),
        ("try/it", made, False),
    ]
    switch(repository, "try/it")
    assert (repository.root / "sources" / "a.json").exists() and repository.is_clean
    status = ["git", "-C", str(repository.root), "status", "--porcelain", "--branch"]
    said = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    assert said == "## try/it\n"  # Git sees the same


def test_a_commit_without_a_branch(repository: Repository) -> None:
    first = repository.resolve("HEAD")
    commit(repository, "a")
    assert checkout(repository, "HEAD~1") == first
    assert repository.refs.branch is None and not any(one.is_current for one in branches(repository))
    with pytest.raises(StateError, match="on no branch"):
        current_branch(repository)
    there = commit(repository, "b")
    assert repository.head == there and repository.show().parents == (first,)
    switch(repository, "kept", create=True)
    assert repository.resolve("kept") == there


def test_changes_of_the_working_state_are_never_lost(repository: Repository) -> None:
    commit(repository, "a")
    create_branch(repository, "old", "HEAD~1")
    repository.stage({"sources/b.json": {"kind": "source"}})
    for leave in (lambda: switch(repository, "old"), lambda: checkout(repository, "HEAD~1")):
        with pytest.raises(StateError, match="holds changes"):
            leave()
    assert repository.status() == [("A", "sources/b.json")] and current_branch(repository) == "main"
    switch(repository, "new", create=True)  # at the same commit: they come along
    assert repository.status() == [("A", "sources/b.json")]


def test_a_branch_of_a_remote_is_followed(repository: Repository) -> None:
    start = repository.resolve("HEAD")
    ahead = commit(repository, "theirs")
    repository.refs.update({"refs/remotes/lab-b/side": (None, ahead), "refs/heads/main": (ahead, start)}, "fetch")
    repository.discard(["sources/theirs.json"])
    assert switch(repository, "side") == ahead
    config = ("git", "-C", str(repository.root), "config", "--get-regexp", "branch")
    said = subprocess.run(config, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["branch.side.remote", "lab-b", "branch.side.merge", "refs/heads/side"]
    repository.refs.update({f"refs/remotes/{lab}/twice": (None, ahead) for lab in ("b", "c")}, "fetch")
    with pytest.raises(InputError, match=r"several remotes have a branch 'twice' \(b, c\)"):
        switch(repository, "twice")
    assert [one.name for one in branches(repository, remote=True)] == ["b/twice", "c/twice", "lab-b/side"]


def test_deleting_asks_whether_work_would_be_lost(repository: Repository) -> None:
    switch(repository, "side", create=True)
    ahead = commit(repository, "a")
    with pytest.raises(StateError, match="is the one you are on"):
        delete_branch(repository, "side")
    switch(repository, "main")
    with pytest.raises(StateError, match="commits that are not merged here; -D"):
        delete_branch(repository, "side")
    assert delete_branch(repository, "side", force=True) == ahead
    create_branch(repository, "merged")
    delete_branch(repository, "merged")
    assert names(repository) == ["main"]


def test_renaming_takes_head_along(repository: Repository) -> None:
    create_branch(repository, "other")
    rename_branch(repository, "main", "trunk")
    assert (current_branch(repository), names(repository)) == ("trunk", ["other", "trunk"])
    rename_branch(repository, "other", "another")
    assert names(repository) == ["another", "trunk"] and repository.is_clean
    undo(repository, 2 + 1)
    assert (current_branch(repository), names(repository)) == ("main", ["another", "main"])


def test_tags(repository: Repository) -> None:
    first = repository.resolve("HEAD")
    create_tag(repository, "v1", message="Published\n\nin full")
    commit(repository, "a")
    create_tag(repository, "before", "v1")
    assert [(tag.name, tag.commit, tag.message) for tag in tags(repository)] == [
        ("before", first, "Start"),
        ("v1", first, "Published"),
    ]
    kind = ["git", "-C", str(repository.root), "cat-file", "-p", "v1"]
    text = subprocess.run(kind, capture_output=True, text=True, check=True).stdout
    assert text.startswith(f"object {first}\ntype commit\ntag v1\ntagger ") and text.endswith("\nin full\n")
    assert subprocess.run(["git", "-C", str(repository.root), "fsck", "--strict"], check=False).returncode == 0
    assert delete_tag(repository, "v1") == first
    undo(repository)
    assert repository.resolve("v1") == first


@pytest.mark.parametrize(
    ("act", "kind", "says"),
    [
        (lambda r: create_branch(r, "main"), StateError, "there is a branch 'main' already"),
        (lambda r: switch(r, "main", create=True), StateError, "there is a branch 'main' already"),
        (lambda r: switch(r, "nowhere"), NotFoundError, "no branch 'nowhere'.*switch -c nowhere"),
        (lambda r: checkout(r, "nowhere"), NotFoundError, "no commit 'nowhere'"),
        (lambda r: create_branch(r, "x", "nowhere"), NotFoundError, "no commit 'nowhere'"),
        (lambda r: create_branch(r, "a..b"), InputError, "cannot be a name"),
        (lambda r: create_branch(r, "-d"), InputError, "cannot be a name"),
        (lambda r: create_branch(r, "a/-d"), InputError, "cannot be a name"),
        (lambda r: switch(r, "--force", create=True), InputError, "cannot be a name"),
        (lambda r: create_tag(r, "v/-d"), InputError, "cannot be a name"),
        (lambda r: create_branch(r, "HEAD"), InputError, "cannot be a name"),
        (lambda r: create_branch(r, "a\x1b[31m"), InputError, "cannot be a name"),
        (
            lambda r: create_branch(r, "main/sub"),
            StateError,
            "there is a branch 'main', so 'main/sub' cannot be one",
        ),
        (lambda r: delete_branch(r, "nowhere"), NotFoundError, "no branch 'nowhere'"),
        (lambda r: rename_branch(r, "nowhere", "x"), NotFoundError, "no branch 'nowhere'"),
        (lambda r: rename_branch(r, "main", "main"), StateError, "already"),
        (lambda r: create_tag(r, "v", message=" "), InputError, "needs a message"),
        (lambda r: create_tag(r, "v", "nowhere"), NotFoundError, "no commit"),
        (lambda r: delete_tag(r, "nowhere"), NotFoundError, "no tag 'nowhere'"),
        (lambda r: undo(r, 77), NotFoundError, "there is no operation 77"),
        (lambda r: undo(r), StateError, "HEAD would name no commit"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    repository: Repository, act: Callable[[Repository], object], kind: type[MpopError], says: str
) -> None:
    before = repository.refs.all(), repository.refs.branch
    with pytest.raises(kind, match=says) as error:
        act(repository)
    assert "\n" not in str(error.value)
    assert (repository.refs.all(), repository.refs.branch) == before


def test_undo_takes_back_a_commit_and_undo_again_brings_it_back(repository: Repository) -> None:
    first = repository.resolve("HEAD")
    second = commit(repository, "a")
    assert undo(repository).reason == "commit: Add a"
    assert repository.head == first and repository.is_clean and "sources/a.json" not in repository.entries()
    assert undo(repository).reason == "undo: operation 2 (commit: Add a)"
    assert repository.head == second and repository.is_clean and "sources/a.json" in repository.entries()
    assert undo(repository).reason == "redo: operation 2 (commit: Add a)"
    assert repository.head == first


def test_undo_passes_over_an_operation_whose_process_died_before_it_began(repository: Repository) -> None:
    first, second = repository.resolve("HEAD"), commit(repository, "a")
    repository.operations.begin({"refs/heads/main": (second, first)}, "commit: never seen", "ref: refs/heads/main")
    assert undo(repository).reason == "commit: Add a"
    assert repository.head == first


def test_undo_can_keep_the_working_state(repository: Repository) -> None:
    first = repository.resolve("HEAD")
    commit(repository, "a")
    undo(repository, keep=True)
    assert repository.head == first and repository.status() == [("A", "sources/a.json")]
    repository.commit("Add a, said better")
    assert [one.subject for one in repository.log()] == ["Add a, said better", "Start"]


def test_undo_refuses_to_lose_changes_or_to_jump_over_others(repository: Repository) -> None:
    second = commit(repository, "a")
    repository.stage({"sources/b.json": {"kind": "source"}})
    with pytest.raises(StateError, match="holds changes"):
        undo(repository)
    assert repository.head == second and repository.status() == [("A", "sources/b.json")]
    repository.commit("Add b")
    with pytest.raises(StateError, match="operation 2 cannot be undone: main has moved since"):
        undo(repository, 2)


def test_undoing_a_branch_spares_changes_that_it_does_not_touch(repository: Repository) -> None:
    create_branch(repository, "side")
    repository.stage({"sources/b.json": {"kind": "source"}})
    undo(repository)
    assert names(repository) == ["main"] and repository.status() == [("A", "sources/b.json")]


def test_undoing_a_switch_to_a_new_branch_removes_it(repository: Repository) -> None:
    switch(repository, "side", create=True)
    undo(repository)
    assert (current_branch(repository), names(repository)) == ("main", ["main"])
    undo(repository)
    assert (current_branch(repository), names(repository)) == ("side", ["main", "side"])


def state(repository: Repository) -> tuple[object, ...]:
    head = repository.refs.branch or repository.head
    return repository.refs.all(), head, repository.entries(), repository.is_clean


@pytest.mark.parametrize("seed", range(6))
def test_any_series_of_operations_can_be_undone_step_by_step(repository: Repository, seed: int) -> None:
    """The states on the way back are those on the way there."""
    pick = random.Random(seed)
    states = [state(repository)]
    started = len(repository.operations.all())
    for turn in range(8):
        known = names(repository)
        branch = pick.choice(known)
        acts: list[Callable[[], object]] = [
            lambda turn=turn: commit(repository, f"c{turn}"),
            lambda turn=turn: create_branch(repository, f"b{turn}"),
            lambda turn=turn: switch(repository, f"s{turn}", create=True),
            lambda branch=branch: checkout(repository, branch),
            lambda branch=branch: switch(repository, branch),
            lambda turn=turn: create_tag(repository, f"t{turn}", message="T"),
            lambda turn=turn, branch=branch: rename_branch(repository, branch, f"r{turn}"),
            lambda branch=branch: delete_branch(repository, branch, force=True),
        ]
        before = len(repository.operations.all())
        try:
            pick.choice(acts)()
        except StateError:
            assert len(repository.operations.all()) == before
        else:
            states += [state(repository)] * (len(repository.operations.all()) - before)
    for number in range(len(states) - 1, 0, -1):
        assert state(repository) == states[number]
        undo(repository, started + number)
        assert state(repository) == states[number - 1]


@pytest.mark.parametrize(
    ("known", "twin"),
    [
        ("Lab", "lab"),
        ("lab/x", "Lab/y"),
        ("lab/x", "LAB"),
        ("caf\u00e9", "cafe\u0301"),
        ("Stra\u00dfe", "strasse"),
    ],
)
def test_no_second_name_is_made_that_is_the_same_file_elsewhere(
    repository: Repository, known: str, twin: str
) -> None:
    create_branch(repository, known)
    create_branch(repository, "other")
    create_tag(repository, twin)  # in a folder of its own
    before = repository.refs.all(), repository.refs.head_value
    for attempt in (create_branch, lambda here, name: switch(here, name, create=True)):
        with pytest.raises(StateError, match="one file on disks"):
            attempt(repository, twin)
    with pytest.raises(StateError, match="one file on disks"):
        rename_branch(repository, "other", twin)
    with pytest.raises(StateError, match="one file on disks"):
        rename_branch(repository, known, twin)  # that would delete it, where both are one file
    with pytest.raises(StateError, match="one file on disks"):
        repository.refs.update({f"refs/heads/{name}": (None, repository.head) for name in ("new", "New")}, "two")
    assert (repository.refs.all(), repository.refs.head_value) == before
    commit(repository, "a")  # what is there already stays usable
    delete_branch(repository, known)
    create_branch(repository, twin)
