"""A store has an identity that a move keeps and no copy inherits; twins by `cp -al` share no log."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from exchange_world import change, opened, populated

from mpop_store import InputError, StoreError
from mpop_store.git.repository import Repository
from mpop_store.identity import Identity
from mpop_store.transfer.remotes import Remotes


@pytest.fixture
def one(tmp_path: Path) -> Repository:
    return populated(tmp_path / "one")


def copy(repository: Repository, how: str) -> Repository:
    target = repository.root.with_name("copy")
    if how == "linked":
        subprocess.run(["cp", "-al", repository.root, target], check=True)
    else:
        shutil.copytree(repository.root, target)
    return opened(target)


def identity(repository: Repository) -> str | None:
    return opened(repository.root).identity.id


def test_a_move_keeps_it_and_links_lead_to_it(one: Repository, tmp_path: Path) -> None:
    known = identity(one)
    assert known is not None and len(known) == 32
    (tmp_path / "link").symlink_to(one.root)
    assert identity(opened(tmp_path / "link")) == known
    one.root.rename(tmp_path / "moved")
    moved = opened(tmp_path / "moved")
    assert identity(moved) == known
    change(moved, 1, 7)
    assert identity(moved) == known


@pytest.mark.parametrize("how", ["copied", "linked"])
def test_a_copy_gets_its_own_when_it_is_written(one: Repository, how: str) -> None:
    known = identity(one)
    twin = copy(one, how)
    kept = (twin.private / "identity").read_bytes()
    assert identity(twin) is None
    list(twin.log())
    twin.status()
    assert (twin.private / "identity").read_bytes() == kept  # who reads writes nothing
    change(twin, 1, 7)
    assert identity(twin) not in (None, known)
    assert identity(one) == known


@pytest.mark.parametrize("first", ["copy", "original"])
def test_twins_do_not_write_into_each_others_files(one: Repository, first: str) -> None:
    twin = copy(one, "linked")
    if first == "original":
        one, twin = twin, one
    log, reflog = Path("mpop/operations.jsonl"), Path("logs/refs/heads/main")
    note = one.git_directory / "logs/refs/heads/packs/note"  # a branch may be called as a folder of ours
    note.parent.mkdir()
    note.write_text("x")
    os.makedirs(twin.git_directory / "logs/refs/heads/packs")
    os.link(note, twin.git_directory / "logs/refs/heads/packs/note")
    before = {
        path.relative_to(one.git_directory): path.read_bytes()
        for path in one.git_directory.rglob("*")
        if path.is_file()
    }
    change(twin, 1, 7)
    after = {name: (one.git_directory / name).read_bytes() for name in before}
    assert after == before
    assert {log, reflog} < set(before)
    assert len(opened(twin.root).operations.all()) == len(opened(one.root).operations.all()) + 1
    shared = {
        str(path.relative_to(twin.git_directory))
        for path in twin.git_directory.rglob("*")
        if path.is_file() and path.stat().st_nlink > 1
    }
    immutable = ("objects/", "mpop/objects/", "mpop/packs/")
    assert shared and all(name.startswith(immutable) or name == "mpop/lock" for name in shared)
    change(one, 2, 8)  # the other way round
    assert len(opened(twin.root).operations.all()) == len(opened(one.root).operations.all())


def test_two_stores_that_share_a_secret_nobody_else_has_it(one: Repository, tmp_path: Path) -> None:
    other = populated(tmp_path / "other")
    tickets = {one.identity.ticket("a"), one.identity.ticket("b"), other.identity.ticket("a")}
    assert len(tickets) == 3 and all(len(ticket) == 64 for ticket in tickets)
    assert one.identity.ticket("a") in tickets


def test_a_damaged_one_is_made_anew_and_an_unreadable_one_is_not(one: Repository) -> None:
    known, file = identity(one), one.private / "identity"
    for content in (b"", b"{", b"[]", b'{"secret": 3}', b'{"secret": "xy", "inode": "1", "copy_of": null}'):
        file.write_bytes(content)
        assert identity(one) is None
        change(one, 1, len(content))
        assert identity(one) not in (None, known)
    file.unlink()
    file.mkdir()
    with pytest.raises(StoreError, match="cannot write to"):
        Identity(one.private).settle()


@pytest.mark.parametrize("through", ["one", "link", "one/.git", "link/../one"])
def test_a_store_is_no_remote_of_its_own(one: Repository, tmp_path: Path, through: str) -> None:
    (tmp_path / "link").symlink_to(one.root)
    with pytest.raises(InputError, match="is this population itself"):
        Remotes(one).add("me", str(tmp_path / through))
    assert Remotes(one).all() == {}
    twin = copy(one, "linked")
    Remotes(one).add("twin", str(twin.root))


def files_of(repository: Repository) -> set[str]:
    """All files of Git and ours but for objects."""
    files = (path for path in repository.git_directory.rglob("*") if path.is_file())
    names = {path.relative_to(repository.git_directory).as_posix() for path in files}
    return {name for name in names if not name.startswith("mpop/objects/")}


def test_a_death_while_files_are_unshared_leaves_nothing_that_git_sees(
    one: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = copy(one, "linked")
    known = files_of(twin)
    replace = os.replace

    def die(source: Path, target: Path) -> None:
        if Path(source).name == "tmp-unshared" and "refs" in Path(target).parts:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", die)
        change(twin, 1, 7)
    assert files_of(twin) - known == {"mpop/tmp-unshared"}
    change(opened(twin.root), 1, 7)
    assert not (twin.private / "tmp-unshared").exists()
    assert subprocess.run(["git", "-C", twin.root, "fsck", "--strict"], capture_output=True).returncode == 0
