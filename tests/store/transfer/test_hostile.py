"""Whoever is on the other side means harm: nothing odd gets in, nothing breaks, refusals name their rule."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO, cast

import pytest
from exchange_world import CURRENT, allow, assert_complete, connected, directory, empty, populated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpop_store import DamagedObjectError, InputError, MpopError, StateError
from mpop_store.git.repository import Repository
from mpop_store.hashing import canonical_json
from mpop_store.objects.encoding import encode
from mpop_store.objects.promises import GivenPromises, Holder
from mpop_store.transfer.connected import ConnectedRemote
from mpop_store.transfer.directory import DirectoryRemote
from mpop_store.transfer.fetching import fetch
from mpop_store.transfer.git_packs import make_pack
from mpop_store.transfer.patience import Asking, Patience, PatientReader
from mpop_store.transfer.pushing import push
from mpop_store.transfer.remote import HistoryPack, HistoryRequest, Proof, Push
from mpop_store.transfer.serving import ANSWERS, PROTOCOL, serve
from mpop_store.transfer.wire import Channel, ConnectionCutError, ProtocolError

MAIN = "refs/heads/main"


def git(repository: Repository, *arguments: str, content: bytes = b"") -> str:
    """What plain Git says, in a repository that is being prepared."""
    environment = os.environ | {
        "GIT_DIR": str(repository.git_directory),
        **{f"GIT_{role}_{key}": "x" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *arguments], input=content, env=environment, capture_output=True, check=True)
    return done.stdout.decode().strip()


def commit_of(repository: Repository, entries: Sequence[tuple[str, str, str]]) -> str:
    """A commit on top of HEAD whose tree holds (mode, name, object) and nothing else, as no mpop would make it."""
    raw = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(oid) for mode, name, oid in entries)
    tree = git(repository, "hash-object", "-t", "tree", "-w", "--stdin", "--literally", content=raw)
    return git(repository, "commit-tree", tree, "-p", str(repository.head), "-m", "evil")


def send(repository: Repository, reach, there: Repository, commit: str, ref: str = "refs/heads/evil") -> None:
    pack = make_pack(repository, HistoryRequest((commit,))).pieces
    with reach(there) as remote:
        remote.push(Push({ref: (None, commit)}, pack))


@pytest.mark.parametrize(
    ("mode", "name", "kind"),
    [
        ("120000", "link.json", "blob"),
        ("100755", "run.sh", "blob"),
        ("160000", "module", "commit"),
        ("100644", "two words.json", "blob"),
        ("100644", "new\nline.json", "blob"),
        ("100644", "c:evil.json", "blob"),
        ("100644", "ä.json", "blob"),
        ("100644", "x" * 301, "blob"),
        ("100644", "..", "blob"),
        ("100644", ".git", "blob"),
        ("40000", "..", "tree"),
        ("100644", "a\\b", "blob"),
    ],
)
def test_odd_files_are_refused(
    here: Repository, there: Repository, reach, mode: str, name: str, kind: str
) -> None:
    oids = {
        "blob": git(here, "hash-object", "-w", "--stdin", content=b"/etc/passwd"),
        "commit": str(here.head),
        "tree": git(here, "rev-parse", "HEAD^{tree}"),
    }
    with pytest.raises(MpopError, match=r"rule plain-files|index-pack failed"):
        send(here, reach, there, commit_of(here, [(mode, name, oids[kind])]))
    assert_untouched(there)


def assert_untouched(repository: Repository) -> None:
    assert repository.refs.all() == {}
    assert list(repository.private.glob("incoming-*")) == []
    assert list((repository.git_directory / "objects" / "pack").glob("*")) == []


def test_a_deep_tree_is_refused(here: Repository, there: Repository, reach) -> None:
    tree = git(here, "hash-object", "-w", "--stdin", content=b"{}")
    mode = "100644"
    for _ in range(12):
        raw = f"{mode} a\0".encode() + bytes.fromhex(tree)
        tree, mode = git(here, "hash-object", "-t", "tree", "-w", "--stdin", content=raw), "40000"
    with pytest.raises(StateError, match="rule plain-files"):
        send(here, reach, there, git(here, "commit-tree", tree, "-m", "deep"))
    assert_untouched(there)


def test_a_record_of_absurd_size_is_refused(here: Repository, there: Repository, reach) -> None:
    blob = git(here, "hash-object", "-w", "--stdin", content=b" " * (33 * 2**20))
    with pytest.raises(StateError, match=r"rule too-large\): blob .* has 34603008 bytes"):
        send(here, reach, there, commit_of(here, [("100644", "population.json", blob)]))
    assert_untouched(there)


def test_what_is_not_a_record_is_refused(here: Repository, there: Repository, reach) -> None:
    for content in (b"not json", b"[1, 2]", b'{"groups": 5}', b'{"groups": ["../../etc"]}', b"[" * 100_000):
        blob = git(here, "hash-object", "-w", "--stdin", content=content)
        with pytest.raises(MpopError, match=r"is not a record|which is not an object"):
            send(here, reach, there, commit_of(here, [("100644", "evil.json", blob)]))
    assert_untouched(there)


def test_commits_without_their_objects_are_refused(here: Repository, there: Repository, reach) -> None:
    with pytest.raises(MpopError, match=r"refused \(rule .*object .* is not in the store at .*; push again"):
        send(here, reach, there, str(here.head))
    assert_untouched(there)


def test_a_pack_that_announces_too_much_is_refused_before_git_takes_memory_for_it(
    here: Repository, there: Repository, reach
) -> None:
    pieces = [b"PACK\0\0", b"\0\2\xff\xff", b"\xff\xff" + b"x" * 100]
    with reach(there) as remote, pytest.raises(MpopError, match="announces more than 2000000 objects"):
        remote.push(Push({MAIN: (None, here.head)}, iter(pieces)))
    assert_untouched(there)


@pytest.mark.parametrize("pack", [b"", b"PACK", b"\0" * 5000, b"PACK\0\0\0\2\0\0\xff\xff" + b"x" * 100])
def test_a_pack_that_is_none_is_refused(here: Repository, there: Repository, reach, pack: bytes) -> None:
    with reach(there) as remote, pytest.raises(MpopError, match="index-pack failed"):
        remote.push(Push({MAIN: (None, here.head)}, iter([pack])))
    assert_untouched(there)


def test_a_pack_that_is_not_whole_is_refused(here: Repository, there: Repository, reach) -> None:
    whole = b"".join(make_pack(here, HistoryRequest((str(here.head),))).pieces)
    with reach(there) as remote, pytest.raises(MpopError, match="index-pack failed"):
        remote.push(Push({MAIN: (None, here.head)}, iter([whole[: len(whole) // 2]])))
    thin = b"".join(make_pack(here, HistoryRequest((str(here.head),), (here.resolve("HEAD~1"),))).pieces)
    with reach(there) as remote, pytest.raises(MpopError, match=r"index-pack failed|history-complete"):
        remote.push(Push({MAIN: (None, here.head)}, iter([thin])))
    with reach(there) as remote, pytest.raises(MpopError, match="history-complete"):
        remote.push(Push({MAIN: (None, here.head)}))
    assert_untouched(there)


@pytest.mark.parametrize(
    "ref",
    [
        "HEAD",
        "refs/remotes/origin/main",
        "refs/mpop/other",
        "refs/heads/../../config",
        "refs/heads/a..b",
        "refs/heads/new\nline",
        "refs/heads/ä",
        "refs/heads/x.lock",
        "refs/heads/-x",
        "refs/heads/a/--force",
        "refs/tags/-d",
        "refs/mpop/requests/-x",
        "refs/heads/",
        "refs/heads/" + "x" * 300,
        "objects/ab",
        "",
    ],
)
def test_odd_references_are_refused(here: Repository, there: Repository, reach, ref: str) -> None:
    with pytest.raises(MpopError, match="rule odd-reference"):
        send(here, reach, there, str(here.head), ref)
    assert_untouched(there)


def test_branches_that_are_one_file_elsewhere_are_refused(
    here: Repository, there: Repository, reach, tmp_path: Path
) -> None:
    head = str(here.head)
    with reach(there) as remote:
        push(here, remote, {"refs/heads/Lab/one": head})
    with reach(there) as remote, pytest.raises(MpopError, match="one file on disks"):
        push(here, remote, {"refs/heads/lab/two": head})
    assert there.refs.all() == {"refs/heads/Lab/one": head}
    git(there, "update-ref", "refs/heads/lab/two", head)  # plain Git makes it on this disk
    clone = empty(tmp_path / "clone")
    with reach(there) as remote, pytest.raises(StateError, match="one file on disks"):
        fetch(clone, remote, "origin", CURRENT, allow)
    assert clone.refs.all() == {}


def test_objects_under_wrong_names_and_bombs_are_refused(there: Repository, reach) -> None:
    blob = encode(b"x" * 1000, 1)
    for name, file in [("0" * 64, blob), ("0" * 64, b""), ("0" * 64, blob[:-1]), ("0" * 64, os.urandom(500))]:
        with reach(there) as remote, pytest.raises(DamagedObjectError):
            remote.put_objects([(name, file)])
    assert list(there.objects.names()) == []


def test_a_refusal_leaves_the_next_push_free(here: Repository, there: Repository, reach) -> None:
    with pytest.raises(MpopError):
        send(here, reach, there, str(here.head))
    with reach(there) as remote:
        push(here, remote, {MAIN: here.head})
    assert_complete(there, MAIN)


ODD = [
    ("ticket", "../../../config"),
    ("ticket", "A" * 64),
    ("store", "c" * 31),
    ("who", "\x1b[2Jroot"),
    ("who", "x" * 301),
    ("who", None),
]


@pytest.mark.parametrize(
    ("verb", "field", "value"),
    [*((verb, *odd) for verb in ("promise", "release") for odd in ODD), ("promise", "proof", "complete")],
)
def test_odd_holders_are_refused(there: Repository, verb: str, field: str, value: object) -> None:
    request = {"do": verb, "proof": "sound", "ticket": "b" * 64, "store": "c" * 32, "who": "me"} | {field: value}
    assert "error" in answers_to(there, framed(request) + b"E\0\0\0\0")[-1]
    assert GivenPromises(there.private).all() == []


def test_nobody_asks_for_ten_million_names_at_once(there: Repository) -> None:
    names = b"".join(struct.pack("<cI", b"D", 2**20) + bytes(2**20) for _ in range(3)) + b"E\0\0\0\0"
    request = {"do": "promise", "proof": "sound", "ticket": "b" * 64, "store": "c" * 32, "who": "me"}
    assert "more than was agreed" in answers_to(there, framed(request) + names)[-1]["error"]["message"]


def answers_to(there: Repository, said: bytes) -> list[dict[str, Any]]:
    """The messages that a server answers with."""
    answers = io.BytesIO()
    request = io.BytesIO(framed({"mpop": PROTOCOL}) + said + framed({"do": "bye"}))
    serve(DirectoryRemote(there, allow, "there"), Channel(cast(BinaryIO, request), answers, "the client"))
    found: list[dict[str, Any]] = []
    left = answers.getvalue()
    while left:
        kind, length = struct.unpack_from("<cI", left)
        if kind == b"J":
            found.append(json.loads(left[5 : 5 + length]))
        left = left[5 + length :]
    return found


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A population that everything is thrown at."""
    return populated(tmp_path_factory.mktemp("target") / "population")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**40)
    | st.text(max_size=5)
    | st.sampled_from(["a" * 40, "b" * 64, "c" * 32]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just(MAIN), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["ticket", "store", "who", "proof", "wants", "haves", "shallow", "depth", "moves", "pack", "force"]
)
REQUESTS = st.builds(
    lambda verb, fields: {**fields, "do": verb},
    st.sampled_from([*ANSWERS, "bye", "nothing"]) | VALUES,
    st.dictionaries(KEYS, VALUES | st.sampled_from([proof.value for proof in Proof]), max_size=4),
)
TAILS = st.sampled_from([b"", b"E", b"D", b"O"]).flatmap(
    lambda kind: st.binary(max_size=80).map(
        lambda body: struct.pack("<cI", kind, len(body)) + body if kind else b""
    )
)


