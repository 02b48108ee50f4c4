"""Push and fetch over every transport: what arrives, what does not travel twice, what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from exchange_world import (
    CURRENT,
    allow,
    assert_complete,
    change,
    connected,
    current,
    directory,
    empty,
    item,
    opened,
    populated,
    references_of,
    versioned,
)

from mpop_store import DamagedObjectError, MissingObjectError, StateError
from mpop_store.arrays.groups import group_objects, read_group
from mpop_store.git.history import History
from mpop_store.git.repository import ROOT_RECORD, Repository
from mpop_store.objects.promises import HeldPromises
from mpop_store.transfer.directory import DirectoryRemote
from mpop_store.transfer.dropping import drop
from mpop_store.transfer.fetching import Plan, fetch
from mpop_store.transfer.lazily import read_lazily
from mpop_store.transfer.naming import Named
from mpop_store.transfer.pushing import push
from mpop_store.transfer.remote import Description, HistoryRequest, ObjectFile, ObjectStream, Proof, Push, Remote
from mpop_store.transfer.remotes import Remotes
from mpop_store.transfer.serving import ANSWERS
from mpop_store.transfer.walking import NewCommit

MAIN = "refs/heads/main"
ORIGIN = "refs/remotes/origin/main"


def push_main(repository: Repository, reach, there: Repository, **options):
    with reach(there) as remote:
        return push(repository, remote, {MAIN: repository.head}, **options)


def fetch_all(repository: Repository, reach, there: Repository, plan: Plan = CURRENT, check=allow):
    with reach(there) as remote:
        return fetch(repository, remote, "origin", plan, check)


def objects_of(repository: Repository, at: str = "HEAD") -> set[str]:
    """Names of everything that the records of a commit need."""
    names: set[str] = set()
    for record in repository.records("", at).values():
        named = references_of(record)
        names.update(named.files, *(group_objects(repository.objects, one) for one in named.groups))
    return names


def test_a_push_brings_everything(here: Repository, there: Repository, reach) -> None:
    pushed = push_main(here, reach, there)
    assert (pushed.commits, pushed.moves) == (2, {MAIN: (None, here.head)})
    assert pushed.objects == len(set(there.objects.names())) == len(set(here.objects.names()))
    assert there.refs.get(MAIN) == here.head
    for commit in here.log():
        assert_complete(there, commit.id)
    assert there.operations.last().reason == "push"


def test_what_is_there_does_not_travel_again(here: Repository, there: Repository, reach) -> None:
    push_main(here, reach, there)
    assert push_main(here, reach, there).moves == {}
    record = here.read("items/01.json") | {"name": "renamed"}
    here.commit_changes({"items/01.json": record}, "Rename", here.head)
    pushed = push_main(here, reach, there)
    assert (pushed.commits, pushed.objects, pushed.bytes) == (1, 0, 0)


def test_a_fetch_brings_the_data_of_what_branches_hold_now(
    here: Repository, there: Repository, reach, tmp_path: Path
) -> None:
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    fetched = fetch_all(clone, reach, there)
    assert fetched.moves == {ORIGIN: (None, here.head)}
    assert_complete(clone, ORIGIN)
    old = objects_of(here, "HEAD~1") - objects_of(here)
    assert old and not any(clone.objects.has(name) for name in old)
    assert fetch_all(clone, reach, there) == type(fetched)()
    assert fetch_all(clone, reach, there, Plan(current, older=True, again=True)).bytes > 0
    assert all(clone.objects.has(name) for name in old)


def test_a_fetch_brings_only_what_changed(here: Repository, there: Repository, reach, tmp_path: Path) -> None:
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there)
    before = set(clone.objects.names())
    change(here, 1, 200)
    push_main(here, reach, there)
    fetched = fetch_all(clone, reach, there)
    assert fetched.commits == 1
    new = set(clone.objects.names()) - before
    assert new == set(map(str, new)) and len(new) == 6  # three arrays in two groups, two manifests, one file


def test_a_fetch_without_data_brings_none(here: Repository, there: Repository, reach, tmp_path: Path) -> None:
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    assert fetch_all(clone, reach, there, Plan(None)).commits == 2
    assert list(clone.objects.names()) == []
    assert clone.records("", ORIGIN) == here.records("", "HEAD")


@pytest.mark.parametrize("depth", [1, 2])
def test_a_shallow_fetch_and_a_push_from_it(
    here: Repository, there: Repository, reach, tmp_path: Path, depth: int
) -> None:
    for seed in range(300, 303):
        change(here, 2, seed)
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    assert fetch_all(clone, reach, there, Plan(current, depth=depth)).commits == depth
    clone = opened(clone.root)
    clone.switch(MAIN, "clone", start=here.head)
    assert len(list(clone.log())) == depth
    change(clone, 0, 400)
    assert push_main(clone, reach, there).commits == 1
    assert len(list(there.log())) == 6
    fetched = fetch_all(clone, reach, there, Plan(current, depth=100))
    assert fetched.commits == 6
    assert len(list(opened(clone.root).log())) == 6
    assert not (clone.git_directory / "shallow").exists()


def test_a_shallow_clone_gives_no_history_that_it_has_not(
    here: Repository, there: Repository, reach, tmp_path: Path
) -> None:
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there, Plan(current, depth=1))
    clone.switch(MAIN, "clone", start=here.head)
    other = empty(tmp_path / "other", bare=True)
    with pytest.raises(StateError, match=r"this clone holds only the newest commits.*--depth"):
        push_main(opened(clone.root), reach, other)
    assert other.refs.all() == {}


def test_have_by_every_proof(here: Repository, there: Repository, reach) -> None:
    push_main(here, reach, there)
    (group,) = here.read("items/01.json")["groups"]
    manifest, part, other = group_objects(here.objects, group)
    unknown = "0" * 64
    with reach(there) as remote:
        assert remote.have([part, unknown, manifest]) == [True, False, True]
        assert remote.have([manifest, part, unknown], Proof.COMPLETE) == [True, False, False]
        assert remote.have([manifest, part, unknown], Proof.SOUND) == [True, True, False]
        assert remote.have([]) == []
    flip(there, part)
    with reach(there) as remote:
        assert remote.have([part, other], Proof.SOUND) == [False, True]
        assert remote.have([manifest], Proof.COMPLETE) == [False]


def flip(repository: Repository, name: str) -> None:
    """Change a byte in the middle of the only copy of an object."""
    path = repository.objects.path(name)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(repository.objects.read_file(name))
        for pack in repository.objects.packed.packs():
            pack.unlink()
        repository.objects.packed.refresh()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_commits_there_are_not_lost(here: Repository, there: Repository, reach, tmp_path: Path) -> None:
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there)
    clone.switch(MAIN, "clone", start=here.head)
    change(here, 0, 500)
    push_main(here, reach, there)
    mine = change(clone, 1, 501)
    with pytest.raises(StateError, match=r"main at .* holds commits that are not in yours; `mpop pull` first"):
        push_main(clone, reach, there)
    moves = {MAIN: (here.head, mine)}
    with reach(there) as remote:  # without asking the near side
        pack = remote_pack(clone, [mine], [here.refs.get(MAIN)])
        with pytest.raises(StateError, match=r"rule fast-forward.*main holds commits that would be lost"):
            remote.push(Push(moves, pack))
    assert there.refs.get(MAIN) == here.head
    fetch_all(clone, reach, there)
    expected = {MAIN: clone.refs.get(ORIGIN)}
    with pytest.raises(
        StateError, match=r"rule protected.*its owner allows.*git config receive.denyNonFastForwards f"
    ):
        push_main(clone, reach, there, force=True, expected=expected)
    assert there.refs.get(MAIN) == here.head
    there.config["receive.denyNonFastForwards"] = False
    forced = push_main(clone, reach, there, force=True, expected=expected)
    assert forced.moves == moves
    change(here, 2, 502)
    with pytest.raises(StateError, match="not what was last fetched from there"):
        push_main(here, reach, there, force=True, expected={MAIN: here.head})


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("name", ["refs/heads/side", "refs/tags/v1", "refs/mpop/requests/" + "a" * 16])
def test_nothing_is_deleted_but_by_force_and_with_the_owners_leave(
    here: Repository, reach, tmp_path: Path, bare: bool, name: str
) -> None:
    there = empty(tmp_path / "other", bare)
    with reach(there) as remote:
        push(here, remote, {name: here.head})
    for force, rule in ((False, "fast-forward"), (True, "protected")):
        with reach(there) as remote, pytest.raises(StateError, match=f"rule {rule}.*would be deleted"):
            remote.push(Push({name: (here.head, None)}, force=force))
        assert there.refs.get(name) == here.head
    there.config["receive.denyDeletes"] = "off"
    with reach(there) as remote, pytest.raises(StateError, match="rule fast-forward"):
        remote.push(Push({name: (here.head, None)}))
    with reach(there) as remote:
        remote.push(Push({name: (here.head, None)}, force=True))
    assert there.refs.get(name) is None


def remote_pack(repository: Repository, wants: Sequence[str], haves: Iterable[str | None]) -> Iterator[bytes]:
    from mpop_store.transfer.git_packs import make_pack

    known = tuple(one for one in haves if one is not None)
    return make_pack(repository, HistoryRequest(tuple(wants), known)).pieces


def test_of_two_pushes_at_once_one_wins(here: Repository, there: Repository, reach, tmp_path: Path) -> None:
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there)
    clone.switch(MAIN, "clone", start=here.head)
    base = here.head
    mine, theirs = change(here, 0, 600), change(clone, 1, 601)

    def overtake(history: History, commits: Sequence[NewCommit]) -> None:
        """While the first push is checked, the second one happens."""
        with reach(opened(there.root)) as second:
            push(clone, second, {MAIN: theirs})

    from mpop_store.transfer.directory import DirectoryRemote

    first = DirectoryRemote(there, overtake, "there")
    with pytest.raises(StateError, match="another process moved refs/heads/main first"):
        push(here, first, {MAIN: mine})
    assert there.refs.get(MAIN) == theirs != base
    assert_complete(there, MAIN)


def test_the_branch_that_somebody_works_on_is_not_pushed_to(here: Repository, reach, tmp_path: Path) -> None:
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, here)
    clone.switch(MAIN, "clone", start=here.head)
    mine = change(clone, 0, 700)
    with pytest.raises(StateError, match=r"rule checked-out\): somebody works on main there; push to another"):
        push_main(clone, reach, here)
    with reach(here) as remote:
        push(clone, remote, {"refs/heads/other": mine})
    assert here.refs.get("refs/heads/other") == mine


def test_tags_and_requests_travel(here: Repository, there: Repository, reach, tmp_path: Path) -> None:
    root = here.write_commit(None, {"request.json": versioned(kind="request")}, [here.head], "Open")
    here.refs.update({"refs/tags/v1": (None, here.head), "refs/mpop/requests/r1": (None, root)}, "test")
    wanted = {ref: here.refs.get(ref) for ref in (MAIN, "refs/tags/v1", "refs/mpop/requests/r1")}
    with reach(there) as remote:
        push(here, remote, wanted)
    assert there.refs.all() == wanted
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there)
    assert clone.refs.all() == {ORIGIN: here.head, **{ref: oid for ref, oid in wanted.items() if ref != MAIN}}
    further = clone.write_commit(None, {"request.json": versioned(kind="request", n=1)}, [root], "Comment")
    clone.refs.update({"refs/mpop/requests/r1": (root, further)}, "test")
    assert fetch_all(clone, reach, there).moves == {}  # ours is further
    with reach(there) as remote:
        push(clone, remote, {"refs/mpop/requests/r1": further})
    assert fetch_all(here, reach, there, Plan(None)).moves["refs/mpop/requests/r1"] == (root, further)


def test_what_was_done_apart_is_reported_and_left_alone(
    here: Repository, there: Repository, reach, tmp_path: Path
) -> None:
    tags = {ref: here.head for ref in ("refs/tags/v1", "refs/mpop/requests/r1")}
    with reach(there) as remote:
        push(here, remote, {MAIN: here.head, **tags})
    clone = empty(tmp_path / "clone")
    other = clone.write_commit(None, {"request.json": versioned(kind="request")}, [], "Open")
    clone.refs.update({ref: (None, other) for ref in tags}, "test")
    assert dict(fetch_all(clone, reach, there).diverged) == dict.fromkeys(tags, here.head)
    assert clone.refs.get("refs/tags/v1") == other
    with reach(there) as remote, pytest.raises(StateError, match=r"v1.*there already"):
        push(clone, remote, {"refs/tags/v1": other})


def test_a_branch_that_is_gone_there_goes_here_too(
    here: Repository, there: Repository, reach, tmp_path: Path
) -> None:
    with reach(there) as remote:
        push(here, remote, {MAIN: here.head, "refs/heads/old": here.head})
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there)
    there.config["receive.denyDeletes"] = False
    with reach(there) as remote:
        push(here, remote, {"refs/heads/old": None}, force=True)
    assert fetch_all(clone, reach, there).moves == {"refs/remotes/origin/old": (here.head, None)}


def test_damage_on_the_sending_side_is_named_and_nothing_moves(here: Repository, there: Repository, reach) -> None:
    (group,) = here.read("items/01.json")["groups"]
    part = group_objects(here.objects, group)[1]
    flip(here, part)
    with pytest.raises(DamagedObjectError, match=part):
        push_main(here, reach, there)
    assert there.refs.all() == {}


def test_an_object_that_nobody_has_stops_a_push(here: Repository, there: Repository, reach) -> None:
    (group,) = here.read("items/01.json")["groups"]
    here.objects.path(group_objects(here.objects, group)[1]).unlink()
    with pytest.raises(MissingObjectError):
        push_main(here, reach, there)
    here.objects.path(group).unlink()
    with pytest.raises(MissingObjectError, match=r"neither here nor at .*; run `mpop fetch --all-data`"):
        push_main(here, reach, there)
    assert there.refs.all() == {}


def test_derived_groups_may_be_missing_on_both_sides(
    here: Repository, there: Repository, reach, tmp_path: Path
) -> None:
    (derived,) = here.read("items/01.json")["derived"]
    here.objects.path(group_objects(here.objects, derived)[1]).unlink()
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there)
    assert not there.objects.has(derived) and not clone.objects.has(derived)
    assert_complete(clone, ORIGIN)


class Tampering(Remote):
    """A remote that hands out other bytes than those that were asked for."""

    def __init__(self, real: Remote) -> None:
        self.address = "tampering"
        self._real = real

    def __getattr__(self, name: str):
        return getattr(self._real, name)

    describe = refs = have = put_objects = history = push = lambda self, *args: None  # replaced below
    identify = promise = release = describe

    def objects(self, names: Sequence[str]) -> ObjectStream:
        stream = self._real.objects(names)

        def changed() -> Iterator[ObjectFile]:
            objects = list(stream.objects)
            for (name, _), (_, blob) in zip(objects, objects[1:] + objects[:1], strict=True):
                yield name, blob

        return ObjectStream(changed(), stream.size)


for method in ("describe", "refs", "have", "put_objects", "history", "push", "identify", "promise", "release"):

    def forward(self, *args, _method=method):
        return getattr(self._real, _method)(*args)

    setattr(Tampering, method, forward)


def test_objects_are_hashed_when_they_arrive(here: Repository, there: Repository, reach, tmp_path: Path) -> None:
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    with reach(there) as remote, pytest.raises(DamagedObjectError, match="does not match its name"):
        fetch(clone, Tampering(remote), "origin", CURRENT, allow)
    assert clone.refs.all() == {}
    with reach(empty(tmp_path / "other", bare=True)) as remote:
        name = next(here.objects.names())
        with pytest.raises(DamagedObjectError, match="does not match its name"):
            remote.put_objects([("1" * 64, here.objects.read_file(name))])


def test_a_check_refuses_on_both_sides(here: Repository, there: Repository, reach, tmp_path: Path) -> None:
    def refuse(history: History, commits: Sequence[NewCommit]) -> None:
        assert [commit.id for commit in commits] == [commit.id for commit in reversed(list(here.log()))]
        assert history.read("items/00.json", commits[1].id) == here.read("items/00.json", "HEAD")
        raise StateError("refused: this is not how we do it")

    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    with pytest.raises(StateError, match="this is not how we do it"):
        fetch_all(clone, reach, there, check=refuse)
    assert clone.refs.all() == {} and list(clone.private.glob("incoming-*")) == []
    assert not list((clone.git_directory / "objects" / "pack").glob("*"))
    fetch_all(clone, reach, there)
    assert_complete(clone, ORIGIN)


def test_a_branch_needs_no_data_that_another_one_has(
    here: Repository, there: Repository, reach, tmp_path: Path
) -> None:
    here.refs.update({"refs/heads/side": (None, here.head)}, "test")
    side = here.write_commit(here.head, {"items/07.json": item(here, "new", 800)}, [here.head], "Side")
    here.refs.update({"refs/heads/side": (here.head, side)}, "test")
    with reach(there) as remote:
        push(here, remote, {MAIN: here.head, "refs/heads/side": side})
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there)
    assert_complete(clone, "refs/remotes/origin/side")
    assert ROOT_RECORD in clone.entries("refs/remotes/origin/side")
    one = empty(tmp_path / "one")
    fetch_all(one, reach, there, Plan(current, branches=frozenset({"side"})))
    assert list(one.refs.all()) == ["refs/remotes/origin/side"]
    with pytest.raises(StateError, match="has no branch nowhere"):
        fetch_all(one, reach, there, Plan(current, branches=frozenset({"nowhere"})))


def test_missing_objects_are_read_from_a_remote_in_one_request(
    here: Repository, there: Repository, reach, tmp_path: Path
) -> None:
    from mpop_store.transfer.sending import bring

    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there, Plan(None))
    requests: list[list[str]] = []
    with reach(there) as remote:

        def fetch_missing(names: Sequence[str]) -> None:
            requests.append(list(names))
            bring(clone.objects, remote, names)

        clone.objects.fetch_missing = fetch_missing
        (group,) = clone.read("items/01.json", ORIGIN)["groups"]
        arrays, _ = read_group(clone.objects, group)
    assert set(arrays) == {"one", "two"}
    assert len(requests) == 2 and requests[0] == [group] and len(requests[1]) == 2


def test_two_populations_with_nothing_in_common_can_be_fetched(here: Repository, reach, tmp_path: Path) -> None:
    other = populated(tmp_path / "other")
    fetch_all(here, reach, other)
    assert here.refs.get(ORIGIN) == other.head


def test_several_threads_share_one_connection(
    here: Repository, there: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_main(here, connected, there)
    clone = empty(tmp_path / "clone")
    remotes = Remotes(clone)
    remotes.add("origin", str(there.root))
    remotes.set_data("origin", "none")
    fetch_all(clone, directory, there, Plan(None))
    opened_connections: list[Remote] = []
    with connected(there) as remote:

        def connect(self: Remotes, settings: object) -> Remote:
            opened_connections.append(remote)
            return remote

        monkeypatch.setattr(Remotes, "connect", connect)
        read_lazily(clone)
        groups = [record["groups"][0] for path, record in clone.records("items/", ORIGIN).items()]
        with ThreadPoolExecutor(8) as pool:
            arrays = list(pool.map(lambda group: read_group(clone.objects, group)[0], groups * 4))
    assert len(opened_connections) == 1
    assert all(set(one) == {"one", "two"} for one in arrays)


def test_a_new_branch_costs_what_it_changes(here: Repository, there: Repository, reach, tmp_path: Path) -> None:
    push_main(here, reach, there)
    clone = empty(tmp_path / "clone")
    fetch_all(clone, reach, there)
    (file,) = clone.read("items/01.json", ORIGIN)["files"]
    clone.objects.path(file).unlink()
    side = here.write_commit(here.head, {"items/07.json": item(here, "new", 800)}, [here.head], "Side")
    with reach(there) as remote:
        push(here, remote, {"refs/heads/side": side})
    assert fetch_all(clone, reach, there).commits == 1
    assert not clone.objects.has(file)  # of a record that main has too: nobody looked at it
    assert all(clone.objects.has(name) for name in objects_of(here, side) - objects_of(here))


def test_an_older_mpop_there_can_be_fetched_from_but_promises_nothing(
    here: Repository, there: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_main(here, connected, there)
    for verb in ("identify", "promise", "release"):
        monkeypatch.delitem(ANSWERS, verb)
    monkeypatch.setattr(DirectoryRemote, "describe", lambda self: Description(self._history.refs.branch))
    clone = empty(tmp_path / "clone")
    fetch_all(clone, connected, there, Plan(None))
    (held,) = HeldPromises(clone.private).all()
    assert held.place.store == "" and set(held.groups.hex()) == {
        group for _, record in here.records("items/").items() for group in record["groups"]
    } | set(here.read("items/00.json", "HEAD~1")["groups"])
    with (
        connected(there) as remote,
        pytest.raises(
            StateError, match=r"nothing was dropped: .* does not know the request 'identify'; update it"
        ),
    ):
        drop(here, remote, "origin", Named(), Named(), str(here.head), lambda: None)
