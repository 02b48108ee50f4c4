"""The repository: working state, commits that are whole or nothing, and Git's own view of it."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pygit2
import pytest

from mpop_store import DamagedObjectError, InputError, NotFoundError, StateError, StoreError, canonical_json
from mpop_store.git.authorship import parse_date
from mpop_store.git.repository import Repository

ROOT = {"format": 1, "kind": "population", "name": "p", "version": ""}


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
    return done.stdout


def record(value: object = 0) -> dict[str, object]:
    return {"kind": "source", "value": value}


@pytest.fixture(autouse=True)
def fixed_author(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A. Biologist")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
        monkeypatch.setenv(f"GIT_{role}_DATE", "1700000000 +0100")


def make(root: Path) -> Repository:
    repository = Repository.init(root)
    repository.stage({"population.json": ROOT})
    return repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one commit: population.json and sources/a.json."""
    made = make(tmp_path / "p")
    made.stage({"sources/a.json": record(1)})
    made.commit("First")
    return made


def test_a_commit_is_what_git_sees(repository: Repository) -> None:
    assert git(repository.root, "log", "--format=%an <%ae> %ad %s", "--date=raw") == (
        "A. Biologist <a@example.org> 1700000000 +0100 First\n"
    )
    assert git(repository.root, "status", "--porcelain") == ""
    assert git(repository.root, "branch", "--show-current") == "main\n"
    assert git(repository.root, "ls-files").split() == ["README.md", "population.json", "sources/a.json"]
    assert json.loads(git(repository.root, "show", "HEAD:sources/a.json")) == record(1)
    git(repository.root, "fsck", "--strict")


def test_raw_data_beside_the_records_do_not_bother_git(repository: Repository) -> None:
    (repository.root / "frames").mkdir()
    (repository.root / "frames" / "a.mrc").write_bytes(b"x")
    assert git(repository.root, "status", "--porcelain") == ""


def test_the_same_content_and_date_give_the_same_commit(tmp_path: Path) -> None:
    ids = []
    for name in ("x", "y"):
        made = make(tmp_path / name / "p")
        made.stage({"sources/b.json": record(2), "sources/a.json": record(1)})
        ids.append(made.commit("First"))
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("text", "seconds", "minutes"),
    [
        ("1700000000 +0130", 1700000000, 90),
        ("@1700000000 -0500", 1700000000, -300),
        ("1700000000", 1700000000, 0),
        ("2023-11-14T22:13:20+00:00", 1700000000, 0),
        ("Tue, 14 Nov 2023 23:13:20 +0100", 1700000000, 60),
    ],
)
def test_dates_are_read_as_git_writes_them(text: str, seconds: int, minutes: int) -> None:
    moment = parse_date(text)
    assert (moment.timestamp(), moment.utcoffset()) == (seconds, timedelta(minutes=minutes))


