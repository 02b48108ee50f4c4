"""What plain Git may do in a population, what it is stopped from, and repositories of other formats."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mpop_store.errors import StateError
from mpop_store.git.branches import create_branch, switch
from mpop_store.git.plain_git import HOOKS, install_hooks
from mpop_store.git.repository import Repository


def git(folder: Path, *words: str, code: int = 0) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@lab.example")
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def commit(repository: Repository, name: str, **more: object) -> str:
    repository.stage({"population.json": {"format": 1, "name": name, **more}})
    return repository.commit(f"Say {name}")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.init(tmp_path / "population")
    commit(made, "first")
    return made


def test_reading_with_git_works(repository: Repository, tmp_path: Path) -> None:
    commit(repository, "second")
    root = repository.root
    assert git(root, "log", "--format=%s").split("\n")[:2] == ["Say second", "Say first"]
    assert '+{"format":1,"name":"second"}' in git(root, "diff", "HEAD~1")
    assert git(root, "fsck", "--strict", "--full").strip() in (
        "",
        "notice: HEAD points to an unborn branch (main)",
    )
    assert git(root, "status", "--porcelain") == ""
    git(tmp_path, "clone", "-q", str(root), "copy")
    readme = (tmp_path / "copy" / "README.md").read_text()
    assert "mpop fetch" in readme and "mpop clone" in readme
    with pytest.raises(StateError, match="`mpop fetch` brings them"):
        Repository.open(tmp_path / "copy")


def test_a_plain_commit_is_stopped_with_what_to_run(repository: Repository) -> None:
    before = repository.head
    (repository.root / "population.json").write_text('{"format": 1, "name": "by hand"}\n')
    said = git(repository.root, "commit", "-am", "By hand", code=1)
    assert said.splitlines()[-1] == f"mpop: {HOOKS['pre-commit']}" and "mpop commit" in said
    assert repository.head == before


def test_a_plain_merge_is_stopped(repository: Repository) -> None:
    create_branch(repository, "other")
    commit(repository, "here")
    switch(repository, "other")
    repository.stage({"sources/a.json": {"kind": "source"}})
    there = repository.commit("There")
    said = git(repository.root, "merge", "main", "-m", "By hand", code=1)
    assert "mpop merge" in said and repository.head == there


def test_a_plain_push_is_stopped(repository: Repository, tmp_path: Path) -> None:
    bare = Repository.init(tmp_path / "shared", bare=True)
    said = git(repository.root, "push", str(bare.root), "main", code=1)
    assert "mpop push" in said and bare.head is None


def test_mpop_itself_is_not_stopped(repository: Repository) -> None:
    assert git(repository.root, "hook", "run", "pre-commit", code=1)
    assert commit(repository, "second") == repository.head


def test_a_hook_of_the_users_own_stays(tmp_path: Path) -> None:
    own = tmp_path / "hooks" / "pre-commit"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\nexit 0\n")
    assert sorted(install_hooks(tmp_path)) == ["pre-merge-commit", "pre-receive"]
    assert own.read_text() == "#!/bin/sh\nexit 0\n"
    assert install_hooks(tmp_path) == []


def test_populations_are_sha1_with_files_whatever_git_prefers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256")
    monkeypatch.setenv("GIT_DEFAULT_REF_FORMAT", "reftable")
    made = Repository.init(tmp_path / "population")
    assert len(commit(made, "first")) == 40
    assert git(made.root, "rev-parse", "--show-object-format").strip() == "sha1"


def test_a_sha256_repository_is_refused_with_the_reason(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "other")
    with pytest.raises(StateError, match=r"named by sha256, and mpop reads sha1; `mpop init`"):
        Repository.open(tmp_path / "other")


def test_a_reftable_repository_is_refused_with_the_reason(tmp_path: Path) -> None:
    """As Git 2.45 writes it; older versions cannot make one."""
    git(tmp_path, "init", "-q", "other")
    folder = tmp_path / "other"
    git(folder, "config", "core.repositoryFormatVersion", "1")
    with (folder / ".git" / "config").open("a") as file:
        file.write("[extensions]\n\trefStorage = reftable\n")
    with pytest.raises(StateError, match=r"kept as reftable, and mpop reads files; `git refs migrate"):
        Repository.open(folder)
