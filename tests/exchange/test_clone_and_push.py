"""Two labs exchange a population, over a folder and over a real ssh."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygit2
import pytest

from mpop.errors import MpopError, NotFoundError, StateError
from mpop.exchange.cloning import Cloned, clone
from mpop.exchange.fetching import fetch_from, open_to_fetch, upstream
from mpop.exchange.pushing import PushOptions, push_to
from mpop.exchange.selection import Data
from mpop.jobs.verify import verify
from mpop.merging import merge
from mpop.population import Population
from mpop_hooks.schema import references_of
from mpop_store.arrays.groups import group_objects
from mpop_store.git.repository import Repository
from mpop_store.transfer.directory import DirectoryRemote
from mpop_store.transfer.remotes import Remotes

AddressOf = Callable[[Path], str]
FAR_MPOP = str(Path(sys.executable).with_name("mpop"))


def clone_of(address_of: AddressOf, source: Path, target: Path, data: Data | None = None, **options) -> Cloned:
    return clone(address_of(source), target, data=data, far_mpop=FAR_MPOP, **options)


def edit(population: Population, item: str, bend_A: float, message: str = "Edit") -> str:
    """Commit another model of a series."""
    record = population.item(item)
    model = dataclasses.replace(population.tilt_series(record), axis_offset_y_A=np.full(3, bend_A))
    new = record.model_copy(update={"model_object": population.write_tilt_series(model), "parent": record.version})
    return population.commit_records([new], message, str(population.repository.head))


def needed(repository: Repository, at: str) -> set[str]:
    """Objects that the records of a commit need, derived ones not."""
    names: set[str] = set()
    for record in repository.records("", at).values():
        named = references_of(record)
        names.update(named.files, *(group_objects(repository.objects, one) for one in named.groups))
    return names


def push_origin(population: Population, **options):
    settings = Remotes(population.repository).get("origin")
    return push_to(population.repository, settings, PushOptions(**options))


def fetch_origin(population: Population, data: Data | None = None, depth: int | None = None):
    return fetch_from(population.repository, Remotes(population.repository).get("origin"), data, depth)


def test_a_clone_is_the_same_population(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path
) -> None:
    made = clone_of(address_of, shared.root, tmp_path / "clone")
    assert (made.branch, made.fetched.commits) == ("main", 2)
    here = Population.open(tmp_path / "clone")
    assert here.repository.head == original.repository.head
    assert here.repository.is_clean
    assert (here.root / "population.json").read_bytes() == (original.root / "population.json").read_bytes()
    (species,) = here.species().values()
    (known,) = original.species().values()
    assert species == known
    np.testing.assert_array_equal(here.maps(species)["half1"], original.maps(known)["half1"])
    old = needed(original.repository, "HEAD~1") - needed(original.repository, "HEAD")
    assert old and all(here.objects.offline().has(name) for name in old)
    report = verify(here)
    assert report.ok and report.elsewhere == 0


def test_older_versions_may_stay_until_they_are_asked_for(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path
) -> None:
    clone_of(address_of, shared.root, tmp_path / "clone", Data("current"))
    here = Population.open(tmp_path / "clone")
    old = needed(original.repository, "HEAD~1") - needed(original.repository, "HEAD")
    assert not any(here.objects.offline().has(name) for name in old)
    (before,) = here.species("HEAD~1").values()
    assert here.maps(before)["half1"].shape == (20, 20, 20)
    assert all(here.objects.offline().has(name) for name in old)


def test_a_lazy_clone_reads_when_it_is_asked(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path
) -> None:
    made = clone_of(address_of, shared.root, tmp_path / "clone", Data("none"))
    assert made.fetched.bytes == 0
    here = Population.open(tmp_path / "clone")
    assert list(here.objects.names()) == []
    report = verify(here)
    assert report.ok
    (species,) = here.species().values()
    np.testing.assert_array_equal(here.maps(species)["half2"], original.maps(species)["half2"])
    arrived = set(here.objects.names())
    assert arrived == set(group_objects(here.objects, species.maps_object))
    edit(here, "TS_2", 3.0)
    pushed = push_origin(here)
    assert (pushed.commits, pushed.objects) == (1, 1)
    assert verify(Population(shared)).ok


def test_a_clone_of_one_species_holds_its_data_and_no_other(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path
) -> None:
    (species,) = original.species().values()
    other = species.model_copy(
        update={
            "id": "c" * 16,
            "name": "proteasome",
            "maps_object": original.write_group(
                {**original.maps(species), "half1": np.ones((20, 20, 20), np.float32) * 7}
            ),
            "particles": {"1" * 16: species.particles["1" * 16]},
            "n_particles": 4,
            "derived": {},
        }
    )
    original.stage([other])
    original.commit("Add proteasome")
    push_origin(original)
    clone_of(address_of, shared.root, tmp_path / "clone", Data("species", ("proteasome",)))
    here = Population.open(tmp_path / "clone")
    store = here.objects.offline()
    assert all(store.has(name) for name in group_objects(store, here.one_species("proteasome").maps_object))
    assert store.has(here.item("TS_1").model_object)
    assert not store.has(here.one_species("ribosome").maps_object)
    assert store.has(species.particles["1" * 16]) and not store.has(species.particles["2" * 16])
    assert verify(here).ok
    with pytest.raises(NotFoundError, match="no species 'apoferritin' on any branch there"):
        clone_of(address_of, shared.root, tmp_path / "none", Data("species", ("apoferritin",)))
    assert not (tmp_path / "none").exists()


def test_a_shallow_clone(original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path) -> None:
    clone_of(address_of, shared.root, tmp_path / "clone", depth=1)
    here = Population.open(tmp_path / "clone")
    assert [commit.subject for commit in here.repository.log()] == ["Refine"]
    fetch_origin(here, depth=2)
    here = Population.open(tmp_path / "clone")
    assert [commit.subject for commit in here.repository.log()] == ["Refine", "Import"]


def test_a_bare_clone_can_be_pushed_to(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path
) -> None:
    made = clone_of(address_of, shared.root, tmp_path / "mirror", Data("all"), bare=True)
    assert made.root == tmp_path / "mirror"
    mirror = Repository.open(made.root)
    assert mirror.is_bare and mirror.refs.get("refs/heads/main") == original.repository.head
    Remotes(original.repository).add("mirror", address_of(made.root), FAR_MPOP)
    edit(original, "TS_1", 4.0)
    push_to(original.repository, Remotes(original.repository).get("mirror"), PushOptions())
    assert mirror.refs.get("refs/heads/main") == original.repository.head
    assert verify(Population(mirror)).ok


def test_two_labs_pull_and_push(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path
) -> None:
    clone_of(address_of, shared.root, tmp_path / "b")
    lab_b = Population.open(tmp_path / "b")
    edit(original, "TS_1", 5.0)
    push_origin(original)
    edit(lab_b, "TS_2", 6.0)
    with pytest.raises(StateError, match="`mpop pull` first"):
        push_origin(lab_b)
    fetch_origin(lab_b)
    assert merge(lab_b, upstream(lab_b.repository, Remotes(lab_b.repository).get("origin"))).status == "merged"
    push_origin(lab_b)
    fetch_origin(original)
    assert merge(original, "origin/main").status == "fast-forward"
    assert original.repository.head == lab_b.repository.head == shared.refs.get("refs/heads/main")
    assert original.items() == lab_b.items()
    for one in (original, lab_b, Population(shared)):
        assert verify(one).ok


def test_a_push_asks_once_which_references_there_are(
    original: Population, shared: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone(str(shared.root), tmp_path / "clone")
    here = Population.open(tmp_path / "clone")
    edit(here, "TS_2", 3.0)
    asked: list[str] = []
    listed = DirectoryRemote.refs

    def refs(remote: DirectoryRemote) -> dict[str, str]:
        asked.append(remote.address)
        return listed(remote)

    monkeypatch.setattr(DirectoryRemote, "refs", refs)
    assert push_origin(here).commits == 1
    assert asked == [str(shared.root)]


def test_policies_refuse_a_push_with_the_same_words_everywhere(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path
) -> None:
    record = original.repository.read("items/11/" + "1" * 16 + ".json") | {"name": "forged"}
    head = str(original.repository.head)
    original.repository.commit_changes({"items/11/" + "1" * 16 + ".json": record}, "Forge", head)
    Remotes(original.repository).add("there", address_of(shared.root), FAR_MPOP)
    with pytest.raises(StateError) as caught:
        push_to(original.repository, Remotes(original.repository).get("there"), PushOptions())
    said = str(caught.value)
    assert said.startswith("refused: the version of this record is not the hash of its content")
    assert "rule versions-derive" in said and "let mpop write them" in said
    assert original.repository.head[:10] in said
    assert shared.refs.get("refs/heads/main") == head


def test_a_push_cannot_take_the_population_away(
    original: Population, shared: Repository, address_of: AddressOf
) -> None:
    history = original.repository
    head = str(history.head)
    gone = history.write_commit(
        head, {"population.json": None, "items/11/" + "1" * 16 + ".json": None}, [head], "x"
    )
    history.refs.update({"refs/heads/main": (head, gone)}, "test")
    Remotes(history).add("there", address_of(shared.root), FAR_MPOP)
    with pytest.raises(StateError, match=r"rule nothing-lost.*takes away population\.json"):
        push_to(history, Remotes(history).get("there"), PushOptions())
    assert shared.refs.get("refs/heads/main") == head


def test_forged_records_are_not_fetched(original: Population, address_of: AddressOf, tmp_path: Path) -> None:
    path = "items/11/" + "1" * 16 + ".json"
    record = original.repository.read(path) | {"name": "forged"}
    original.repository.commit_changes({path: record}, "Forge", str(original.repository.head))
    with pytest.raises(StateError, match="rule versions-derive"):
        clone_of(address_of, original.root, tmp_path / "clone")
    assert not (tmp_path / "clone").exists()


def test_a_format_of_the_future_is_refused(original: Population, address_of: AddressOf, tmp_path: Path) -> None:
    from mpop_store import version_of

    record = original.repository.read("population.json") | {"format": 2}
    record["version"] = version_of(record)
    original.repository.commit_changes({"population.json": record}, "Future", str(original.repository.head))
    with pytest.raises(MpopError, match=r"has format 2, this mpop reads 1; update mpop"):
        clone_of(address_of, original.root, tmp_path / "clone")
    assert not (tmp_path / "clone").exists()


def test_what_is_not_there_is_named(address_of: AddressOf, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere: no such folder"):
        clone_of(address_of, tmp_path / "nowhere", tmp_path / "clone")
    (tmp_path / "plain").mkdir()
    with pytest.raises(NotFoundError, match="is not inside a population"):
        clone_of(address_of, tmp_path / "plain", tmp_path / "clone")
    Repository.init(tmp_path / "empty", bare=True)
    with pytest.raises(StateError, match="holds no commits yet; push to it first"):
        clone_of(address_of, tmp_path / "empty", tmp_path / "clone")
    assert not (tmp_path / "clone").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(StateError, match="is there already and is not empty"):
        clone_of(address_of, tmp_path / "empty", tmp_path / "full")
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


def test_a_folder_inside_a_population_is_not_one(original: Population, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is a folder inside the population"):
        clone(str(original.root / "items"), tmp_path / "clone")


def test_a_plain_git_clone_becomes_whole(original: Population, shared: Repository, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", str(shared.root), str(tmp_path / "plain")], check=True)
    with pytest.raises(StateError, match="mpop fetch"):
        Population.open(tmp_path / "plain")
    repository = open_to_fetch(tmp_path / "plain")
    fetched = fetch_from(repository, Remotes(repository).default(repository.refs.branch))
    assert fetched.bytes > 0
    here = Population.open(tmp_path / "plain")
    assert verify(here).ok
    (species,) = here.species().values()
    assert all(here.objects.offline().has(name) for name in group_objects(here.objects, species.maps_object))
    edit(here, "TS_1", 9.0)
    push_origin(here)
    assert shared.refs.get("refs/heads/main") == here.repository.head


def test_a_clone_that_broke_off_is_finished_by_the_same_command(
    original: Population, shared: Repository, tmp_path: Path
) -> None:
    class PlugPulledError(Exception):
        pass

    def pull_the_plug(task: str, done: int, total: int) -> None:
        if done > 0.3 * total:
            raise PlugPulledError

    with pytest.raises(PlugPulledError):
        clone(str(shared.root), tmp_path / "clone", progress=pull_the_plug)
    arrived = list((tmp_path / "clone" / ".git" / "mpop").rglob("objects/*/*"))
    assert arrived
    with pytest.raises(MpopError):
        Population.open(tmp_path / "clone")
    made = clone(str(shared.root), tmp_path / "clone")
    assert made.fetched.commits == 2
    assert verify(Population.open(tmp_path / "clone")).ok
    with pytest.raises(StateError, match="is there already"):
        clone(str(shared.root), tmp_path / "clone")


def test_damage_there_is_not_brought_here(original: Population, shared: Repository, tmp_path: Path) -> None:
    (species,) = original.species().values()
    name = group_objects(original.objects, species.maps_object)[1]
    store = shared.objects
    path = store.path(name)
    content = bytearray(store.read_file(name))
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(MpopError, match=name):
        clone(str(shared.root), tmp_path / "clone")
    (there,) = [one for one in verify(Population(Repository.open(shared.root))).problems if one.name == name]
    assert there.kind == "object"


def test_every_version_can_be_brought_at_once(
    original: Population, shared: Repository, address_of: AddressOf, tmp_path: Path
) -> None:
    clone_of(address_of, shared.root, tmp_path / "clone", Data("none"))
    here = Population.open(tmp_path / "clone")
    fetch_origin(here, Data("current"))
    old = needed(original.repository, "HEAD~1") - needed(original.repository, "HEAD")
    assert not any(here.objects.offline().has(name) for name in old)
    assert fetch_origin(here, Data("all")).bytes > 0
    assert all(here.objects.offline().has(name) for name in old)
    assert fetch_origin(here).bytes == 0


def test_a_folder_of_another_user_must_be_trusted_first(
    shared: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        for path in (shared.root, *shared.root.rglob("*")):
            os.chown(path, 65534, 65534)
    else:  # only root can give a folder away

        def refuse(path: str) -> None:
            raise pygit2.GitError(f"repository path '{shared.root}' is not owned by current user")

        monkeypatch.setattr(pygit2, "Repository", refuse)
    advice = rf"{shared.root} belongs to another user; .* `git config --global --add safe.directory {shared.root}`"
    with pytest.raises(StateError, match=advice):
        Repository.open(shared.root)