def framed(message: Mapping[str, Any]) -> bytes:
    text = canonical_json(message)
    return struct.pack("<cI", b"J", len(text)) + text


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(requests=st.lists(st.tuples(REQUESTS, TAILS), max_size=3), hello=st.just({"mpop": PROTOCOL}) | REQUESTS)
def test_whatever_a_client_sends_the_server_ends_in_order(target: Repository, requests, hello) -> None:
    before = target.refs.all()
    said = framed(hello) + b"".join(framed(request) + tail for request, tail in requests)
    answers = io.BytesIO()
    serve(DirectoryRemote(target, allow, "here"), Channel(io.BytesIO(said), answers, "the client"))
    assert target.refs.all() == before
    assert list(target.private.glob("incoming-*")) == []
    reader = Channel(io.BytesIO(answers.getvalue()), io.BytesIO(), "the server")
    assert reader.receive()["mpop"] == PROTOCOL  # and everything after it is frames, too


def answering(said: bytes) -> ConnectedRemote:
    """A server that says what it likes."""
    hello = framed({"mpop": PROTOCOL, "bare": True, "branch": MAIN})
    return ConnectedRemote(
        Channel(cast(BinaryIO, io.BytesIO(hello + said)), io.BytesIO(), "the server"), "the server"
    )


