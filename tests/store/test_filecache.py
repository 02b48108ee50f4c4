"""The cache of file hashes: it saves reading, and never gives a hash that is not the file's."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mpop_store import filecache, hash_bytes
from mpop_store.filecache import FileCache, FileState


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read, in order."""
    found: list[str] = []
    read = filecache.hash_file
    monkeypatch.setattr(filecache, "hash_file", lambda path: found.append(Path(path).name) or read(path))
    return found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ten seconds later than it is: files written by the test are old."""
    now = time.time_ns
    monkeypatch.setattr(filecache.time, "time_ns", lambda: now() + 10 * 10**9)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "image.mrc"
    path.write_bytes(b"one")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "file-hashes")


def test_an_unchanged_file_is_read_once(
    cache: FileCache, file: Path, tmp_path: Path, reads: list[str], later: None
) -> None:
    for one in (cache, cache, FileCache(tmp_path / "file-hashes")):  # the last as another process would
        assert one.hash(file) == hash_bytes(b"one")
    assert cache.hash(str(file.parent / "." / file.name)) == hash_bytes(b"one")
    assert reads == ["image.mrc"]


def test_a_file_that_has_just_been_written_is_read_every_time(
    cache: FileCache, file: Path, reads: list[str]
) -> None:
    for content in (b"two", b"six", b"ten"):
        file.write_bytes(content)
        assert cache.hash(file) == hash_bytes(content)
        assert cache.hash(file) == hash_bytes(content)
    assert len(reads) == 6


def _rewrite(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # rsync and cp -p do that


def _replace(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"two")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    os.replace(other, file)


def _link(file: Path) -> None:
    file.with_name("other").write_bytes(b"two")
    file.unlink()
    file.symlink_to("other")


@pytest.mark.parametrize("change", [_rewrite, _replace, _link, lambda file: file.write_bytes(b"two more")])
def test_any_change_is_noticed(
    cache: FileCache, file: Path, reads: list[str], later: None, change: Callable[[Path], object]
) -> None:
    cache.hash(file)
    change(file)
    assert cache.hash(file) == hash_bytes(file.read_bytes()) != hash_bytes(b"one")
    assert cache.hash(file) == hash_bytes(file.read_bytes())
    assert len(reads) == 2


def test_a_change_while_the_file_is_read_is_noticed(
    cache: FileCache, file: Path, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = filecache.hash_file

    def slowly(path: str | Path) -> str:
        found = read(path)
        _rewrite(Path(path))
        return found

    monkeypatch.setattr(filecache, "hash_file", slowly)
    assert cache.hash(file) == hash_bytes(b"one")
    monkeypatch.setattr(filecache, "hash_file", read)
    assert cache.hash(file) == hash_bytes(b"two")


def test_a_hash_found_elsewhere_is_remembered(cache: FileCache, file: Path, reads: list[str], later: None) -> None:
    state = FileState.of(file)
    cache.remember(file, state, hash_bytes(file.read_bytes()))
    assert cache.hash(file) == hash_bytes(b"one")
    assert reads == []


def test_a_missing_file_is_an_error_even_if_it_was_known(cache: FileCache, file: Path, later: None) -> None:
    cache.hash(file)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        cache.hash(file)


def test_names_need_not_be_text(cache: FileCache, tmp_path: Path, reads: list[str], later: None) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe'; DROP TABLE files; --")
    Path(odd).write_bytes(b"odd")
    assert cache.hash(odd) == cache.hash(odd) == hash_bytes(b"odd")
    assert len(reads) == 1


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(4096)])
def test_a_damaged_cache_is_made_again(
    tmp_path: Path, file: Path, reads: list[str], later: None, content: bytes
) -> None:
    kept = tmp_path / "file-hashes"
    kept.write_bytes(content)
    cache = FileCache(kept)
    assert [cache.hash(file) for _ in range(4)] == [hash_bytes(b"one")] * 4
    assert len(reads) <= 3
    FileCache(kept).hash(file)
    assert len(reads) <= 3


def test_any_changed_byte_of_the_cache_gives_no_wrong_hash(tmp_path: Path, file: Path, later: None) -> None:
    kept = tmp_path / "file-hashes"
    FileCache(kept).hash(file)
    good = kept.read_bytes()
    for position in range(0, len(good), 19):
        kept.write_bytes(good[:position] + bytes([good[position] ^ 1 << position % 8]) + good[position + 1 :])
        assert FileCache(kept).hash(file) == hash_bytes(b"one")
        assert FileCache(kept).hash(file) == hash_bytes(b"one")


def test_a_hash_changed_in_the_cache_is_not_believed(
    cache: FileCache, file: Path, tmp_path: Path, later: None
) -> None:
    cache.hash(file)
    with sqlite3.connect(tmp_path / "file-hashes") as connection:
        connection.execute("UPDATE files SET hash = ?", (hash_bytes(b"two"),))
    connection.close()
    assert FileCache(tmp_path / "file-hashes").hash(file) == hash_bytes(b"one")


def test_where_nothing_can_be_kept_files_are_read(
    tmp_path: Path, file: Path, reads: list[str], later: None
) -> None:
    cache = FileCache(tmp_path / "no such folder" / "file-hashes")
    assert cache.hash(file) == cache.hash(file) == hash_bytes(b"one")
    assert len(reads) == 2


def test_a_cache_that_another_process_holds_is_not_waited_for_long(
    cache: FileCache, file: Path, tmp_path: Path, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filecache, "BUSY_S", 0.05)
    holder = sqlite3.connect(tmp_path / "file-hashes", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert cache.hash(file) == hash_bytes(b"one")
    holder.close()


def test_threads_share_a_cache(cache: FileCache, tmp_path: Path, reads: list[str], later: None) -> None:
    files = [tmp_path / f"{number}.mrc" for number in range(40)]
    for path in files:
        path.write_bytes(path.name.encode())
    found: dict[str, set[str]] = {path.name: set() for path in files}

    def work() -> None:
        for path in files:
            found[path.name].add(cache.hash(path))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {path.name: {hash_bytes(path.name.encode())} for path in files}
    reads.clear()
    work()
    assert reads == []


def test_processes_share_a_cache(
    cache: FileCache, file: Path, tmp_path: Path, reads: list[str], later: None
) -> None:
    code = (
        "import sys, time; from mpop_store import filecache; now = time.time_ns;"
        "filecache.time.time_ns = lambda: now() + 10**10;"
        "print(filecache.FileCache(sys.argv[1]).hash(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file-hashes"), str(file)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {worker.communicate()[0].strip() for worker in workers} == {hash_bytes(b"one")}
    assert cache.hash(file) == hash_bytes(b"one")
    assert reads == []