def test_a_date_that_is_none_is_refused(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_DATE", "last tuesday")
    repository.stage({"sources/b.json": record()})
    with pytest.raises(InputError, match="last tuesday"):
        repository.commit("x")


def test_source_date_epoch_sets_the_date(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_DATE")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    repository.stage({"sources/b.json": record()})
    repository.commit("x")
    assert git(repository.root, "log", "-1", "--format=%at %ct") == "86400 86400\n"


def test_the_working_state_is_apart_from_the_commit(repository: Repository) -> None:
    repository.stage({"sources/a.json": record(2), "sources/b.json": record(3)})
    repository.stage({"sources/b.json": None, "items/ab/c.json": record(4)})
    assert repository.status() == [("A", "items/ab/c.json"), ("M", "sources/a.json")]
    assert repository.read("sources/a.json") == record(2)
    assert repository.read("sources/a.json", "HEAD") == record(1)
    assert (repository.root / "items/ab/c.json").exists() and not (repository.root / "sources/b.json").exists()
    repository.stage({"sources/a.json": record(1), "items/ab/c.json": None})
    assert repository.is_clean
    with pytest.raises(StateError, match="nothing to commit"):
        repository.commit("x")


def test_removal_is_a_change_like_others(repository: Repository) -> None:
    repository.stage({"sources/a.json": None})
    assert repository.status() == [("D", "sources/a.json")]
    repository.commit("Remove")
    assert repository.show().changed == {"sources/a.json": "D"}
    assert git(repository.root, "status", "--porcelain") == ""
    with pytest.raises(NotFoundError, match=r"sources/a\.json"):
        repository.read("sources/a.json")
    assert repository.records("sources/", "HEAD~1") == {"sources/a.json": record(1)}


def test_revisions_are_named_as_in_git(repository: Repository) -> None:
    first = repository.head
    assert first is not None
    repository.stage({"sources/a.json": record(2)})
    second = repository.commit("Second\n\nWith a body")
    assert [repository.resolve(name) for name in ("HEAD", "main", second[:8])] == [second] * 3
    assert repository.resolve("HEAD~1") == first
    assert [(c.id, c.parents, c.subject) for c in repository.log()] == [
        (second, (first,), "Second"),
        (first, (), "First"),
    ]
    assert [c.changed for c in repository.log()] == [
        {"sources/a.json": "M"},
        {"population.json": "A", "sources/a.json": "A"},
    ]
    for nothing in ("HEAD~2", "nowhere", "", "ffffffff"):
        with pytest.raises(NotFoundError, match="no commit"):
            repository.resolve(nothing)


@pytest.mark.parametrize("message", ["", " \n "])
def test_an_empty_message_is_refused(repository: Repository, message: str) -> None:
    repository.stage({"sources/b.json": record()})
    with pytest.raises(InputError, match="message"):
        repository.commit(message)


# --- what is not a population ------------------------------------------------------------------------------------


def test_a_folder_below_the_population_leads_to_it(repository: Repository) -> None:
    assert Repository.open(repository.root / "sources").root == repository.root


def test_no_population(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not inside a population"):
        Repository.open(tmp_path)
    with pytest.raises(NotFoundError, match="no such folder"):
        Repository.open(tmp_path / "nowhere")


def test_other_kinds_of_repositories_are_told_apart(repository: Repository, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "plain")
    with pytest.raises(StateError, match="plain Git repository"):
        Repository.open(tmp_path / "plain")
    git(tmp_path, "clone", "-q", str(repository.root), "clone")
    with pytest.raises(StateError, match="without its arrays"):
        Repository.open(tmp_path / "clone")
    git(tmp_path, "init", "-q", "--object-format=sha256", "sha256")
    with pytest.raises(StateError, match="sha256"):
        Repository.open(tmp_path / "sha256")
    git(tmp_path, "init", "-q", "--bare", "bare")
    with pytest.raises(StateError, match="bare"):
        Repository.open(tmp_path / "bare")


def test_a_newer_format_is_refused(repository: Repository) -> None:
    repository.stage({"population.json": ROOT | {"format": 2}})
    with pytest.raises(StateError, match=r"format 2, this mpop reads 1; update"):
        Repository.open(repository.root)


def test_init_refuses_what_is_there_already(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="already"):
        Repository.init(repository.root)
    (tmp_path / "population.json").write_text("mine")
    with pytest.raises(StateError, match="there already"):
        Repository.init(tmp_path)
    assert (tmp_path / "population.json").read_text() == "mine"


def test_a_readme_of_the_users_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    make(tmp_path).commit("First")
    assert (tmp_path / "README.md").read_text() == "mine"


# --- changes that fail half-way ----------------------------------------------------------------------------------

Breakage = Callable[[pytest.MonkeyPatch], None]


def _raise(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BROKEN_STAGES: dict[str, Breakage] = {
    "no space for records": lambda patch: patch.setattr(pygit2.Repository, "create_blob", _raise(FULL)),
    "no space for the index": lambda patch: patch.setattr(pygit2.Index, "write", _raise(FULL)),
    "no space for its copy": lambda patch: patch.setattr(shutil, "copyfile", _raise(FULL)),
    "no space for the files": lambda patch: patch.setattr(Path, "write_bytes", _raise(FULL)),
    "Ctrl-C before the swap": lambda patch: patch.setattr(pygit2.Index, "write", _raise(KeyboardInterrupt())),
    "Ctrl-C after the swap": lambda patch: patch.setattr(Repository, "_render", _raise(KeyboardInterrupt())),
}


@pytest.mark.parametrize("breakage", BROKEN_STAGES.values(), ids=BROKEN_STAGES.keys())
def test_a_stage_that_fails_changes_nothing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, breakage: Breakage
) -> None:
    repository.stage({"sources/b.json": record(5)})
    before = repository.status()
    change = {"sources/a.json": None, "sources/b.json": record(6), "sources/c.json": record(7)}
    with monkeypatch.context() as patch:
        breakage(patch)
        with pytest.raises((StoreError, KeyboardInterrupt)):
            repository.stage(change)
        assert repository.status() == before
    again = Repository.open(repository.root)
    assert again.status() == before
    assert again.read("sources/b.json") == record(5)
    assert list(again.private.glob("index-*")) == []
    again.stage(change)
    assert again.status() == [("A", "sources/b.json"), ("A", "sources/c.json"), ("D", "sources/a.json")]
    assert git(again.root, "status", "--porcelain", "--short").splitlines() == [
        "D  sources/a.json",
        "A  sources/b.json",
        "A  sources/c.json",
    ]


BROKEN_JOBS: dict[str, Breakage] = BROKEN_STAGES | {
    "no space for the commit": lambda patch: patch.setattr(pygit2.Repository, "create_commit", _raise(FULL)),
    "Ctrl-C at the branch": lambda patch: patch.setattr(Repository, "_advance", _raise(KeyboardInterrupt())),
}
for late in ("no space for the files", "Ctrl-C after the swap"):  # the commit is made by then
    del BROKEN_JOBS[late]


@pytest.mark.parametrize("breakage", BROKEN_JOBS.values(), ids=BROKEN_JOBS.keys())
def test_a_job_whose_commit_fails_changes_nothing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, breakage: Breakage
) -> None:
    head = repository.head
    assert head is not None
    with monkeypatch.context() as patch:
        breakage(patch)
        with pytest.raises((StoreError, KeyboardInterrupt)):
            repository.commit_changes({"sources/a.json": record(9)}, "Job", head)
    again = Repository.open(repository.root)
    assert again.head == head and again.is_clean
    assert list(again.private.glob("index-*")) == []
    assert again.read("sources/a.json") == record(1)
    assert git(again.root, "status", "--porcelain") == ""
    again.commit_changes({"sources/a.json": record(9)}, "Job", head)
    assert again.is_clean


def test_a_job_that_dies_after_the_branch_moved_is_finished_by_the_next_command(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = repository.head
    assert head is not None
    replace = os.replace

    def die(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        repository.commit_changes({"sources/a.json": record(9), "jobs/aa/b.json": record()}, "Job", head)
    monkeypatch.setattr(os, "replace", replace)
    again = Repository.open(repository.root)
    assert again.show().subject == "Job" and again.is_clean
    assert again.read("sources/a.json") == record(9)
    assert git(again.root, "status", "--porcelain") != ""  # who only reads writes nothing
    again.stage({"sources/b.json": record(2)})
    assert json.loads((again.root / "sources/a.json").read_text()) == record(9)
    assert git(again.root, "status", "--porcelain") == "A  sources/b.json\n"


def test_a_full_work_tree_does_not_undo_a_jobs_commit(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = repository.head
    assert head is not None
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", _raise(FULL))
        commit = repository.commit_changes({"sources/a.json": record(9)}, "Job", head)
    assert repository.head == commit and repository.is_clean
    repository.stage({"sources/b.json": record()})
    assert json.loads((repository.root / "sources/a.json").read_text()) == record(9)


# --- several at once ---------------------------------------------------------------------------------------------


def test_a_job_keeps_what_others_committed_and_staged_meanwhile(repository: Repository) -> None:
    since = repository.head
    assert since is not None
    repository.stage({"sources/b.json": record(2)})
    repository.commit("Meanwhile")
    repository.stage({"sources/c.json": record(3)})
    repository.commit_changes({"sources/a.json": record(9)}, "Job", since)
    values = {path: one["value"] for path, one in repository.records("sources/").items()}
    assert values == {"sources/a.json": 9, "sources/b.json": 2, "sources/c.json": 3}
    assert repository.status() == [("A", "sources/c.json")]


@pytest.mark.parametrize("how", ["committed", "staged"])
def test_a_job_does_not_undo_what_others_did_to_its_records(repository: Repository, how: str) -> None:
    since = repository.head
    assert since is not None
    repository.stage({"sources/a.json": record(2)})
    if how == "committed":
        repository.commit("Meanwhile")
    with pytest.raises(StateError, match=rf"changed and {how} while the job ran \(first: sources/a.json\)"):
        repository.commit_changes({"sources/a.json": record(9)}, "Job", since)
    assert repository.read("sources/a.json") == record(2)


def test_a_plain_git_commit_in_between_is_not_lost(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.stage({"sources/b.json": record(2)})
    create = pygit2.Repository.create_commit

    def overtaken(self: pygit2.Repository, *words: Any) -> pygit2.Oid:
        made = create(self, *words)
        git(repository.root, "commit", "-q", "--no-verify", "--allow-empty", "--only", "-m", "By hand")
        return made

    monkeypatch.setattr(pygit2.Repository, "create_commit", overtaken)
    with pytest.raises(StateError, match="another process moved refs/heads/main first"):
        repository.commit("Ours")
    monkeypatch.undo()
    assert repository.show().subject == "By hand"
    repository.commit("Ours")
    assert [commit.subject for commit in repository.log()] == ["Ours", "By hand", "First"]


@pytest.mark.parametrize("by", ["mpop", "plain Git"])
def test_records_that_others_stage_are_seen_by_who_has_listed_them_before(repository: Repository, by: str) -> None:
    index = repository.git_directory / "index"
    os.utime(index, ns=(0, 0))  # an old file, whose list is kept
    listed = repository.entries(prefix="sources/")
    assert list(listed) == ["sources/a.json"]
    assert repository.entries(prefix="sources/") == listed
    if by == "mpop":
        Repository.open(repository.root).stage({"sources/a.json": record(2)})
    else:
        (repository.root / "sources/a.json").write_bytes(canonical_json(record(2)))
        git(repository.root, "add", "sources/a.json")
    os.utime(index, ns=(0, 0))
    assert repository.load(repository.entries(prefix="sources/")["sources/a.json"]) == record(2)
    assert repository.entries(prefix="items/") == {}


def _commit_many(root: Path, who: str, number: int) -> None:
    for turn in range(number):
        repository = Repository.open(root)
        since = repository.head
        assert since is not None
        repository.commit_changes({f"sources/{who}{turn}.json": record(turn)}, f"{who}{turn}", since)


def test_two_processes_lose_no_commit(repository: Repository) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_commit_many, args=(repository.root, who, 8)) for who in "xy"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    subjects = [commit.subject for commit in repository.log()]
    assert sorted(subjects) == sorted(["First", *(f"{who}{turn}" for who in "xy" for turn in range(8))])
    assert len(repository.records("sources/")) == 17
    assert repository.is_clean
    assert git(repository.root, "status", "--porcelain") == ""


# --- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["refs/heads/main", "index"])
def test_a_damaged_repository_is_said_to_be_damaged(repository: Repository, victim: str) -> None:
    (Path(repository.root) / ".git" / victim).write_bytes(b"garbage\n")
    with pytest.raises(DamagedObjectError, match="damaged or missing"):
        _ = Repository.open(repository.root).status()


@pytest.mark.parametrize("victim", ["blob", "tree", "commit"])
@pytest.mark.parametrize("keep", [0, 9, -9, -1])
def test_a_git_object_cut_short_is_said_to_be_damaged(repository: Repository, victim: str, keep: int) -> None:
    """libgit2 by itself would never return."""
    oid = {
        "blob": repository.entries()["sources/a.json"],
        "tree": git(repository.root, "rev-parse", "HEAD^{tree}").strip(),
        "commit": str(repository.head),
    }[victim]
    path = repository.root / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:keep])
    again = Repository.open(repository.root)
    for read in (lambda: again.read("sources/a.json", "HEAD"), lambda: again.records("", "HEAD")):
        with pytest.raises(DamagedObjectError, match=f"{oid} is damaged or missing; run `mpop verify`"):
            read()
    if victim != "blob":
        with pytest.raises(DamagedObjectError, match=oid):
            list(again.log())