@settings(max_examples=60)
@given(said=st.lists(REQUESTS.map(framed) | TAILS | st.binary(max_size=40), max_size=4).map(b"".join))
def test_whatever_a_server_says_only_errors_come_of_it(said: bytes) -> None:
    asks = [
        lambda remote: remote.refs(),
        lambda remote: remote.have(["0" * 64] * 9),
        lambda remote: list(remote.objects(["0" * 64]).objects),
        lambda remote: list(remote.history(HistoryRequest(("a" * 40,))).pieces),
        lambda remote: remote.push(Push({MAIN: (None, "a" * 40)})),
        lambda remote: remote.put_objects([]),
        lambda remote: remote.identify(),
        lambda remote: remote.promise(Holder("0" * 64, "1" * 32, "me"), ["0" * 64] * 9, Proof.SOUND),
        lambda remote: remote.release(Holder("0" * 64, "1" * 32, "me"), ["0" * 64]),
    ]
    for ask in asks:
        try:
            ask(answering(said))
        except MpopError as error:
            assert str(error).isprintable()


@pytest.mark.parametrize(
    "hello",
    [b"", b"Last login: Saturday\n", framed({"mpop": 99}), framed({}), framed({"error": {"message": "no"}})],
)
def test_a_server_that_is_none_is_named(hello: bytes) -> None:
    with pytest.raises(MpopError) as caught:
        ConnectedRemote(Channel(cast(BinaryIO, io.BytesIO(hello)), io.BytesIO(), "the server"), "the server")
    assert str(caught.value).isprintable() and "\n" not in str(caught.value)


