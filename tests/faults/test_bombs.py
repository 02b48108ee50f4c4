"""What is small on the disk or on the wire and large in memory, or no end of it: one line, and little memory."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import bombs
import pytest
from bombs import JSON, MIB, commit_record, git_pack
from fault_world import World, git
from faults import Faults, is_refusal

from mpop.cli.merge import UNDECIDED
from mpop_store import DamagedObjectError, ObjectStore
from mpop_store.arrays.manifests import read_manifest
from mpop_store.transfer.wire import FRAME, MAX_PAYLOAD, Channel, ProtocolError

SIZE = 640 * MIB
MOST = 500 * MIB
"""Bytes of memory that no process may take; one that loads the libraries needs 150 MiB."""
SECONDS = 60.0
COMMANDS = ["status", "log", "show", "diff HEAD~1", "verify", "gc", "pack"]
PATHS = [f"{kind}.json" for kind in ("items/11/1111111111111111", "species/aaaaaaaaaaaaaaaa", "jobs/11/1")]
FILES = {
    "operations.jsonl": ["op log", "undo", "gc", "status"],
    "merge.json": ["status", "merge --continue", "merge --abort"],
    "leases/0123456789abcdef0123456789abcdef.json": ["gc", "pack"],
}
"""File below .git/mpop -> commands that read it."""

MPOP = "from mpop.cli.main import main; main()"
HARMLESS = ("infinity", "a key twice", "an endless name", "an integer that floats cannot hold")
"""What only a record may not be: nobody but this process reads a message."""

RECEIVE = """
import sys
from pathlib import Path
from mpop_store import MpopError
from mpop_store.git.repository import Repository
from mpop_store.transfer.git_packs import quarantine
from mpop_store.transfer.remote import HistoryPack
from mpop_store.transfer.accepting import inspect

try:
    with quarantine(Repository.open(sys.argv[1])) as waiting:
        waiting.receive(HistoryPack(iter([Path(sys.argv[2]).read_bytes()])))
        inspect(waiting, [])
except MpopError as error:
    sys.exit(f"mpop: error: {error}")
"""


MEASURE = """
import resource
import subprocess
import sys

done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""
"""Starts a program from a small process: what a program counts as its own begins with the size of its parent."""


def run(*command: str) -> tuple[int, str, int]:
    """Exit code, errors and the most memory in bytes of a program and of those that it starts."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True)
    assert time.monotonic() - started < SECONDS, command
    return done.returncode, done.stderr, 1024 * int(done.stdout)


@pytest.mark.parametrize("kind", ["commit", "tree", "blob", "delta"])
def test_a_git_pack_that_unpacks_to_more_than_it_may(kind: str, example: World, tmp_path: Path) -> None:
    world = example.copy(tmp_path / "world")
    pack = tmp_path / "pack"
    pack.write_bytes(git_pack(kind, SIZE))
    assert pack.stat().st_size < 4 * MIB
    code, errors, memory = run(sys.executable, "-c", RECEIVE, str(world.root), str(pack))
    assert code == 1 and errors.count("\n") == 1 and "refused (rule too-large)" in errors, errors
    assert memory < MOST
    world.check()


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_a_record_that_unpacks_to_more_than_it_may(
    packed: bool, example: World, faults: Faults, tmp_path: Path
) -> None:
    world = example.copy(tmp_path / "world")
    oid = bombs.loose(world.root / ".git", SIZE)
    commit_record(world.root / ".git", PATHS[0], oid)
    if packed:
        git(world.root, "repack", "-q", "-a", "-d")
    for command in COMMANDS:
        code, errors, memory = run(sys.executable, "-c", MPOP, "-C", str(world.root), *command.split())
        assert memory < MOST, (command, memory)
        assert code in (0, 5) and errors.count("\n") <= 1 and "internal" not in errors, (command, errors)
        assert code or command in ("log", "status", "diff HEAD~1", "show", "pack"), command


@pytest.mark.parametrize("kind", JSON)
def test_a_record_of_json_that_is_more_than_it_looks_like(
    kind: str, example: World, faults: Faults, tmp_path: Path
) -> None:
    """First where it was committed by plain Git, then where it would be fetched from there."""
    world = example.copy(tmp_path / "world")
    text = tmp_path / "text"
    text.write_bytes(JSON[kind])
    for path in PATHS:
        oid = git(world.root, "hash-object", "-w", str(text)).strip()
        commit_record(world.root / ".git", path, oid)
    for command in COMMANDS:
        ended = faults.run(["-C", str(world.root), *command.split()], world.folder)
        assert ended.code in (0, 5) or is_refusal(ended), (command, ended.stderr[-2000:])
        assert "internal" not in ended.stderr and "Traceback" not in ended.stderr, (command, ended.stderr)
    cloned = faults.run(["clone", str(world.root), str(tmp_path / "clone")], tmp_path)
    assert is_refusal(cloned) and "refused" in cloned.stderr, cloned
    assert not (tmp_path / "clone").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_json_that_is_more_than_it_looks_like(
    name: str, example: World, faults: Faults, tmp_path: Path
) -> None:
    world = example.copy(tmp_path / "world")
    file = world.root / ".git" / "mpop" / name
    file.parent.mkdir(exist_ok=True)
    before = file.read_bytes() if file.exists() else None
    for kind, text in JSON.items():
        for command in FILES[name]:
            file.write_bytes(text)
            ended = faults.run(["-C", str(world.root), *command.split()], world.folder)
            assert ended.code in (0, UNDECIDED) or is_refusal(ended), (kind, command, ended.stderr[-2000:])
    file.unlink(missing_ok=True)
    if before is not None:
        file.write_bytes(before)
    world.check()


@pytest.mark.parametrize("kind", JSON)
def test_a_message_of_json_that_is_more_than_it_looks_like(kind: str) -> None:
    pieces = [JSON[kind][start : start + MAX_PAYLOAD] for start in range(0, len(JSON[kind]), MAX_PAYLOAD)]
    frames = [FRAME.pack(b"j", len(piece)) + piece for piece in pieces[:-1]]
    said = io.BytesIO(b"".join([*frames, FRAME.pack(b"J", len(pieces[-1])) + pieces[-1]]))
    channel = Channel(said, io.BytesIO(), "the other side")
    if kind in HARMLESS:
        assert isinstance(channel.receive(), dict)
    else:
        with pytest.raises(ProtocolError, match="the other side sends something else than a message"):
            channel.receive()


@pytest.mark.parametrize("kind", [kind for kind in JSON if kind not in HARMLESS])
def test_a_manifest_of_json_that_is_more_than_it_looks_like(kind: str, tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path / "objects")
    name = objects.put(JSON[kind])
    with pytest.raises(DamagedObjectError, match="is not a group of arrays"):
        read_manifest(objects, name)
