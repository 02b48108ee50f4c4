"""Half-done moves of references are completed; moves by plain Git are respected and noted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from mpop_store.errors import StateError
from mpop_store.git.branches import branches, create_branch, delete_branch, rename_branch, switch
from mpop_store.git.refs import MOVED_BY_OTHERS
from mpop_store.git.repository import Repository
from mpop_store.git.undoing import undo

MAIN, SIDE = "refs/heads/main", "refs/heads/side"


def git(repository: Repository, *words: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@lab.example")
    command = ["git", "-C", str(repository.root), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(repository: Repository, name: str) -> str:
    repository.stage({f"sources/{name}.json": {"kind": "source", "name": name}})
    return repository.commit(f"Add {name}")


def snapshot(folder: Path) -> dict[str, str]:
    """Everything below a folder, by content."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Of two commits, with a branch `side` at the first."""
    made = Repository.init(tmp_path / "population")
    made.stage({"population.json": {"format": 1, "name": "p"}})
    made.commit("Start")
    create_branch(made, "side")
    commit(made, "a")
    return made


def half_switch(repository: Repository) -> None:
    """`switch -c new side`, by a process that died after it made the branch and before HEAD moved."""
    start, head = repository.resolve("side"), repository.head
    assert head is not None
    moves = {"refs/heads/new": (None, start), "HEAD": (f"ref: {MAIN}", "ref: refs/heads/new")}
    repository.operations.begin(moves, "switch: main -> new", "ref: refs/heads/new", (head, start))
    git(repository, "update-ref", "refs/heads/new", start)


def assert_on_new(repository: Repository) -> None:
    assert repository.refs.branch == "refs/heads/new"
    assert repository.head == repository.resolve("side") and repository.is_clean
    assert list(repository.entries()) == ["population.json"]
    assert [(one.name, one.is_current) for one in branches(repository)] == [
        ("main", False),
        ("new", True),
        ("side", False),
    ]


def test_what_is_half_done_is_shown_as_it_will_be_and_completed_by_who_writes(repository: Repository) -> None:
    half_switch(repository)
    before = snapshot(repository.root)
    again = Repository.open(repository.root)
    assert_on_new(again)
    assert snapshot(repository.root) == before
    create_branch(again, "other", "main")
    delete_branch(again, "other", force=True)
    assert_on_new(again)
    assert git(again, "symbolic-ref", "HEAD") == "refs/heads/new" and git(again, "status", "--porcelain") == ""
    assert again.operations.under_way() is None


def test_what_had_not_begun_never_happened(repository: Repository) -> None:
    head = str(repository.head)
    before = [one.number for one in repository.operations.all()]
    moves = {SIDE: (repository.resolve("side"), None), MAIN: (head, repository.resolve("side"))}
    repository.operations.begin(moves, "never seen", f"ref: {MAIN}")
    again = Repository.open(repository.root)
    assert again.head == head and [one.number for one in again.operation_log()] == before
    create_branch(again, "next")
    assert [one.reason for one in again.operations.all()][-2:] == ["commit: Add a", "branch: next made at HEAD"]


def test_what_others_did_meanwhile_stays_when_the_rest_is_completed(repository: Repository) -> None:
    half_switch(repository)
    git(repository, "switch", "-q", "side")  # HEAD is no more where the dead process was to move it from
    again = Repository.open(repository.root)
    assert again.refs.branch == SIDE and again.is_clean
    commit(again, "b")
    assert again.refs.branch == SIDE and again.refs.get("refs/heads/new") is not None
    assert [one.reason for one in again.operations.all()][-2:] == [MOVED_BY_OTHERS, "commit: Add b"]


def test_what_others_staged_meanwhile_stays_when_the_rest_is_completed(repository: Repository) -> None:
    half_switch(repository)
    (repository.root / "sources" / "a.json").write_text('{"kind":"source","name":"by hand"}\n')
    git(repository, "add", "sources/a.json")
    staged = git(repository, "rev-parse", ":sources/a.json")
    again = Repository.open(repository.root)
    for _ in range(2):
        assert again.find("sources/a.json") == staged and again.status() == [("A", "sources/a.json")]
        create_branch(again, f"b{_}")


def test_a_switch_by_plain_git_after_one_by_mpop_stays(repository: Repository) -> None:
    switch(repository, "new", create=True)
    git(repository, "switch", "-q", "main")
    again = Repository.open(repository.root)
    for _ in range(2):
        assert again.refs.branch == MAIN and again.is_clean
        again.finish_interrupted()
    commit(again, "b")
    noted = again.operations.all()[-2]
    assert (noted.reason, noted.moves) == (MOVED_BY_OTHERS, {"HEAD": ("ref: refs/heads/new", f"ref: {MAIN}")})