def test_references_that_a_server_may_not_set_are_left_out(here: Repository, tmp_path: Path) -> None:
    class Inventive(DirectoryRemote):
        def refs(self) -> dict[str, str]:
            odd = [
                "HEAD",
                "refs/heads/../../config",
                "refs/remotes/x/y",
                "refs/heads/a b",
                "refs/mpop/x",
                "refs/heads/-x",
                "refs/tags/-d",
            ]
            return {**super().refs(), **dict.fromkeys(odd, str(here.head))}

    clone = empty(tmp_path / "clone")
    fetch(clone, Inventive(here, allow, "there"), "origin", CURRENT, allow)
    assert list(clone.refs.all()) == ["refs/remotes/origin/main"]


def test_a_server_that_sends_other_commits_than_it_promised_is_refused(here: Repository, tmp_path: Path) -> None:
    class Promising(DirectoryRemote):
        def refs(self) -> dict[str, str]:
            return {MAIN: "1" * 40}

        def history(self, request: HistoryRequest):
            return super().history(HistoryRequest((str(here.head),)))

    clone = empty(tmp_path / "clone")
    with pytest.raises(MpopError, match="history-complete"):
        fetch(clone, Promising(here, allow, "there"), "origin", CURRENT, allow)
    assert clone.refs.all() == {}


