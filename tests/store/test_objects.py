"""Objects: round trips, damage, and writes that do not come to an end."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpop_store import DamagedObjectError, MissingObjectError, ObjectStore, StoreError, hash_bytes
from mpop_store.objects.encoding import HEADER, TRAILER_SIZE

NOISE = np.random.default_rng(1).bytes(2000)
SMOOTH = np.sin(np.linspace(0, 9, 4000)).astype("<f4").tobytes()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def files(store: ObjectStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def place(path: Path, data: bytes) -> None:
    """Write a file anew, whether it is there or has been put into quarantine."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


@settings(max_examples=60)
@given(data=st.binary(max_size=3000), itemsize=st.sampled_from([1, 2, 4, 8]))
def test_content_comes_back_under_its_hash(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, itemsize: int
) -> None:
    store = ObjectStore(tmp_path_factory.mktemp("objects"))
    name = store.put(data, itemsize)
    assert name == hash_bytes(data)
    assert store.get(name) == data


def test_smooth_numbers_are_compressed_and_noise_costs_no_more_than_the_frame(store: ObjectStore) -> None:
    assert store.size(store.put(SMOOTH, 4)) < 0.8 * len(SMOOTH)
    assert store.size(store.put(NOISE)) == len(NOISE) + HEADER.size + TRAILER_SIZE


def test_the_name_does_not_depend_on_how_the_content_is_packed(store: ObjectStore, tmp_path: Path) -> None:
    assert store.put(SMOOTH, 4) == ObjectStore(tmp_path / "other").put(SMOOTH, 1)


def test_an_object_is_written_once_and_cannot_be_written_to(store: ObjectStore) -> None:
    path = store.path(store.put(NOISE))
    store.sync()
    os.utime(path, (0, 0))
    before = path.stat()
    store.put(NOISE)
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime > 1e9  # freshened, so that it is not collected as garbage
    assert stat.S_IMODE(before.st_mode) == 0o444
    assert list(store.names()) == [hash_bytes(NOISE)]


@pytest.mark.parametrize("content", [b"", b"x", NOISE[:300], SMOOTH[:600]], ids=["empty", "byte", "raw", "packed"])
def test_any_changed_byte_is_found(store: ObjectStore, content: bytes) -> None:
    """Header, payload and trailer, byte by byte."""
    name = store.put(content, 4)
    path = store.path(name)
    good = path.read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        place(path, bytes(bad))
        with pytest.raises(DamagedObjectError, match=name):
            store.get(name)
        assert (store.quarantine.folder / name).read_bytes() == bytes(bad)
    place(path, good)
    assert store.get(name) == content


@pytest.mark.parametrize("keep", [0, 100])
def test_an_object_that_a_power_cut_has_torn_is_written_again(store: ObjectStore, keep: int) -> None:
    path = store.path(store.put(NOISE))
    path.write_bytes(path.read_bytes()[:keep])  # it has not been synced
    again = ObjectStore(store.root)
    assert again.get(again.put(NOISE)) == NOISE
    again.sync()
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


@pytest.mark.parametrize("keep", [0, 1, HEADER.size, HEADER.size + TRAILER_SIZE - 1, -1])
def test_a_truncated_file_is_damaged(store: ObjectStore, keep: int) -> None:
    name = store.put(SMOOTH, 4)
    place(store.path(name), store.path(name).read_bytes()[:keep])
    with pytest.raises(DamagedObjectError, match=name):
        store.get(name)


def test_a_whole_object_under_a_wrong_name_is_damaged(store: ObjectStore) -> None:
    right, wrong = store.put(NOISE), hash_bytes(b"something else")
    store.path(wrong).parent.mkdir(exist_ok=True)
    store.path(right).rename(store.path(wrong))
    with pytest.raises(DamagedObjectError, match="does not match its name"):
        store.get(wrong)
    with pytest.raises(MissingObjectError, match=right):
        store.get(right)


@pytest.mark.parametrize("name", ["", "abc", "../" + "a" * 61, "A" * 64])
def test_what_is_not_a_name_leads_nowhere(store: ObjectStore, name: str) -> None:
    with pytest.raises(StoreError, match="not the name of an object"):
        store.has(name)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["write", "rename"])
def test_a_full_disk_leaves_nothing_behind(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, number: int, where: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    class Full(io.FileIO):
        def write(self, content: object) -> int:
            fail()
            return 0

    if where == "rename":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(Path, "open", lambda path, mode: Full(path, mode))
    with pytest.raises(StoreError, match=os.strerror(number)):
        store.put(NOISE)
    monkeypatch.undo()
    assert files(store) == []
    assert store.get(store.put(NOISE)) == NOISE
    store.sync()


def test_ctrl_c_in_a_write_leaves_nothing_behind(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.put(NOISE)
    assert files(store) == []
    store.sync()


def test_leftovers_of_a_killed_writer_are_ignored_and_removed_when_old(store: ObjectStore) -> None:
    path = store.path(store.put(NOISE))
    old, young = path.parent / "tmp-dead", path.parent / "tmp-alive"
    for leftover in (old, young):
        leftover.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert list(store.names()) == [hash_bytes(NOISE)]
    store.clean()
    assert not old.exists() and young.exists()


def test_sync_covers_what_was_put(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for number in range(3):
        store.put(bytes([number]))
    store.sync()
    assert len(synced) == 3 + len({store.path(hash_bytes(bytes([n]))).parent for n in range(3)})
    store.sync()
    assert len(synced) == 6
