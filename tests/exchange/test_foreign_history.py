"""A stranger's history that came past all checks, by plain Git or in an archive, is checked before it is used."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import pygit2
import pytest
from example_population import make_population, particle_set, refine

from mpop.errors import InputError, StateError
from mpop.population import Population
from mpop.records.arrays import particles_to_arrays
from mpop_store import canonical_json, version_of
from mpop_store.arrays.groups import write_group
from mpop_store.git.history import History
from mpop_store.transfer.vetting import HistoryVetting

SPECIES, ITEM, SOURCE = "a" * 16, "1" * 16, "5" * 16
HEAD, PART = f"species/{SPECIES}.json", f"species/{SPECIES}/11.json"
ITEM_PATH, SOURCE_PATH = f"items/11/{ITEM}.json", f"sources/{SOURCE}.json"


def run(*words: str | Path) -> commands.Done:
    return commands.run(*map(str, words))


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=Eve", "-c", "user.email=eve@lab.example", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def theirs(tmp_path: Path) -> Population:
    (tmp_path / "theirs").mkdir()
    return make_population(tmp_path / "theirs")


def forge(population: Population, changes: dict[str, Any], message: str = "Forged") -> str:
    """Commit anything at all, with versions that are right, past every policy of ours."""
    history = History(pygit2.Repository(str(population.repository.git_directory)))
    records = {
        path: record if record is None or "version" not in record else {**record, "version": version_of(record)}
        for path, record in changes.items()
    }
    head = history.head
    assert head is not None
    commit = history.write_commit(head, records, [head], message)
    git(population.root, "update-ref", "refs/heads/main", commit)
    git(population.root, "reset", "-q", "--hard")
    return commit


def changed(population: Population, path: str, **fields: Any) -> dict[str, Any]:
    record = copy.deepcopy(History(pygit2.Repository(str(population.root / ".git"))).read(path))
    return {path: record | fields}


def cloned_by_git(population: Population, folder: Path) -> Path:
    """What the page on sharing says for somebody who has used plain Git."""
    git(folder, "clone", "-q", str(population.root), "mine")
    return folder / "mine"


FORGERIES: dict[str, Callable[[Population], dict[str, Any]]] = {
    "series": lambda p: changed(p, ITEM_PATH, name="../../stolen/X"),
    "absolute": lambda p: changed(p, ITEM_PATH, name="/tmp/X"),
    "species": lambda p: changed(p, HEAD, name="..\x1b]0;x\a"),
    "id": lambda p: {"species/../x.json": None} | changed(p, HEAD, id="../../../stolen"),
    "source": lambda p: changed(p, ITEM_PATH, source="../x"),
    "group": lambda p: changed(p, HEAD, maps_object="../" * 21 + "x"),
    "file": lambda p: changed(p, ITEM_PATH, attachments={"warp.xml": "/etc/passwd"}),
    "file of the first versions": lambda p: changed(p, ITEM_PATH, warp_xml_object="/etc/passwd"),
    "name of a file": lambda p: changed(p, ITEM_PATH, attachments={"../../stolen/X": "0" * 64}),
    "part": lambda p: changed(p, PART, particles={"../../stolen": "0" * 64}),
    "box": lambda p: changed(p, HEAD, box=10**9),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_what_a_fetch_refuses_is_refused_after_a_plain_clone(
    theirs: Population, tmp_path: Path, what: str
) -> None:
    changes = {path: record for path, record in FORGERIES[what](theirs).items() if record is not None}
    commit = forge(theirs, changes)
    mine = cloned_by_git(theirs, tmp_path)
    (tmp_path / "stolen").mkdir()
    done = run("-C", mine, "fetch")
    assert done.code in (4, 5) and len(done.err.splitlines()) == 1, done.err
    for command in (
        ["export", "warp", tmp_path / "a/b"],
        ["export", "maps", tmp_path / "a/b"],
        ["species", "list"],
    ):
        done = run("-C", mine, *command)
        assert done.code == 4, (command, done.out, done.err)
        assert len(done.err.splitlines()) == 1
        for part in ("rule records-plain", f"in commit {commit[:10]}", "mpop verify", "git reset --hard"):
            assert part in done.err, done.err
    assert not list((tmp_path / "stolen").iterdir())
    assert not (tmp_path / "a/b").exists()
    done = run("-C", mine, "verify")
    assert done.code == 5 and "records-plain" in done.out and commit[:10] in done.out, done.out + done.err


@pytest.mark.parametrize("command", [["export", "warp", "out"], ["collisions"]], ids=" ".join)
def test_an_item_of_a_source_that_is_not_there_is_named(
    theirs: Population, tmp_path: Path, command: list[str]
) -> None:
    forge(theirs, changed(theirs, ITEM_PATH, source="e" * 16))
    mine = cloned_by_git(theirs, tmp_path)
    run("-C", mine, "fetch")
    done = run("-C", mine, *command)
    assert done.code == 4 and "e" * 16 in done.err and "internal error" not in done.err, done


def test_the_remedy_works(theirs: Population, tmp_path: Path) -> None:
    sound = theirs.repository.head
    forge(theirs, FORGERIES["series"](theirs))
    mine = cloned_by_git(theirs, tmp_path)
    assert run("-C", mine, "fetch").code == 4
    assert sound is not None
    git(mine, "reset", "--hard", "-q", sound)
    assert run("-C", mine, "species", "list").code == 0
    done = run("-C", mine, "verify")
    assert done.code == 5 and "records-plain" in done.out  # the remote's branch still leads to it


def test_a_history_that_is_mended_on_top_is_refused_still(theirs: Population, tmp_path: Path) -> None:
    good = changed(theirs, ITEM_PATH)
    forge(theirs, FORGERIES["series"](theirs))
    forge(theirs, good, "Mended")
    mine = cloned_by_git(theirs, tmp_path)
    assert run("-C", mine, "fetch").code == 4
    done = run("-C", mine, "species", "list")
    assert done.code == 4 and "records-plain" in done.err


def test_links_and_odd_names_of_files_are_refused(theirs: Population, tmp_path: Path) -> None:
    """A folder that is a link would have mpop write its records elsewhere."""
    (tmp_path / "stolen").mkdir()
    shutil.rmtree(theirs.root / "species")
    (theirs.root / "species").symlink_to(tmp_path / "stolen")
    git(theirs.root, "add", "-A")
    git(theirs.root, "-c", "core.hooksPath=/dev/null", "commit", "-qm", "Link")
    mine = cloned_by_git(theirs, tmp_path)
    assert run("-C", mine, "fetch").code == 4
    for command in (["species", "list"], ["source", "list"], ["export", "warp", tmp_path / "out"]):
        done = run("-C", mine, *command)
        assert done.code == 4 and "rule plain-files" in done.err, done.err
    done = run("-C", mine, "switch", "-c", "other", "HEAD~1")
    assert not list((tmp_path / "stolen").iterdir()), done.err


@pytest.mark.parametrize("way", ["pull", "am", "update-ref"])
def test_commits_that_plain_git_brings_are_checked(theirs: Population, tmp_path: Path, way: str) -> None:
    mine = tmp_path / "mine"
    assert run("clone", theirs.root, mine).code == 0
    sound = git(mine, "rev-parse", "HEAD")
    forge(theirs, FORGERIES["series"](theirs))
    if way == "pull":
        git(mine, "pull", "-q", "--no-rebase")
    elif way == "am":
        (tmp_path / "patch").write_text(git(theirs.root, "format-patch", "-1", "--stdout") + "\n")
        git(mine, "am", "-q", str(tmp_path / "patch"))
    else:
        git(mine, "fetch", "-q")
        git(mine, "update-ref", "HEAD", "origin/main")
    done = run("-C", mine, "species", "list")
    assert done.code == 4 and "rule records-plain" in done.err, done.err
    done = run("-C", mine, "diff", "HEAD~1", "HEAD")
    assert done.code == 4, done.out
    git(mine, "reset", "--hard", "-q", sound)
    assert run("-C", mine, "species", "list").code == 0


def test_sound_commits_that_plain_git_brings_are_used(theirs: Population, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    assert run("clone", theirs.root, mine).code == 0
    refine(theirs)
    git(mine, "pull", "-q", "--no-rebase")
    assert run("-C", mine, "fetch", "--all-data").code in (0, 2)
    done = run("-C", mine, "species", "list")
    assert done.code == 0, done.err


def test_a_branch_that_was_not_checked_is_not_switched_to_or_merged(theirs: Population, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    assert run("clone", theirs.root, mine).code == 0
    forge(theirs, FORGERIES["series"](theirs))
    git(mine, "fetch", "-q")
    git(mine, "branch", "bad", "origin/main")
    before = git(mine, "rev-parse", "HEAD")
    for command in (
        ["switch", "bad"],
        ["merge", "bad"],
        ["merge", "origin/main"],
        ["pull"],
        ["diff", "origin/main"],
    ):
        done = run("-C", mine, *command)
        assert done.code == 4 and "rule records-plain" in done.err, (command, done.out, done.err)
        assert git(mine, "rev-parse", "HEAD") == before
    assert run("-C", mine, "species", "list").code == 0


def test_an_archive_does_not_bring_along_that_it_was_checked(theirs: Population, tmp_path: Path) -> None:
    commit = forge(theirs, FORGERIES["series"](theirs))
    kept = theirs.root / ".git/mpop/checked/commits"
    content = json.loads(kept.read_text())
    assert content["commits"]  # theirs was made by mpop
    kept.write_bytes(canonical_json(content | {"commits": [commit]}))
    assert run("-C", theirs.root, "species", "list").code == 0  # whoever may write to .git may do anything
    with tarfile.open(tmp_path / "population.tar", "w") as tar:
        tar.add(theirs.root, "unpacked")
    with tarfile.open(tmp_path / "population.tar") as tar:
        tar.extractall(tmp_path, filter="tar")
    for copied in ("unpacked", "copied", "linked"):
        if copied == "copied":
            shutil.copytree(theirs.root, tmp_path / copied, symlinks=True)
        if copied == "linked":
            subprocess.run(["cp", "-al", theirs.root, tmp_path / copied], check=True)
        done = run("-C", tmp_path / copied, "species", "list")
        assert done.code == 4 and "rule records-plain" in done.err, (copied, done.out)


def test_what_is_staged_by_hand_is_looked_at(theirs: Population, tmp_path: Path) -> None:
    (record,) = FORGERIES["series"](theirs).values()
    (theirs.root / ITEM_PATH).write_bytes(canonical_json(record | {"version": version_of(record)}) + b"\n")
    git(theirs.root, "add", ITEM_PATH)
    done = run("-C", theirs.root, "export", "warp", tmp_path / "a/b")
    assert done.code == 4 and "in the working state is not used: its name" in done.err, done.err
    assert run("-C", theirs.root, "verify").code == 5
    git(theirs.root, "reset", "-q", "--hard")
    assert run("-C", theirs.root, "species", "list").code == 0


@pytest.mark.parametrize("path", ["/etc/shadow", "/dev/zero", "fifo", "folder", "secret"])
def test_raw_images_that_are_something_else_are_never_read(theirs: Population, tmp_path: Path, path: str) -> None:
    """Raw images may lie anywhere, so their names are followed; their content is compared with the record."""
    mine = tmp_path / "mine"
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("the password of Ada")
    place = path if path.startswith("/") else str(tmp_path / path)
    item = changed(theirs, ITEM_PATH)
    item[ITEM_PATH]["raw"][0] |= {"path": place, "size": 19}
    forge(theirs, item)
    assert run("-C", cloned_by_git(theirs, tmp_path), "fetch").code == 0
    population = Population.open(mine)
    with pytest.raises(InputError, match=r"is gone|has changed|Permission denied") as refused:
        population.tilt_image(population.item("TS_1"), 0)
    assert "password" not in str(refused.value)


def test_forged_columns_of_particles_are_one_line(theirs: Population, tmp_path: Path) -> None:
    """Arrays come without a check by `fetch`: they are looked at where they are used."""
    arrays, _ = particles_to_arrays(particle_set(0))
    columns = {"x\n_wrpAngleRot1": [0.0] * 4, "rlnImageName": ["a\nb"] * 4}
    group = write_group(theirs.objects, arrays, {"extra": columns})
    forge(theirs, changed(theirs, PART, particles={ITEM: group}))
    mine = cloned_by_git(theirs, tmp_path)
    run("-C", mine, "fetch")
    for command in (["export", "warp", tmp_path / "out"], ["diff", "HEAD~1"]):
        done = run("-C", mine, *command)
        assert done.code == 4, (command, done.out, done.err)
        assert len(done.err.splitlines()) == 1 and "internal" not in done.err
        assert "a column cannot be called" in done.err or "the history here is not used" in done.err
    assert not (tmp_path / "out").exists()


def test_maps_that_are_something_else_are_one_line(theirs: Population, tmp_path: Path) -> None:
    species = theirs.one_species("ribosome", "HEAD")
    forge(theirs, changed(theirs, f"species/{species.id}.json", maps_object=theirs.item("TS_1").model_object))
    mine = cloned_by_git(theirs, tmp_path)
    run("-C", mine, "fetch")
    done = run("-C", mine, "fsc", "ribosome", "--out", tmp_path / "out")
    assert done.code == 4, (done.out, done.err)
    assert len(done.err.splitlines()) == 1 and "internal" not in done.err
    assert "no maps of a species" in done.err or "the history here is not used" in done.err


def test_what_was_checked_is_remembered(theirs: Population, tmp_path: Path) -> None:
    """Everyday commands compare one id, and start no Git."""
    mine = cloned_by_git(theirs, tmp_path)
    assert run("-C", mine, "fetch").code == 0
    kept = mine / ".git/mpop/checked/commits"
    before = kept.read_bytes()
    assert git(mine, "rev-parse", "HEAD") in before.decode()
    assert run("-C", mine, "species", "list").code == 0
    assert kept.read_bytes() == before
    population = Population.open(mine)
    item = population.item("TS_1")
    population.stage([item.model_copy(update={"name": "TS_one"})])
    commit = population.commit("Rename")
    assert json.loads(kept.read_text())["commits"] == [commit]


def test_what_a_checked_commit_leads_to_is_not_looked_into_again(
    theirs: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        forge(theirs, {}, f"Nothing changed {number}")
    here = Population.open(theirs.root).repository
    here.records(at="HEAD")
    looked_at: list[list[str]] = []
    look = HistoryVetting._new
    monkeypatch.setattr(
        HistoryVetting, "_new", lambda self, tips: looked_at.append(list(tips)) or look(self, looked_at[-1])
    )
    listed = [commit.id for commit in here.log()]
    for commit in reversed(listed):
        here.records(at=commit)
    assert len(listed) == 4 and looked_at == []


def test_no_child_is_taken_as_checked_for_its_parent(theirs: Population) -> None:
    forged = forge(theirs, FORGERIES["series"](theirs))
    here = Population.open(theirs.root).repository
    oldest = [commit.id for commit in here.log()][-1]
    here.records(at=oldest)  # sound, by itself
    with pytest.raises(StateError, match="not used"):
        here.records(at=forged)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"commits": 5}', b"\xff\xfe"])
def test_a_damaged_memory_is_no_memory(theirs: Population, content: bytes) -> None:
    (theirs.root / ".git/mpop/checked/commits").write_bytes(content)
    assert run("-C", theirs.root, "species", "list").code == 0
    assert theirs.repository.head in (theirs.root / ".git/mpop/checked/commits").read_text()


def test_where_nothing_can_be_written_everything_is_checked_each_time(theirs: Population) -> None:
    shutil.rmtree(theirs.root / ".git/mpop/checked")
    (theirs.root / ".git/mpop/checked").write_text("in the way")
    assert run("-C", theirs.root, "species", "list").code == 0