def test_an_object_that_nobody_asked_for_is_refused(here: Repository) -> None:
    name = next(here.objects.names())

    def frames() -> Iterator[bytes]:
        blob = here.objects.read_file(name)
        payload = bytes.fromhex(name) + struct.pack("<Q", len(blob)) + blob
        yield framed({"size": 1})
        yield struct.pack("<cI", b"O", len(payload)) + payload

    with pytest.raises(ProtocolError, match="which nobody asked for"):
        list(answering(b"".join(frames())).objects(["0" * 64]).objects)
    with pytest.raises(ProtocolError, match="does not send object 0000"):
        list(answering(framed({"size": 1}) + struct.pack("<cI", b"E", 0)).objects(["0" * 64]).objects)


def test_an_endless_pack_ends_where_half_of_the_disk_would_be_full(
    here: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if there were little space: index-pack is given that limit, and nothing of the pack stays."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=8 * 2**20))
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        one = b"\xb0\x80\x08" + zlib.compress(os.urandom(2**14), 0)  # a blob of 16 KiB
        yield b"PACK" + struct.pack(">II", 2, 2 * 10**6)
        while True:
            sent += len(one)
            yield one

    class Endless(DirectoryRemote):
        def refs(self) -> dict[str, str]:
            return {MAIN: "1" * 40}

        def history(self, request: HistoryRequest) -> HistoryPack:
            return HistoryPack(endless())

    clone = empty(tmp_path / "clone")
    with pytest.raises(MpopError, match=r"index-pack failed.*maximum allowed size"):
        fetch(clone, Endless(here, allow, "there"), "origin", CURRENT, allow)
    assert sent < 16 * 2**20
    assert list(clone.private.glob("incoming-*")) == [] and clone.refs.all() == {}


class Trickling(Thread):
    """A server at the other end of a pipe that sends frames, and then one byte now and then."""

    def __init__(self, said: bytes, every_s: float | None) -> None:
        super().__init__(daemon=True)
        self._said, self._every_s = said, every_s
        read, self._write = os.pipe()
        self.pipe = io.FileIO(read)
        self.enough = Event()

    def run(self) -> None:
        os.write(self._write, self._said)
        while not self.enough.wait(self._every_s):
            os.write(self._write, b"\0")
        os.close(self._write)


@pytest.mark.parametrize("every_s", [None, 0.01], ids=["silent", "trickling"])
@pytest.mark.parametrize("what", ["message", "pack", "objects"])
def test_a_server_that_sends_too_slowly_is_given_up(every_s: float | None, what: str) -> None:
    hello = framed({"mpop": PROTOCOL, "bare": True, "branch": MAIN})
    said = {
        "message": struct.pack("<cI", b"J", 2**19),
        "pack": framed({"shallow": []}) + struct.pack("<cI", b"D", 2**19),
        "objects": framed({"size": 1}) + struct.pack("<cI", b"O", 2**19),
    }[what]
    server = Trickling(hello + said, every_s)
    server.start()
    reader = io.BufferedReader(PatientReader(server.pipe, Patience(limit=2000, time_s=0.5)))
    remote = ConnectedRemote(Channel(reader, io.BytesIO(), "the server"), "the server")
    ask = {
        "message": remote.refs,
        "pack": lambda: list(remote.history(HistoryRequest(("a" * 40,))).pieces),
        "objects": lambda: list(remote.objects(["0" * 64]).objects),
    }[what]
    started = time.monotonic()
    with pytest.raises(ConnectionCutError, match="too slowly for long and is given up"):
        ask()
    assert time.monotonic() - started < 10
    server.enough.set()


def test_a_server_that_is_slow_but_at_work_is_waited_for() -> None:
    server = Trickling(b"", 0.0005)
    server.start()
    reader = PatientReader(server.pipe, Patience(limit=200, time_s=0.5))
    arrived = 0
    while arrived < 1500:
        arrived += reader.readinto(memoryview(bytearray(10))) or 0
    server.enough.set()


def test_a_pack_that_trickles_is_given_up_though_something_always_comes() -> None:
    server = Trickling(b"", 0.001)  # at most 1 kB/s, and never silent
    server.start()
    reader = PatientReader(server.pipe, Patience(limit=20_000, time_s=0.3))
    arrived, started = 0, time.monotonic()
    with pytest.raises(TimeoutError):
        while time.monotonic() - started < 10:
            arrived += reader.readinto(memoryview(bytearray(10))) or 0
    assert 0 < arrived < 20_000 * 0.3
    server.enough.set()


def test_each_question_gives_a_server_its_time_anew() -> None:
    (answers, answering), (questions, asking) = os.pipe(), os.pipe()

    def answer() -> None:
        for _ in range(4):
            os.read(questions, 1)
            time.sleep(0.4)
            os.write(answering, b"y")

    far = Thread(target=answer)
    far.start()
    reader = PatientReader(io.FileIO(answers), Patience(limit=1000, time_s=1.0))
    writer = Asking(io.FileIO(asking, "w"), 100, reader)
    for _ in range(4):  # 1.6 s of waiting in all
        writer.write(b"?")
        writer.flush()
        assert reader.read(1) == b"y"
    far.join()
    reader.close()
    writer.close()
    os.close(questions)
    os.close(answering)


@pytest.mark.parametrize(
    ("limit", "seconds", "wrong"),
    [("0", "30", None), ("1024", "0", "lowSpeedTime.*1 second"), ("1k", "30", "lowSpeedLimit.*whole number")],
)
def test_how_slow_a_server_may_be_is_configured_as_in_git(
    here: Repository, limit: str, seconds: str, wrong: str | None
) -> None:
    assert Patience.of(here.config) == Patience()
    git(here, "config", "mpop.lowSpeedLimit", limit)
    git(here, "config", "mpop.lowSpeedTime", seconds)
    if wrong is None:
        assert Patience.of(here.config) == Patience(float(limit), float(seconds))
        return
    with pytest.raises(InputError, match=wrong):
        Patience.of(here.config)


def test_a_population_that_may_only_be_read(here: Repository, there: Repository) -> None:
    remote = DirectoryRemote(there, allow, "there", read_only=True)
    with pytest.raises(StateError, match="may be read but not changed"):
        push(here, remote, {MAIN: here.head})
    assert list(there.objects.names()) == []


def test_both_ways_of_reaching_refuse_with_the_same_words(here: Repository, there: Repository) -> None:
    said = []
    for way in (directory, connected):
        with pytest.raises(MpopError) as caught:
            send(here, way, there, str(here.head), "refs/heads/x.lock")
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]
