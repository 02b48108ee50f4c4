"""Commits, folders and records on their way: Git packs made here, and packs from elsewhere let in step by step.

A pack that comes from elsewhere is unpacked by `git index-pack --strict` into a folder of its own, where no
reference leads and nobody looks but the checks. Only when these have passed does it move to the repository.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pygit2

from mpop_store.durable import fsync, fsync_all
from mpop_store.errors import InputError, StoreError
from mpop_store.git.git_commands import ALLOC_LIMIT, PIECE, environment, failed, lines_of, running
from mpop_store.git.history import History
from mpop_store.transfer.incoming import IncomingHistory
from mpop_store.transfer.remote import HistoryPack, HistoryRequest
from mpop_store.transfer.walking import Commits

MAX_PACK = 2**32
"""Bytes of the largest Git pack that is let in; records are small, so this is a great many of them."""
MAX_PACK_OBJECTS = 2 * 10**6
"""Objects in such a pack. Git takes memory for all that a pack announces before it has seen the first; for more of
them that would be beyond `ALLOC_LIMIT`."""
OF_FREE_SPACE = 0.5
"""Part of what is free on the disk that a pack may fill."""
PACK_HEADER = struct.Struct(">4s4xI")
QUARANTINE = "incoming-"
OUR_FAULTS = (b"No space left", b"quota exceeded", b"Read-only file system", b"Permission denied", b"error: write")
"""Parts of what Git says when it is not the pack that is wrong, but the place where it is to go."""
TOO_LARGE = b"attempting to allocate"
"""Part of what Git says when an object is larger than it may be."""
PACK_FILES = (".pack", ".rev", ".idx")
"""In the order in which they are moved: Git looks at a pack once it has an index."""


def make_pack(history: History, request: HistoryRequest) -> HistoryPack:
    """The Git objects that somebody wants and does not have. Raises InputError for a commit that is not here."""
    commits = Commits(history)
    for oid in request.wants:
        if not commits.contains(oid):
            raise InputError(f"commit {oid} is not in {history.git_directory}")
    edges = _shallow_edges(commits, request, shallow_commits(history.git_directory))
    lines = [f"--shallow {oid}" for oid in {*request.shallow, *edges}]
    lines += [*request.wants, *(f"^{oid}" for oid in request.haves if commits.contains(oid))]
    return HistoryPack(_packed(environment(history.git_directory), lines), tuple(edges))


def _packed(variables: dict[str, str], lines: list[str]) -> Iterator[bytes]:
    arguments = ["pack-objects", "--revs", "--thin", "--stdout", "--delta-base-offset", "-q"]
    with running(arguments, variables) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        process.stdin.close()
        while piece := process.stdout.read(PIECE):
            yield piece
        said = process.stderr.read()
        if process.wait():
            raise failed(arguments, said)


def _shallow_edges(commits: Commits, request: HistoryRequest, shallow: set[str]) -> list[str]:
    """The commits that the other side will have without their parents.

    Depth counts from states of the population. What leads to a state is a step of a merge request; these are read
    from the first to the last, and travel whole.
    """
    if request.depth is None:
        return sorted(shallow)
    level = {state for oid in request.wants for state in commits.states(oid)}
    seen = set(level)
    for _ in range(request.depth - 1):
        level = {parent for oid in level for parent in commits.parents(oid)} - seen
        seen |= level
    return sorted({oid for oid in level if commits.parents(oid)} | (seen & shallow))


def shallow_commits(git_directory: Path) -> set[str]:
    """The commits whose parents are not here, though they have some."""
    try:
        return set((git_directory / "shallow").read_text().split())
    except FileNotFoundError:
        return set()


class Quarantine:
    """A folder for Git objects that have not been checked yet.

    history: the repository as it would be with them; its references are those of now.
    """

    def __init__(self, history: History, folder: Path) -> None:
        self._real = history.git_directory
        self._folder = folder
        self._shallow: Path | None = None
        self.commits = Commits(history)
        self.commits.git.odb.add_disk_alternate(str(folder))
        self.history = IncomingHistory(history, folder, self.variables)

    @property
    def variables(self) -> dict[str, str]:
        """Variables with which Git sees the repository as it would be."""
        found = environment(self._real, self._folder, self._real / "objects")
        return found if self._shallow is None else found | {"GIT_SHALLOW_FILE": str(self._shallow)}

    def receive(self, pack: HistoryPack) -> None:
        """Let a pack in. Raises StoreError when it is not sound, or not whole."""
        most = min(MAX_PACK, int(OF_FREE_SPACE * shutil.disk_usage(self._folder).free))
        arguments = ["index-pack", f"--max-input-size={most}", "--strict", "--stdin", "--fix-thin"]
        edges = shallow_commits(self._real) | set(pack.shallow)
        if edges:
            self._shallow = self._folder / "shallow"
            self._shallow.write_text(_lines(edges))
        with running(arguments, self.variables) as process:
            assert process.stdin and process.stdout and process.stderr
            said: list[bytes] = []
            listener = Thread(target=lambda stream: said.append(stream.read()), args=(process.stderr,))
            listener.start()
            with suppress(BrokenPipeError):
                for piece in _of_plausible_size(pack.pieces):
                    process.stdin.write(piece)
                process.stdin.close()
            process.stdout.read()
            code = process.wait()
            listener.join()
        if code:
            reason = b"".join(said)
            if TOO_LARGE in reason:
                raise InputError(
                    f"refused (rule too-large): a Git object would unpack to more than {ALLOC_LIMIT}; "
                    "keep arrays in the store, not in records"
                )
            ours = any(words in reason for words in OUR_FAULTS)
            raise failed(arguments, reason, StoreError if ours else InputError)
        if self._shallow is not None:
            self._shallow.write_text(_lines({oid for oid in edges if self._is_cut_off(oid)}))

    def _is_cut_off(self, oid: str) -> bool:
        """Whether a commit is here, and one of its parents is not."""
        if not self.commits.contains(oid):
            return False
        self.commits.objects.check(oid)
        header = self.commits.git.read(pygit2.Oid(hex=oid))[1].partition(b"\n\n")[0]
        words = [line.split() for line in header.splitlines()]
        parents = [line[1].decode("ascii", "replace") for line in words if len(line) == 2 and line[0] == b"parent"]
        return not all(map(self.commits.contains, parents))

    def sizes(self) -> Iterator[tuple[str, str, int]]:
        """Id, type and size in bytes of every Git object that came, none of them read."""
        if not any((self._folder / "pack").iterdir()):
            return
        variables = environment(self._real, self._folder)
        for line in lines_of(["cat-file", "--batch-all-objects", "--batch-check"], variables).splitlines():
            oid, kind, size = line.split()
            yield oid, kind, int(size)

    def release(self) -> None:
        """Move everything to the repository, synced; the checks have passed. Under the repository's lock."""
        target = self._real / "objects" / "pack"
        packs = sorted((self._folder / "pack").glob("*.pack"))
        fsync_all(pack.with_suffix(suffix) for pack in packs for suffix in PACK_FILES if suffix != ".rev")
        if self._shallow is not None and self._shallow.stat().st_size:
            fsync_all([self._shallow])
            os.replace(self._shallow, self._real / "shallow")
        elif self._shallow is not None:
            (self._real / "shallow").unlink(missing_ok=True)
        target.mkdir(exist_ok=True)
        for pack in packs:
            for suffix in PACK_FILES:
                with suppress(FileNotFoundError):  # older Git writes no .rev
                    os.replace(pack.with_suffix(suffix), target / f"{pack.stem}{suffix}")
        fsync(target)