def test_a_move_by_the_owner_of_a_bare_population_stays(repository: Repository, tmp_path: Path) -> None:
    bare = Repository.init(tmp_path / "bare", bare=True)
    first, second = repository.resolve("side"), str(repository.head)
    git(bare, "fetch", "-q", str(repository.root), "main")
    bare.refs.update({MAIN: (None, first), SIDE: (None, first)}, "push")
    bare.refs.update({MAIN: (first, second), SIDE: (first, second)}, "push")
    git(bare, "update-ref", MAIN, first)
    before = snapshot(bare.root)
    again = Repository(bare._git)
    assert (again.refs.get(MAIN), again.refs.get(SIDE)) == (first, second)
    assert [one.subject for one in again.log()] == ["Start"] and snapshot(bare.root) == before
    with pytest.raises(StateError, match="another process moved refs/heads/main first"):
        again.refs.update({MAIN: (second, None)}, "push")
    again.refs.update({MAIN: (first, second)}, "push")
    assert [(one.reason, one.moves) for one in again.operations.all()][-2:] == [
        (MOVED_BY_OTHERS, {MAIN: (second, first)}),
        ("push", {MAIN: (first, second)}),
    ]


def by_hand(repository: Repository) -> None:
    git(repository, "commit", "-q", "--no-verify", "--allow-empty", "-m", "By hand")


FOREIGN: dict[str, Callable[[Repository], object]] = {
    "commit": by_hand,
    "amend": lambda r: git(r, "commit", "-q", "--no-verify", "--amend", "-m", "Said otherwise"),
    "reset": lambda r: git(r, "reset", "-q", "--hard", "HEAD~1"),
    "detach": lambda r: git(r, "checkout", "-q", "HEAD~1"),
    "delete": lambda r: git(r, "branch", "-q", "-D", "side"),
    "rename": lambda r: git(r, "branch", "-q", "-m", "main", "trunk"),
    "update-ref": lambda r: git(r, "update-ref", SIDE, "main"),
}


@pytest.mark.parametrize("act", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_plain_git_moved_is_noted_and_can_be_undone(
    repository: Repository, act: Callable[[Repository], object]
) -> None:
    """The note comes with the next command that writes; undo is one, and takes back what came last."""
    kept = (repository.refs.all(), repository.refs.branch)
    act(repository)
    moved = (repository.refs.all(), repository.refs.branch, repository.head)
    again = Repository.open(repository.root)
    before = snapshot(again.root)
    assert again.refs.moved_by_others() and again.operations.all()[-1].reason == "commit: Add a"
    assert snapshot(again.root) == before
    undone = undo(again)
    assert undone.reason == MOVED_BY_OTHERS
    assert {name: oid for name, oid in again.refs.all().items() if name in kept[0]} == kept[0]
    assert again.refs.branch == kept[1] and again.is_clean and again.refs.moved_by_others() == {}
    undo(again)
    assert (again.refs.all(), again.refs.branch, again.head) == moved


def test_a_long_log_is_read_from_its_end(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left where is known from the newest operations; of a reference not in them nothing is said."""
    for number in range(300):
        name = f"refs/heads/b{number}"
        repository.refs.update({name: (None, repository.head)}, "x" * 200)
    log = repository.operations
    assert log.left_at(["HEAD", "refs/heads/b299"]) == {
        "HEAD": f"ref: {MAIN}",
        "refs/heads/b299": repository.head,
    }
    monkeypatch.setattr("mpop_store.git.operations.RECENT", 2**14)
    assert log.left_at(["refs/heads/b0"]) == {}
    assert log.left_at()["refs/heads/b0"] == repository.head and len(log.left_at()) == 303
    assert [one.number for one in log.all()] == list(range(1, len(log.all()) + 1))


def test_a_log_of_an_older_mpop_says_nothing_of_what_is_under_way(repository: Repository) -> None:
    """Its operations have no end, and no place where HEAD was left."""
    log = repository.private / "operations.jsonl"
    first = repository.resolve("side")
    old = {"number": 9, "time": "2026-01-01T00:00:00+00:00", "who": "a@b", "reason": "old"}
    log.write_text(json.dumps({**old, "moves": {MAIN: [None, first]}}) + "\n")
    assert repository.operations.under_way() is None and repository.refs.moved_by_others() == {}
    rename_branch(repository, "side", "other")
    assert [one.number for one in repository.operations.all()] == [9, 10]
