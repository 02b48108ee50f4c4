"""The survey of the Git side: one flipped byte anywhere is found, and what needs it is named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mpop_store.git.repository import Repository

ROOT = {"format": 1, "kind": "population", "name": "p", "version": ""}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.init(tmp_path / "p")
    made.stage({"population.json": ROOT})
    made.commit("First")
    made.stage({"items/ab/c.json": {"kind": "item", "value": 1}})
    made.commit("Second")
    return made


def git(repository: Repository, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(repository.root), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def flip(path: Path, position: int) -> None:
    """Put a file in the place of another in which one byte is different.

    Never written into the other: libgit2 has packs and their indices mapped into memory as long as any repository
    here is open, and its process dies where such a map changes.
    """
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    other = path.with_name("flipped")
    other.write_bytes(data)
    os.replace(other, path)


def loose(repository: Repository) -> dict[str, Path]:
    folder = repository.root / ".git" / "objects"
    return {path.parent.name + path.name: path for path in sorted(folder.glob("??/*"))}


def test_a_sound_repository_has_nothing_broken(repository: Repository) -> None:
    survey = repository.survey()
    assert survey.broken == {}
    assert survey.files == len(loose(repository)) == 9  # 2 commits, 4 trees, 3 files
    assert set(survey.commits) == {repository.resolve("HEAD"), repository.resolve("HEAD~1")}
    oid = repository.entries()["items/ab/c.json"]
    assert survey.records["items/ab/c.json", oid] == repository.head


def test_any_flipped_byte_of_any_git_object_is_found(repository: Repository) -> None:
    for oid, path in loose(repository).items():
        good = path.read_bytes()
        for position in range(0, len(good), 5):
            flip(path, position)
            assert oid in Repository.open(repository.root).survey().broken, (oid, position)
            path.write_bytes(good)


@pytest.mark.parametrize("suffix", ["pack", "idx"])
def test_any_flipped_byte_of_a_pack_is_found(repository: Repository, suffix: str) -> None:
    git(repository, "gc", "-q", "--prune=now")
    assert loose(repository) == {}
    (path,) = (repository.root / ".git" / "objects" / "pack").glob(f"*.{suffix}")
    assert repository.survey().broken == {}
    good = path.read_bytes()
    for position in range(0, len(good), len(good) // 40):
        flip(path, position)
        assert path.name in Repository.open(repository.root).survey().broken, position
        flip(path, position)
    assert path.read_bytes() == good


@pytest.mark.parametrize(
    ("name", "needed_by"),
    [
        ("HEAD", "refs/heads/main"),
        ("HEAD~1", "commit {head}, as its parent"),
        ("HEAD^{tree}", "folder / in commit {head}"),
        ("HEAD:items", "folder items/ in commit {head}"),
        ("HEAD:items/ab/c.json", "items/ab/c.json in commit {head}"),
        ("HEAD:README.md", "README.md in commit {head}, commit {first}"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "damaged", "cut short"])
def test_what_needs_a_broken_object_is_named(repository: Repository, name: str, needed_by: str, how: str) -> None:
    names = {
        "head": git(repository, "rev-parse", "HEAD")[:10],
        "first": git(repository, "rev-parse", "HEAD~1")[:10],
    }
    oid = git(repository, "rev-parse", name)
    path = loose(repository)[oid]
    if how == "missing":
        path.unlink()
    elif how == "damaged":
        flip(path, -1)
    else:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-3])
    assert needed_by.format(**names) in Repository.open(repository.root).survey().broken[oid]


def test_other_branches_are_looked_at_too(repository: Repository) -> None:
    git(repository, "branch", "side")
    author = ("-c", "user.name=x", "-c", "user.email=x")
    git(repository, *author, "commit", "-q", "--no-verify", "--allow-empty", "-m", "on main")
    git(repository, "update-ref", "refs/heads/side", git(repository, "rev-parse", "HEAD"))
    git(repository, "update-ref", "refs/heads/main", git(repository, "rev-parse", "HEAD~1"))
    assert len(repository.survey().commits) == 3


def test_a_reference_to_nowhere_is_named(repository: Repository) -> None:
    (repository.root / ".git/refs/heads/side").write_text("0" * 39 + "1\n")
    assert repository.survey().broken == {"0" * 39 + "1": ["refs/heads/side"]}
