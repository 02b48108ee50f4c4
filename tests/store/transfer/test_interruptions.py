"""The connection is cut, or the process killed: nothing half done is seen, and the next try goes on from there."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from exchange_world import CURRENT, allow, assert_complete, change, connected, directory, empty, opened

from mpop_store import StoreError
from mpop_store.git.repository import Repository
from mpop_store.transfer.connected import ConnectedRemote
from mpop_store.transfer.directory import DirectoryRemote
from mpop_store.transfer.fetching import fetch
from mpop_store.transfer.pushing import push
from mpop_store.transfer.remote import Remote
from mpop_store.transfer.serving import serve
from mpop_store.transfer.wire import Channel

MAIN = "refs/heads/main"
ORIGIN = "refs/remotes/origin/main"
NEVER = 2**62


class CutOff(io.RawIOBase):
    """A stream that breaks after so many bytes, as when somebody pulls the plug."""

    def __init__(self, real: BinaryIO, left: int, sockets: list[socket.socket]) -> None:
        self._real = real
        self._sockets = sockets
        self.left = left

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            for one in self._sockets:
                one.shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError("cut")

    def read(self, size: int = -1) -> bytes:
        self._spend(size)
        return self._real.read(size)

    def write(self, data) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._spend(len(data))
        return self._real.write(data)

    def flush(self) -> None:
        self._real.flush()

    def close(self) -> None:
        self._real.close()


@contextmanager
def cut_after(repository: Repository, received: int = NEVER, sent: int = NEVER) -> Iterator[Remote]:
    """A connection that is cut when the near side has received, or sent, so many bytes."""
    near, far = socket.socketpair()
    far_reader, far_writer = far.makefile("rb"), far.makefile("wb")

    def work() -> None:
        channel = Channel(cast(BinaryIO, far_reader), cast(BinaryIO, far_writer), "the client")
        serve(DirectoryRemote(repository, allow, "here"), channel)
        channel.close()

    thread = threading.Thread(target=work)
    thread.start()
    reader = CutOff(cast(BinaryIO, near.makefile("rb")), received, [near, far])
    writer = CutOff(cast(BinaryIO, near.makefile("wb")), sent, [near, far])
    try:
        with ConnectedRemote(Channel(cast(BinaryIO, reader), cast(BinaryIO, writer), "there"), "there") as remote:
            yield remote
    finally:
        near.close()
        far.close()
        thread.join(timeout=10)
        assert not thread.is_alive()


def assert_nothing_is_half_done(repository: Repository) -> None:
    assert repository.refs.all() == {}
    assert list(repository.private.glob("incoming-*")) == []
    assert list(repository.objects.leases.folder.glob("*")) == []
    for name in repository.objects.names():
        repository.objects.get(name)


def test_a_push_that_is_cut_goes_on_where_it_was(here: Repository, there: Repository) -> None:
    brought, cuts = 0, 0
    for sent in range(100, 10**7, 40_000):
        try:
            with cut_after(there, sent=sent) as remote:
                pushed = push(here, remote, {MAIN: here.head})
            break
        except StoreError as error:
            assert "was cut; run the command again, what has arrived is kept" in str(error)
            cuts += 1
            assert_nothing_is_half_done(there)
            now = len(list(there.objects.names()))
            assert now >= brought
            brought = now
    assert cuts >= 3
    assert pushed.objects == len(list(there.objects.names())) - brought
    assert_complete(there, MAIN)


def test_a_fetch_that_is_cut_goes_on_where_it_was(here: Repository, there: Repository, tmp_path: Path) -> None:
    with directory(there) as remote:
        push(here, remote, {MAIN: here.head})
    clone = empty(tmp_path / "clone")
    brought, cuts = 0, 0
    for received in range(10, 10**7, 30_000):
        try:
            with cut_after(there, received=received) as remote:
                fetch(clone, remote, "origin", CURRENT, allow)
            break
        except StoreError:
            cuts += 1
            assert_nothing_is_half_done(clone)
            now = len(list(clone.objects.names()))
            assert now >= brought
            brought = now
    assert cuts >= 3
    assert brought > 0
    assert_complete(clone, ORIGIN)


@pytest.mark.parametrize("sent", [0, 20, 60, 100, 150, 300, 1000])
def test_a_connection_that_is_cut_early_is_one_line(here: Repository, there: Repository, sent: int) -> None:
    with pytest.raises(StoreError) as caught, cut_after(there, sent=sent) as remote:
        push(here, remote, {MAIN: here.head})
    assert "\n" not in str(caught.value)
    assert_nothing_is_half_done(there)


WORKER = """
import sys
sys.path.insert(0, {support!r})
from pathlib import Path
import exchange_world as world
from mpop_store.transfer import fetching, pushing, wire
here, there, what, count = sys.argv[1:]
left = int(count)

def killing(function):
    def counted(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return counted

import os
os.replace, os.write, os.fsync = killing(os.replace), killing(os.write), killing(os.fsync)
here, there = world.opened(Path(here)), world.opened(Path(there))
with world.directory(there) as remote:
    if what == "push":
        pushing.push(here, remote, {{"refs/heads/main": here.head}})
    else:
        fetching.fetch(here, remote, "origin", world.CURRENT, world.allow)
"""


def killed(here: Path, there: Path, what: str, count: int) -> bool:
    """Run a push or a fetch that is killed at its n-th write, rename or sync; False if it came to its end."""
    code = WORKER.format(support=str(Path(__file__).parents[2] / "support"))
    done = subprocess.run([sys.executable, "-c", code, str(here), str(there), what, str(count)])
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.parametrize("what", ["push", "fetch"])
def test_after_kill_9_the_next_command_works(
    here: Repository, there: Repository, tmp_path: Path, what: str
) -> None:
    with directory(there) as remote:
        push(here, remote, {MAIN: here.head})
    receiving = empty(tmp_path / "receiving", bare=what == "push")
    sending = here if what == "push" else receiving
    other = receiving if what == "push" else there
    count = 0
    while killed(sending.root, other.root, what, count):
        reopened = opened(receiving.root)
        tips = reopened.refs.all()
        assert set(tips.values()) <= {here.head}
        for ref in tips:
            assert_complete(reopened, ref)
        for name in reopened.objects.names():
            reopened.objects.get(name)
        count += 7
    assert count >= 14
    final = opened(receiving.root)
    assert set(final.refs.all().values()) == {here.head}
    change(here, 0, 900)
    with connected(there) as remote:
        push(here, remote, {MAIN: here.head})
    if what == "push":
        with connected(final) as remote:
            push(here, remote, {MAIN: here.head})
    else:
        with connected(there) as remote:
            fetch(final, remote, "origin", CURRENT, allow)
    assert list(final.private.glob("incoming-*")) == []
    assert_complete(final, MAIN if what == "push" else ORIGIN)


def test_ctrl_c_leaves_nothing_behind(here: Repository, there: Repository) -> None:
    def interrupt(task: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), connected(there) as remote:
        push(here, remote, {MAIN: here.head}, progress=interrupt)
    assert_nothing_is_half_done(there)
    assert os.listdir(here.objects.leases.folder) == []