def _of_plausible_size(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A pack, unless it announces more objects than any. Raises InputError."""
    start = b""
    while len(start) < PACK_HEADER.size and (piece := next(pieces, b"")):
        start += piece
    if len(start) >= PACK_HEADER.size and PACK_HEADER.unpack_from(start)[1] > MAX_PACK_OBJECTS:
        raise InputError(f"refused: the Git pack announces more than {MAX_PACK_OBJECTS} objects")
    yield start
    yield from pieces


def _lines(oids: set[str]) -> str:
    return "".join(f"{oid}\n" for oid in sorted(oids))


@contextmanager
def quarantine(history: History) -> Iterator[Quarantine]:
    """A quarantine that is removed at the end, and after a crash by whoever opens the next one."""
    _remove_abandoned(history.private)
    folder = history.private / f"{QUARANTINE}{uuid.uuid4().hex}"
    try:
        (folder / "pack").mkdir(parents=True)
        (folder / "info").mkdir()
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            waiting = Quarantine(history, folder)
            try:
                yield waiting
            finally:
                waiting.history.close()
    except OSError as error:
        raise StoreError(f"cannot receive into {history.git_directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(private: Path) -> None:
    """Remove quarantines whose process is gone: nobody holds their lock."""
    for folder in private.glob(f"{QUARANTINE}*"):
        with suppress(OSError), (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def known_commits(history: History, most: int = 1000) -> tuple[str, ...]:
    """Commits here that another side may have too: what references lead to, and back from branches in steps."""
    commits = Commits(history)
    tips = history.refs.all()
    seen: set[str] = set()
    sampled = [
        oid
        for name, tip in tips.items()
        if name.startswith(("refs/heads/", "refs/remotes/"))
        for oid in _growing_steps(commits, tip, seen)
    ]
    return tuple(dict.fromkeys([*tips.values(), *sampled]))[:most]


def _growing_steps(commits: Commits, start: str, seen: set[str]) -> Iterator[str]:
    """First parents of a commit, the further back the fewer; ends at what has been seen from elsewhere."""
    oid, step, number = start, 1, 0
    while oid not in seen and (parents := commits.parents(oid)):
        seen.add(oid)
        oid, number = parents[0], number + 1
        if number == step:
            yield oid
            step *= 2
