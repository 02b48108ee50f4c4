"""What was dropped, or left at a remote, is kept there: promised, looked at, and told from what is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import as_json, mpop, run
from fault_actions import put_species_at_once

from mpop.errors import MpopError, StateError
from mpop.exchange.cloning import clone
from mpop.exchange.dropping import DropOptions, drop_data
from mpop.exchange.elsewhere import verify_elsewhere
from mpop.exchange.fetching import fetch_from
from mpop.exchange.pushing import PushOptions, push_to
from mpop.exchange.rules import RULES
from mpop.exchange.selection import Data
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop_store.arrays.groups import group_objects
from mpop_store.git.history import History
from mpop_store.git.repository import ROOT_RECORD, Repository
from mpop_store.objects.promises import DAY_S, GivenPromises, HeldPromises
from mpop_store.transfer import dropping
from mpop_store.transfer.directory import DirectoryRemote
from mpop_store.transfer.incoming import IncomingHistory
from mpop_store.transfer.promising import holder_of
from mpop_store.transfer.remote import Promise, Proof
from mpop_store.transfer.remotes import Remotes
from mpop_store.upkeep.collection import collect
from mpop_store.upkeep.packing import pack

AddressOf = Callable[[Path], str]
FAR_MPOP = str(Path(sys.executable).with_name("mpop"))


@pytest.fixture
def here(original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path) -> Population:
    """A clone with all data, over every transport."""
    clone(address_of(shared.root), tmp_path / "clone", data=Data("all"), far_mpop=FAR_MPOP)
    return Population.open(tmp_path / "clone")


@pytest.fixture
def near(original: Population, shared: Repository, tmp_path: Path) -> Population:
    """A clone with all data, of a folder."""
    clone(str(shared.root), tmp_path / "clone", data=Data("all"))
    return Population.open(tmp_path / "clone")


def drop(population: Population, remote: str = "origin", **options):
    settings = Remotes(population.repository).get(remote)
    return drop_data(population, settings, DropOptions(**(options or {"everything": True})))


def names_here(population: Population) -> set[str]:
    return set(population.objects.names())


def again(population: Population) -> Population:
    return Population.open(population.root)


def collect_all(repository: Repository) -> None:
    RULES.apply(repository)
    collect(repository, empty_trash=True, operations_days=0.0, trash_days=0.0, margin_s=-3600.0)


def remove(population: Population | Repository, *names: str) -> None:
    """Lose objects, whatever they are in."""
    for name in names:
        population.objects.path(name).unlink()


def lost(population: Population, **options) -> set[str]:
    return {problem.name for problem in verify(again(population), **options).problems}


def group_of(population: Population, item: str) -> str:
    return population.item(item).model_object


def configure(root: Path, name: str, address: str) -> None:
    """A remote that `mpop remote add` may refuse."""
    for key, value in (("url", address), ("mpop", FAR_MPOP)):
        subprocess.run(["git", "-C", root, "config", f"remote.{name}.{key}", value], check=True)


# --- the same store under another name ---------------------------------------------------------------------------


def link_objects(one: Path, other: Path) -> None:
    shutil.rmtree(other / "mpop" / "objects")
    (other / "mpop" / "objects").symlink_to(one / "mpop" / "objects")


def link_packs(one: Path, other: Path) -> None:
    shutil.rmtree(other / "mpop" / "objects")
    (other / "mpop" / "objects").mkdir()
    shutil.rmtree(other / "mpop" / "packs", ignore_errors=True)
    (other / "mpop" / "packs").symlink_to(one / "mpop" / "packs")


def link_everything(one: Path, other: Path) -> None:
    shutil.rmtree(other / "mpop")
    (other / "mpop").symlink_to(one / "mpop")


@pytest.mark.parametrize("share", [link_objects, link_packs, link_everything])
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_remote_whose_objects_are_ours_is_no_proof(
    original: Population, address_of: AddressOf, tmp_path: Path, share: Callable[[Path, Path], None], whose: str
) -> None:
    pack(original.repository)
    shutil.copytree(original.root, tmp_path / "twin")
    twin = Population.open(tmp_path / "twin")
    with twin.repository.locked():
        pass  # it is a store of its own from now on
    ours, theirs = original.repository.git_directory, twin.repository.git_directory
    share(*((theirs, ours) if whose == "ours" else (ours, theirs)))
    here = again(original)
    configure(here.root, "twin", address_of(tmp_path / "twin"))
    before = names_here(here)
    with pytest.raises(StateError, match=r"nothing was dropped: .* (itself|in the folder of this population),"):
        drop(here, "twin")
    assert names_here(again(here)) == before != set()
    assert verify(again(here)).ok


def test_a_population_is_no_proof_of_itself(original: Population, address_of: AddressOf, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original.root)
    before = names_here(original)
    for number, path in enumerate((original.root, tmp_path / "link")):
        configure(original.root, f"me{number}", address_of(path))
        with pytest.raises(StateError, match=r"nothing was dropped: .* is this population itself"):
            drop(again(original), f"me{number}")
    assert names_here(original) == before
    assert "is this population itself" in mpop(
        "-C", str(original.root), "remote", "add", "x", str(original.root), code=2
    )


def test_a_linked_copy_is_another_copy(original: Population, tmp_path: Path) -> None:
    subprocess.run(["cp", "-al", original.root, tmp_path / "twin"], check=True)
    Remotes(original.repository).add("twin", str(tmp_path / "twin"))
    dropped = drop(again(original), "twin")
    assert dropped.objects > 0
    twin = Population.open(tmp_path / "twin")
    assert verify(twin).ok and verify(again(original)).ok
    assert twin.repository.identity.id != original.repository.identity.id
    (species,) = again(original).species().values()
    assert again(original).maps(species)["half1"].shape == (20, 20, 20)


# --- a promise obliges who gives it ------------------------------------------------------------------------------


def test_what_was_promised_is_kept_whatever_happens_there(here: Population, shared: Repository) -> None:
    dropped = drop(here)
    gone = {name for held in HeldPromises(here.repository.private).all() for name in held.objects.hex()}
    assert len(gone) == dropped.objects
    for name, oid in shared.refs.all().items():
        shared.refs.update({name: (oid, None)}, "an admin starts anew")
    collect_all(Repository.open(shared.root))
    assert gone <= set(Repository.open(shared.root).objects.names())
    (species,) = again(here).species().values()
    assert again(here).maps(species)["half1"].shape == (20, 20, 20)
    assert verify_elsewhere(here.repository, 1.0, 0).ok


def test_who_promised_does_not_drop_until_it_is_released(
    here: Population, original: Population, tmp_path: Path
) -> None:
    clone(str(here.root), tmp_path / "third", data=Data("all"))
    Remotes(here.repository).add("third", str(tmp_path / "third"))
    third = Population.open(tmp_path / "third")
    drop(third)
    before = names_here(here)
    with pytest.raises(StateError, match=r"nothing was dropped: \d+ of the objects are promised to .*third/.git"):
        drop(again(here))
    assert names_here(here) == before
    told = mpop("-C", str(here.root), "remote", "promises")
    (given,) = GivenPromises(here.repository.private).all()
    assert told.startswith(given.id[:10]) and f"{len(given.objects)} objects until " in told
    assert "origin" in mpop("-C", str(third.root), "remote", "promises")
    # who holds it gives it back once it can do without
    refused = mpop("-C", str(third.root), "remote", "release", "origin", code=4)
    assert "are not here" in refused and "--all-data origin` brings them" in refused
    mpop("-C", str(third.root), "fetch", "--all-data")
    mpop("-C", str(third.root), "remote", "release", "origin")
    assert GivenPromises(here.repository.private).all() == []
    assert verify(again(third)).ok and verify(again(third)).elsewhere == 0
    drop(again(here))


def test_one_is_about_to_delete_when_the_other_drops_against_it(
    near: Population, address_of: AddressOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(near.root, tmp_path / "twin")
    roots = (near.root, tmp_path / "twin")
    for root, other in (roots, roots[::-1]):
        Remotes(Population.open(root).repository).add("twin", address_of(other), FAR_MPOP)
    before = names_here(near)
    discard = dropping.discard

    def interrupted(*arguments, **options):
        monkeypatch.undo()
        with pytest.raises(StateError, match=r"nothing was dropped: .* are promised to .*clone/.git"):
            drop(Population.open(roots[1]), "twin")
        return discard(*arguments, **options)

    monkeypatch.setattr(dropping, "discard", interrupted)
    assert drop(Population.open(roots[0]), "twin").objects > 0
    assert before <= names_here(Population.open(roots[1]))
    for root in roots:
        assert verify(Population.open(root)).ok
        assert verify_elsewhere(Population.open(root).repository, 1.0, 0).ok


def test_who_promised_may_take_it_back_and_the_holder_finds_out(near: Population, shared: Repository) -> None:
    drop(near)
    (given,) = GivenPromises(shared.private).all()
    mpop("-C", str(shared.root), "remote", "release", given.id[:12])
    assert "no remote, and no promise" in mpop("-C", str(shared.root), "remote", "release", "ffff", code=3)
    report = verify_elsewhere(near.repository, 1.0, 0)
    assert report.ok  # all is there still, and now promised again
    assert len(GivenPromises(shared.private).all()) == 1


@pytest.mark.parametrize("how", ["dropped", "lazy"])
def test_what_no_branch_there_leads_to_any_more_can_be_brought_back(
    near: Population, shared: Repository, tmp_path: Path, how: str
) -> None:
    if how == "dropped":
        drop(near)
    else:
        clone(str(shared.root), tmp_path / "lazy", data=Data("none"))
        near = Population.open(tmp_path / "lazy")
    for name, oid in shared.refs.all().items():
        shared.refs.update({name: (oid, None)}, "an admin starts anew")
    assert as_json("-C", str(near.root), "fetch", "--all-data")["bytes"] > 0
    report = verify(again(near))
    assert report.ok and report.elsewhere == 0
    if how == "dropped":
        mpop("-C", str(near.root), "remote", "release", "origin")


def test_a_failed_drop_leaves_no_promise(near: Population, shared: Repository) -> None:
    chunk = group_objects(near.objects, near.one_species("ribosome").maps_object)[-1]
    remove(shared, chunk)
    with pytest.raises(StateError, match="nothing was dropped: 1 of"):
        drop(near)
    assert GivenPromises(shared.private).all() == []
    assert list(HeldPromises(near.repository.private).all()) == []
    # but what was dropped before stays promised
    drop(near, items=("TS_1",))
    (before,) = GivenPromises(shared.private).all()
    with pytest.raises(StateError, match="nothing was dropped: 1 of"):
        drop(near)
    (after,) = GivenPromises(shared.private).all()
    assert after.objects == before.objects and len(after.objects) > 0


def test_a_read_only_remote_cannot_promise(near: Population, shared: Repository) -> None:
    holder = holder_of(near.repository, "1" * 32)
    remote = DirectoryRemote(shared, RULES.check, "there", read_only=True)
    for ask in (lambda: remote.promise(holder, [], Proof.SOUND), lambda: remote.release(holder, [])):
        with pytest.raises(StateError, match="may be read but not changed"):
            ask()


def test_a_promise_ends_and_a_clock_that_is_off_does_not_matter(near: Population, shared: Repository) -> None:
    drop(near)
    (file,) = (shared.private / "promises" / "given").iterdir()
    (given,) = GivenPromises(shared.private).all()
    asked = file.stat().st_mtime
    for name, oid in shared.refs.all().items():
        shared.refs.update({name: (oid, None)}, "gone")
    note = shared.private / "promises" / "ending" / given.id
    steps = [
        (-400, None, True),
        (-1, None, True),
        (89, None, True),
        (400, None, True),
        (1, 5, True),
        (400, None, True),
    ]
    for days, noticed, kept in [*steps, (92, 9, True), (92, -400, True), (92, 11, False)]:
        """Days since it was asked for, and since garbage collection noticed that it is over."""
        os.utime(file, (asked - days * DAY_S,) * 2)
        if noticed is not None:
            os.utime(note, (asked - noticed * DAY_S,) * 2)
        collect_all(Repository.open(shared.root))
        there = set(Repository.open(shared.root).objects.names())
        assert (there >= set(given.objects.hex())) is kept, days
        assert note.exists() is (kept and days > 90), days
    assert not file.exists()


def test_a_fetch_renews_a_promise_and_asks_again_who_forgot_it(here: Population, shared: Repository) -> None:
    drop(here)
    settings = Remotes(here.repository).get("origin")
    (given,), (held,) = GivenPromises(shared.private).all(), HeldPromises(here.repository.private).all()
    theirs = shared.private / "promises" / "given" / given.id
    for path in (theirs, held.path):
        os.utime(path, (held.renewed - 50 * DAY_S,) * 2)
    fetch_from(here.repository, settings)
    assert GivenPromises(shared.private).all()[0].until >= given.until
    theirs.unlink()  # they went back to a backup
    os.utime(held.path, (held.renewed - 2 * DAY_S,) * 2)
    fetch_from(here.repository, settings)
    assert GivenPromises(shared.private).all()[0].objects == given.objects
    assert verify(again(here)).ok


# --- what is elsewhere, and what is lost -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drop", "no data", "current", "species", "shallow"])
def test_only_what_was_left_elsewhere_is_not_lost(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path, how: str
) -> None:
    chosen = {"no data": ("none",), "current": ("current",), "species": ("species", ("ribosome",))}.get(how)
    data = None if chosen is None else Data(*chosen)
    depth = 1 if how == "shallow" else None
    clone(address_of(shared.root), tmp_path / "clone", data=data, depth=depth, far_mpop=FAR_MPOP)
    here = Population.open(tmp_path / "clone")
    if how == "drop":
        drop(here)
    report = verify(again(here))
    assert report.ok and (report.elsewhere > 0) is (how != "shallow")
    put_species_at_once(str(here.root), "b" * 16, "9")
    mine = group_objects(here.objects.offline(), again(here).one_species("b" * 16).maps_object)
    report = verify(again(here))  # to commit, some was fetched
    assert report.ok and (report.elsewhere > 0) is (how != "shallow")
    remove(here, *mine)
    for options in ({}, {"sample": 0.0}, {"repair": True}):
        found = verify(again(here), **options)
        assert {problem.name for problem in found.problems} == {mine[0]}  # it cannot say what more there was
        assert found.elsewhere == report.elsewhere
    assert "origin has not got 1 of 1" in " ".join(verify(again(here), repair=True).notes)
    assert mpop("-C", str(here.root), "verify", "--quick", code=5)


def test_a_part_of_a_group_that_was_left_there_is_not_lost(
    near: Population, shared: Repository, tmp_path: Path
) -> None:
    clone(str(shared.root), tmp_path / "lazy", data=Data("none"))
    lazy = Population.open(tmp_path / "lazy")
    group = lazy.one_species("ribosome").maps_object
    lazy.objects.get(group)
    assert lazy.objects.offline().has(group)
    assert lost(lazy) == set() and verify(lazy).elsewhere > 0


def test_a_clone_without_data_reads_each_record_once(
    original: Population, shared: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    load = History.load

    def counted(self: History, oid: str, unique_keys: bool = False) -> dict[str, Any]:
        if isinstance(self, IncomingHistory):
            read.append(oid)
        return load(self, oid, unique_keys)

    monkeypatch.setattr(History, "load", counted)
    made = clone(str(shared.root), tmp_path / "lazy", data=Data("none"))
    root = Repository.open(made.root).find(ROOT_RECORD, made.branch)  # it says first which rules hold
    assert len(set(read)) > 10
    assert {oid for oid in read if read.count(oid) > 1} <= {root}


def test_what_was_left_where_it_is_not_is_lost(near: Population, shared: Repository, tmp_path: Path) -> None:
    group = near.one_species("ribosome").maps_object
    manifest, *parts = group_objects(near.objects, group)
    remove(shared, parts[0])
    clone(str(shared.root), tmp_path / "lazy", data=Data("none"))
    assert lost(Population.open(tmp_path / "lazy")) == {manifest}


@pytest.mark.parametrize("command", ["clone", "fetch"])
def test_what_is_left_where_it_is_not_is_said_at_once(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path, command: str
) -> None:
    group = group_of(original, "TS_1")
    words = ["clone", "--no-data", "--far-mpop", FAR_MPOP, address_of(shared.root), str(tmp_path / "lazy")]
    assert run(*words).err == ""
    remove(shared, group)
    if command == "fetch":
        words = ["-C", str(tmp_path / "lazy"), "fetch", "--no-data"]
    else:
        shutil.rmtree(tmp_path / "lazy")
    done = run(*words, "--json")
    assert done.code == 0 and json.loads(done.out)["lacking"] == [group]
    assert f"lacks 1 of the objects and groups that its history names, or parts of them: {group}" in done.err
    assert len(done.err.splitlines()) == 1 and "`mpop verify` there" in done.err


def test_what_a_removed_remote_has_is_lost_until_it_is_back(near: Population, shared: Repository) -> None:
    drop(near)
    Remotes(near.repository).remove("origin")
    report = verify(again(near))
    assert not report.ok and report.elsewhere == 0
    assert all(f"`mpop remote add NAME {shared.root}`" in problem.message for problem in report.problems)
    assert "no remote any more" in mpop("-C", str(near.root), "verify", "--remote", code=5)
    Remotes(near.repository).add("again", str(shared.root))
    assert verify(again(near)).ok
    assert as_json("-C", str(near.root), "verify", "--remote")["asked"] > 0
    (species,) = again(near).species().values()
    assert again(near).maps(species)["half1"].shape == (20, 20, 20)


def replace_by_backup(shared: Repository, *without: str) -> None:
    """A copy in the place of a shared population, which has another identity, and some objects less."""
    backup = shared.root.with_name("backup")
    shutil.copytree(shared.root, backup, symlinks=True)
    shutil.rmtree(shared.root)
    backup.rename(shared.root)
    remove(shared, *without)


@pytest.mark.parametrize("ask", ["fetch", "drop", "verify"])
def test_what_a_restored_backup_has_not_is_lost(near: Population, shared: Repository, ask: str) -> None:
    clone(str(shared.root), near.root.with_name("lazy"), data=Data("none"))
    lazy = Population.open(near.root.with_name("lazy"))
    group = group_of(near, "TS_1")
    before = verify(lazy).elsewhere
    replace_by_backup(shared, group)
    words = {"fetch": ["fetch"], "verify": ["verify", "--remote", "--sample", "0%"], "drop": ["drop", "--all"]}
    mpop("-C", str(lazy.root), *words[ask], code=5 if ask == "verify" else 0)
    report = verify(again(lazy))
    assert {problem.name for problem in report.problems} == {group} and report.elsewhere == before - 1


def test_a_copy_that_lacks_a_part_does_not_stand_in_for_what_was_forgotten(
    near: Population, shared: Repository, tmp_path: Path
) -> None:
    root, part = str(near.root), group_objects(near.objects, near.one_species("ribosome").maps_object)[1]
    drop(near)
    shutil.copytree(shared.root, tmp_path / "copy")
    remove(Repository.open(tmp_path / "copy"), part)
    mpop("-C", root, "remote", "remove", "origin")
    mpop("-C", root, "remote", "add", "copy", str(tmp_path / "copy"))
    mpop("-C", root, "fetch", "--no-data")
    said = mpop("-C", root, "verify", "--remote", code=5)
    assert f"mpop remote add NAME {shared.root}" in said
    mpop("-C", root, "verify", code=5)


@pytest.mark.parametrize("how", ["dropped", "lazy"])
def test_a_remote_may_be_given_up_for_a_copy_of_it(
    near: Population, shared: Repository, tmp_path: Path, how: str
) -> None:
    if how == "dropped":
        drop(near)
    else:
        clone(str(shared.root), tmp_path / "lazy", data=Data("none"))
        near = Population.open(tmp_path / "lazy")
    root = str(near.root)
    shutil.copytree(shared.root, tmp_path / "copy")
    shutil.rmtree(shared.root)
    warned = run("-C", root, "remote", "remove", "origin").err
    assert "counts as lost" in warned
    mpop("-C", root, "remote", "add", "copy", str(tmp_path / "copy"))
    mpop("-C", root, "verify", "--remote", code=5)
    mpop("-C", root, "fetch", "--no-data")
    assert verify(again(near)).ok
    assert as_json("-C", root, "verify", "--remote")["asked"] > 0  # the copy has the same for us
    mpop("-C", root, "fetch", "--all-data")
    assert verify(again(near)).ok and as_json("-C", root, "verify", "--remote")["unreachable"] == []
    assert run("-C", root, "remote", "remove", "copy").err == ""  # all is here
    assert as_json("-C", root, "verify", "--remote")["ok"]


def test_a_part_that_nobody_has_is_lost_though_its_manifest_was_dropped(
    near: Population, shared: Repository, tmp_path: Path
) -> None:
    clone(str(shared.root), tmp_path / "lazy", data=Data("none"))
    lazy, root = Population.open(tmp_path / "lazy"), str(tmp_path / "lazy")
    manifest, *parts = group_objects(near.objects, near.one_species("ribosome").maps_object)
    lazy.objects.get(manifest)  # as when a part of the maps is looked at
    shutil.copytree(shared.root, tmp_path / "copy")
    remove(Repository.open(tmp_path / "copy"), parts[0])
    mpop("-C", root, "remote", "add", "copy", str(tmp_path / "copy"))
    mpop("-C", root, "drop", "--all", "copy")
    assert verify(again(lazy)).ok  # origin has it all
    mpop("-C", root, "fetch", "copy", "--no-data")
    mpop("-C", root, "remote", "remove", "origin")
    assert parts[0] in lost(lazy)
    # what is whole at the remote goes with its manifest
    shutil.copytree(shared.root, tmp_path / "sound")
    mpop("-C", root, "remote", "add", "sound", str(tmp_path / "sound"))
    mpop("-C", root, "fetch", "sound", "--no-data")
    mpop("-C", root, "drop", "--all", "sound")
    assert names_here(lazy) == set() and verify(again(lazy)).ok


def test_nothing_is_said_of_what_nobody_was_asked_for(near: Population, shared: Repository) -> None:
    drop(near)
    root = str(near.root)
    assert mpop("-C", root, "verify", "--remote", "--sample", "0%") == "asked remotes for 0 objects\n"
    assert mpop("-C", root, "drop", "--all") == "nothing to drop: none of these arrays is here\n"


def test_a_clone_by_an_older_mpop_is_told_to_fetch(
    original: Population, shared: Repository, tmp_path: Path
) -> None:
    clone(str(shared.root), tmp_path / "lazy", data=Data("none"))
    lazy = Population.open(tmp_path / "lazy")
    before = verify(lazy).elsewhere
    shutil.rmtree(lazy.repository.private / "promises")
    report = verify(again(lazy))
    assert not report.ok and "`mpop fetch origin` notes it" in " ".join(report.notes)
    mpop("-C", str(lazy.root), "fetch")
    report = verify(again(lazy))
    assert report.ok and report.elsewhere == before and report.notes == []


def test_a_damaged_note_is_said(near: Population) -> None:
    drop(near)
    (held,) = HeldPromises(near.repository.private).all()
    held.path.write_bytes(held.path.read_bytes()[:-1] + b"x")
    report = verify(again(near))
    assert not report.ok and f"{held.path} is damaged" in report.notes[0]
    mpop("-C", str(near.root), "fetch")
    assert verify(again(near)).ok


def test_damage_there_is_found_by_asking(here: Population, shared: Repository) -> None:
    drop(here)
    assert verify_elsewhere(here.repository, 1.0, 0).ok
    name = group_of(here, "TS_1")
    path = shared.objects.path(name)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert verify(again(here)).ok  # nobody has asked yet
    told = mpop("-C", str(here.root), "verify", "--remote", code=5)
    assert f"object {name}, which origin should have, is not there" in told
    assert lost(here) == {name}  # and from now on it is known
    assert verify_elsewhere(here.repository, 0.0, 0).ok


def test_a_server_that_lies_about_its_promises_is_found_out(
    near: Population, shared: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(self: DirectoryRemote, holder: object, names: Sequence[str], proof: Proof) -> Promise:
        return Promise([True] * len(names), len(names))

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryRemote, "promise", lie)
        dropped = drop(near)
    assert GivenPromises(shared.private).all() == []
    name = group_of(near, "TS_1")
    remove(shared, name)
    report = verify_elsewhere(near.repository, 1.0, 0)
    assert report.gone == [("origin", name)] and report.asked == dropped.objects
    assert len(GivenPromises(shared.private).all()[0].objects) == dropped.objects - 1


# --- repair ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_repair_goes_on_until_nothing_is_missing(near: Population, packed: bool) -> None:
    if packed:
        pack(near.repository)
    before = names_here(near)
    shutil.rmtree(near.repository.private / "objects")
    shutil.rmtree(near.repository.private / "packs", ignore_errors=True)
    (near.repository.private / "objects").mkdir()
    first = verify(again(near))
    assert not first.ok
    report = verify(again(near), repair=True)
    assert report.ok and set(report.repaired) == names_here(near) > {problem.name for problem in first.problems}
    assert verify(again(near)).ok
    derived = {name for one in near.species().values() for name in group_objects(near.objects, derived_of(one))}
    assert before - names_here(near) <= derived


def derived_of(species) -> str:
    return species.derived["sums"]["5" * 16]["group"]


def test_any_remote_helps_to_repair(original: Population, shared: Repository) -> None:
    settings = Remotes(original.repository).get("origin")
    push_to(original.repository, settings, PushOptions())
    name = group_of(original, "TS_1")
    remove(original, name)
    report = verify(again(original), repair=True)  # from a remote that was only added
    assert report.ok and report.repaired == [name]
    remove(original, name)
    remove(shared, name)
    report = verify(again(original), repair=True)
    assert not report.ok and report.notes == ["could not be repaired: origin has not got 1 of 1, or damaged"]
    shared.root.rename(shared.root.with_name("moved"))
    (note,) = verify(again(original), repair=True).notes
    assert note.startswith("could not be repaired: origin: ") and "no such folder" in note
    Remotes(original.repository).remove("origin")
    (note,) = verify(again(original), repair=True).notes
    assert "there is no remote to fetch from" in note


# --- whoever asks for a promise may mean harm --------------------------------------------------------------------


def test_nobody_can_take_back_what_was_promised_to_another(near: Population, shared: Repository) -> None:
    drop(near)
    (given,) = GivenPromises(shared.private).all()
    other = holder_of(Repository.open(shared.root), "2" * 32)
    remote = DirectoryRemote(shared, RULES.check, "there")
    remote.release(other, given.objects.hex())
    assert [one.objects for one in GivenPromises(shared.private).all()] == [given.objects]


def test_promises_are_bounded_by_what_is_there(
    near: Population, shared: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mpop_store.objects import promises

    monkeypatch.setattr(promises, "MAX_HOLDERS", 3)
    remote = DirectoryRemote(shared, RULES.check, "there")
    there = list(shared.objects.names())
    odd = [f"{number:064x}" for number in range(3000)]
    for number in range(3):
        answer = remote.promise(holder_of(near.repository, f"{number:032x}"), [*odd, *there], Proof.PRESENT)
        assert answer == Promise([False] * len(odd) + [True] * len(there), len(there))
    sizes = [path.stat().st_size for path in (shared.private / "promises" / "given").iterdir()]
    assert len(sizes) == 3 and max(sizes) < 32 * len(there) + 600
    with pytest.raises(MpopError, match="given to 3 others already"):
        remote.promise(holder_of(near.repository, "f" * 32), there, Proof.PRESENT)
