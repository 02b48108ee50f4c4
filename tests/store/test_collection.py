"""Garbage collection: what is needed stays, what is not goes, and whoever writes meanwhile loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_history import age, commit, make, put_group, put_noise, reopen

from mpop_store import DamagedObjectError, MissingObjectError, NotFoundError
from mpop_store.arrays.groups import group_objects, read_group
from mpop_store.git.repository import Repository
from mpop_store.objects.promises import HeldPromises, Place
from mpop_store.upkeep import collection as collection_module
from mpop_store.upkeep.collection import DAY_S, collect
from mpop_store.upkeep.packing import pack


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make(tmp_path / "p")


def names(repository: Repository) -> set[str]:
    return set(reopen(repository.root).objects.names())


def step_back(repository: Repository) -> None:
    """Leave the last commit to the operation log."""
    branch, head, before = repository.refs.branch, repository.head, repository.resolve("HEAD~1")
    assert branch is not None
    repository.move({branch: (head, before)}, "undo", before)


def some_history(repository: Repository) -> dict[str, str]:
    """One object of each standing."""
    made = {"old": put_noise(repository, 1), "old derived": put_group(repository, 2)}
    commit(repository, "sources/a.json", files=[made["old"]], derived=[made["old derived"]])
    made |= {"now": put_group(repository, 3), "derived": put_group(repository, 4)}
    commit(repository, "sources/a.json", groups=[made["now"]], derived=[made["derived"]])
    made["undone"] = put_noise(repository, 5)
    commit(repository, "sources/a.json", files=[made["undone"]])
    step_back(repository)
    made["staged"] = put_group(repository, 6)
    repository.stage({"sources/b.json": {"kind": "source", "groups": [made["staged"]]}})
    made["garbage"] = put_noise(repository, 7)
    return made


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_what_something_leads_to_stays(repository: Repository, packed: bool) -> None:
    made = some_history(repository)
    if packed:
        pack(repository)
    age(repository)
    before = names(repository)
    report = collect(repository)
    gone = before - names(repository)
    assert gone == {made["garbage"], *group_objects(repository.objects, made["old derived"])}
    assert report.garbage_objects == len(gone)
    assert report.live_objects == len(before) - len(gone)
    assert report.recent_objects == 0 and report.deleted_bytes == 0 and report.leases == []
    assert report.garbage_bytes > 2000
    assert read_group(repository.objects, made["now"])[0].keys() == {"a", "b"}


def test_what_was_undone_goes_with_the_operation_that_led_to_it(repository: Repository) -> None:
    made = some_history(repository)
    age(repository)
    collect(repository, operations_days=-1.0)
    assert made["undone"] not in names(repository) and made["old"] in names(repository)


def test_branches_and_tags_lead_to_objects(repository: Repository) -> None:
    kept: list[str] = []
    for number, reference in enumerate(("refs/heads/side", "refs/tags/v1", "refs/mpop/requests/1")):
        kept.append(put_noise(repository, number))
        oid = commit(repository, "sources/a.json", files=[kept[-1]])
        repository.refs.update({reference: (None, oid)}, "test")
        step_back(repository)
    lost = put_noise(repository, 9)
    commit(repository, "sources/a.json", files=[lost])
    step_back(repository)
    age(repository)
    collect(repository, operations_days=-1.0)
    assert names(repository) == set(kept)


def test_a_dry_run_says_the_same_and_does_nothing(repository: Repository) -> None:
    some_history(repository)
    age(repository)
    before = {path: path.stat().st_mtime_ns for path in repository.private.rglob("*") if path.is_file()}
    told = collect(repository, dry_run=True)
    after = {path: path.stat().st_mtime_ns for path in repository.private.rglob("*") if path.is_file()}
    before.pop(repository.private / "maintenance", None), after.pop(repository.private / "maintenance", None)
    assert after == before
    done = collect(repository)
    assert (told.garbage_objects, told.garbage_bytes, told.live_objects) == (
        done.garbage_objects,
        done.garbage_bytes,
        done.live_objects,
    )


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_what_is_new_or_put_again_is_left_alone(repository: Repository, packed: bool) -> None:
    name = put_noise(repository, 1)
    if packed:
        pack(repository)
    age(repository)
    assert put_noise(reopen(repository.root), 1) == name
    report = collect(repository)
    assert (report.garbage_objects, report.recent_objects) == (0, 1)
    assert names(repository) == {name}


def test_records_whose_references_nobody_knows_are_not_garbage(repository: Repository) -> None:
    with pytest.raises(ValueError, match="what records name must be known"):
        collect(Repository.open(repository.root))


# --- leases ------------------------------------------------------------------------------------------------------


def test_what_is_younger_than_a_writer_at_work_is_left_alone(repository: Repository) -> None:
    older = put_noise(repository, 1)
    age(repository)
    with repository.objects.leases.hold("refine") as lease:
        younger = put_noise(repository, 2)
        os.utime(repository.objects.path(younger), (lease.started + 5, lease.started + 5))
        report = collect(repository, margin_s=0.0)
        assert names(repository) == {younger}
        assert report.leases == [str(lease)]
        assert older not in names(repository)
    os.utime(repository.objects.path(younger), (lease.started - 5, lease.started - 5))
    collect(repository, margin_s=0.0)
    assert names(repository) == set()


def test_a_writer_that_died_holds_up_nothing(repository: Repository) -> None:
    code = (
        "import os, sys; from mpop_store.objects.leases import Leases; from pathlib import Path\n"
        "with Leases(Path(sys.argv[1])).hold('refine'): print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    folder = repository.objects.leases.folder
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False, capture_output=True)
    assert len(list(folder.glob("*.json"))) == 1
    assert collect(repository).leases == []
    assert list(folder.glob("*.json")) == []


def test_trash_that_a_writer_at_work_may_have_known_is_not_deleted(repository: Repository) -> None:
    name = put_noise(repository, 1)
    age(repository)
    with repository.objects.leases.hold("refine"):
        collect(repository)
        assert collect(repository, empty_trash=True).deleted_bytes == 0
        assert repository.objects.trash.read(name) is not None
    report = collect(repository, empty_trash=True)
    assert report.deleted_bytes > 2000 and report.trash_bytes == 0
    assert repository.objects.trash.read(name) is None


# --- the trash ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("how", ["get", "has", "recheck", "read_file"])
def test_who_asks_for_an_object_in_the_trash_gets_it_back(repository: Repository, packed: bool, how: str) -> None:
    name = put_noise(repository, 1)
    content = repository.objects.get(name)
    if packed:
        pack(repository)
    age(repository)
    collect(repository)
    assert names(repository) == set()
    objects = reopen(repository.root).objects
    asked: dict[str, Callable[[], object]] = {
        "get": lambda: objects.get(name),
        "has": lambda: objects.has(name),
        "recheck": lambda: objects.recheck([name]),
        "read_file": lambda: objects.read_file(name),
    }
    asked[how]()
    assert names(repository) == {name}
    assert objects.get(name) == content


def test_trash_is_deleted_after_a_while(repository: Repository) -> None:
    name = put_noise(repository, 1)
    age(repository)
    first = collect(repository)
    assert first.trash_bytes == first.garbage_bytes > 2000
    assert collect(repository).deleted_bytes == 0
    (generation,) = repository.objects.trash.folder.iterdir()
    generation.rename(generation.with_name(f"{int(time.time() - 8 * DAY_S):012d}"))
    assert collect(repository).deleted_bytes == first.garbage_bytes
    assert not repository.objects.has(name)
    with pytest.raises(MissingObjectError, match="removed meanwhile"):
        repository.objects.recheck([name])


@pytest.mark.parametrize("how", ["flipped", "truncated"])
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_damaged_trash_is_missing_never_wrong(repository: Repository, packed: bool, how: str) -> None:
    name = put_noise(repository, 1)
    if packed:
        pack(repository)
    age(repository)
    collect(repository)
    (file,) = (path for path in repository.objects.trash.folder.rglob("*") if path.is_file())
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.unlink()
    file.write_bytes(data if how == "flipped" else data[:300])
    objects = reopen(repository.root).objects
    assert not objects.has(name)
    with pytest.raises(MissingObjectError, match=name):
        objects.get(name)


# --- packs -------------------------------------------------------------------------------------------------------


def test_a_pack_is_copied_without_its_garbage_while_others_read(repository: Repository) -> None:
    kept, garbage = [put_noise(repository, n) for n in range(5)], [put_noise(repository, n) for n in range(9, 12)]
    commit(repository, "sources/a.json", files=kept)
    pack(repository)
    age(repository)
    reader = reopen(repository.root).objects
    contents = {name: reader.get(name) for name in [*kept, *garbage]}
    (old,) = reader.packed.packs()
    assert collect(repository).garbage_objects == 3
    (new,) = reopen(repository.root).objects.packed.packs()
    assert not old.exists() and new != old
    assert {name: reader.get(name) for name in kept} == {name: contents[name] for name in kept}
    assert names(repository) == set(kept)
    assert {name: reader.get(name) for name in garbage} == {name: contents[name] for name in garbage}
    assert names(repository) == {*kept, *garbage}


def test_a_pack_with_little_garbage_is_left_as_it_is(repository: Repository) -> None:
    commit(repository, "sources/a.json", files=[put_noise(repository, n) for n in range(12)])
    put_noise(repository, 50)
    pack(repository)
    age(repository)
    before = repository.objects.packed.packs()
    report = collect(repository)
    assert (report.garbage_objects, report.recent_objects) == (0, 1)
    assert repository.objects.packed.packs() == before


# --- others at work, damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("how", ["commits", "stages", "puts again"])
def test_what_is_used_between_the_two_looks_is_kept(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, packed: bool, how: str
) -> None:
    name = put_noise(repository, 1)
    if packed:
        pack(repository)
    age(repository)
    copy = collection_module._copy_live

    def meanwhile(*words: object) -> None:
        copy(*words)  # pyright: ignore[reportArgumentType]
        other = reopen(repository.root)
        if how == "puts again":
            put_noise(other, 1)
        else:
            other.stage({"sources/b.json": {"kind": "source", "files": [name]}})
        if how == "commits":
            other.commit("Meanwhile")

    monkeypatch.setattr(collection_module, "_copy_live", meanwhile)
    report = collect(repository)
    assert (report.garbage_objects, report.recent_objects) == (0, 1)
    assert name in names(repository)


def test_a_commit_brings_back_what_was_collected_since_it_was_written(repository: Repository) -> None:
    writer = reopen(repository.root)
    group = put_group(writer, 1)
    age(repository)
    collect(repository)
    writer.stage({"sources/b.json": {"kind": "source", "groups": [group]}})
    writer.commit("Late")
    assert set(group_objects(repository.objects, group)) == names(repository)


def test_a_commit_whose_objects_are_gone_for_ever_is_refused(repository: Repository) -> None:
    writer = reopen(repository.root)
    group = put_group(writer, 1)
    head = repository.head
    assert head is not None
    age(repository)
    collect(repository)
    collect(repository, empty_trash=True)
    with pytest.raises(MissingObjectError, match=group):
        writer.commit_changes({"sources/b.json": {"kind": "source", "groups": [group]}}, "Late", head)
    assert reopen(repository.root).head == head


def test_nothing_is_moved_when_a_group_cannot_be_read(repository: Repository) -> None:
    group = put_group(repository, 1)
    commit(repository, "sources/a.json", groups=[group])
    put_noise(repository, 2)
    age(repository)
    repository.objects.path(group).chmod(0o644)
    repository.objects.path(group).write_bytes(b"nothing")
    before = names(repository)
    with pytest.raises(DamagedObjectError, match=rf"{group}.*mpop verify --repair"):
        collect(repository)
    with pytest.raises(MissingObjectError, match="in quarantine"):
        collect(repository)
    assert names(repository) == before - {group}


def test_manifests_that_another_store_has_may_be_missing_and_no_others(repository: Repository) -> None:
    group = put_group(repository, 1)
    commit(repository, "sources/a.json", groups=[group])
    repository.objects.path(group).unlink()
    asked: list[str] = []
    repository.objects.fetch_missing = asked.extend
    with pytest.raises(MissingObjectError, match="what it consists of is not known"):
        collect(repository)
    HeldPromises(repository.private).add_seen(Place("1" * 32, "origin", "/there"), "2" * 32, [group], [])
    collect(repository)
    assert asked == []


def test_a_commit_that_git_has_dropped_does_not_keep_the_rest_from_being_collected(repository: Repository) -> None:
    commit(repository, "sources/a.json", files=[put_noise(repository, 1)])
    lost = repository.head
    assert lost is not None
    step_back(repository)
    (repository.git_directory / "objects" / lost[:2] / lost[2:]).unlink()
    age(repository)
    assert collect(reopen(repository.root)).garbage_objects == 1


def test_a_missing_commit_that_a_branch_needs_does(repository: Repository) -> None:
    first = repository.head
    assert first is not None
    commit(repository, "sources/a.json", files=[put_noise(repository, 1)])
    put_noise(repository, 2)
    age(repository)
    (repository.git_directory / "objects" / first[:2] / first[2:]).unlink()
    before = names(repository)
    with pytest.raises((DamagedObjectError, NotFoundError)):
        collect(reopen(repository.root))
    assert names(repository) == before
