"""Packs: many objects in one file, found through an index that may be lost, and rescued when it is damaged."""

from __future__ import annotations

import errno
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpop_store import DamagedObjectError, MissingObjectError, ObjectStore, StoreError, hash_bytes
from mpop_store.objects import encoding, pack_stream
from mpop_store.objects import receiving as receiving_module
from mpop_store.objects.packs import FOOTER, MAGIC, ROW_SIZE, TABLE_MAGIC, TRAILER_SIZE, PackWriter, read_table
from mpop_store.objects.receiving import Receiver

RANDOM = np.random.default_rng(3)
CONTENTS = [RANDOM.bytes(size) for size in (0, 1, 200, 3000, 700)] + [bytes(5000), b"x" + encoding.MAGIC * 3]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "here" / "objects")


def files_of(contents: list[bytes]) -> dict[str, bytes]:
    return {hash_bytes(data): encoding.encode(data, 1) for data in contents}


def write_pack(store: ObjectStore, contents: list[bytes]) -> Path:
    writer = PackWriter(store.packed.folder)
    for name, blob in files_of(contents).items():
        writer.add(name, blob)
    return writer.finish()


def place(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def reopened(store: ObjectStore, keep_index: bool = False) -> ObjectStore:
    if not keep_index:
        (store.packed.folder / "index").unlink(missing_ok=True)
    return ObjectStore(store.root)


# --- the format --------------------------------------------------------------------------------------------------


def test_a_pack_is_what_its_description_says(store: ObjectStore) -> None:
    path = write_pack(store, CONTENTS)
    data = path.read_bytes()
    files = files_of(CONTENTS)
    start, count = struct.unpack("<QQ", data[-48:-32])
    assert data[:8] == MAGIC and count == len(CONTENTS)
    assert data[8:start] == b"".join(files.values())
    assert data[start : start + 8] == TABLE_MAGIC
    names = [data[start + 8 + 32 * n :][:32].hex() for n in range(count)]
    assert names == sorted(files)
    numbers = struct.unpack(f"<{2 * count}Q", data[start + 8 + 32 * count : -48])
    for name, offset, length in zip(names, numbers[:count], numbers[count:], strict=True):
        assert data[offset : offset + length] == files[name]
    assert data[-32:] == blake3(data[start:-32]).digest()
    assert path.name == f"pack-{data[-32:].hex()}.mpack"
    assert path.stat().st_mode & 0o222 == 0


def test_objects_in_packs_are_as_good_as_loose_ones(store: ObjectStore) -> None:
    loose = store.put(b"loose" * 100)
    both = store.put(CONTENTS[3])
    write_pack(store, CONTENTS[:4])
    write_pack(store, CONTENTS[2:])
    again = reopened(store)
    names = {hash_bytes(data): data for data in CONTENTS}
    assert list(again.names()) == sorted({*names, loose})
    for name, data in names.items():
        assert again.has(name) and again.get(name) == data
        assert again.read_file(name) == encoding.encode(data, 1)
        assert again.size(name) == len(encoding.encode(data, 1))
    assert not again.has(hash_bytes(b"other"))
    with pytest.raises(MissingObjectError):
        again.size(hash_bytes(b"other"))
    again.path(both).unlink()
    assert again.get(both) == CONTENTS[3]


def test_content_that_is_packed_is_not_written_again_but_freshened(store: ObjectStore) -> None:
    pack = write_pack(store, CONTENTS)
    os.utime(pack, (0, 0))
    again = reopened(store)
    again.put(CONTENTS[3])
    assert list(again.loose.names()) == []
    assert pack.stat().st_mtime > 1e9


def test_a_pack_that_another_process_adds_or_replaces_is_found(store: ObjectStore) -> None:
    first = write_pack(store, CONTENTS[:3])
    reader = reopened(store)
    assert reader.get(hash_bytes(CONTENTS[0])) == CONTENTS[0]
    write_pack(store, CONTENTS[3:])
    assert reader.has(hash_bytes(CONTENTS[4]))
    assert reader.get(hash_bytes(CONTENTS[3])) == CONTENTS[3]
    write_pack(store, CONTENTS)
    first.unlink()
    assert reader.get(hash_bytes(CONTENTS[1])) == CONTENTS[1]
    assert sorted(reader.packed.names()) == sorted(files_of(CONTENTS))


# --- the index ---------------------------------------------------------------------------------------------------


def test_the_index_is_a_cache(store: ObjectStore) -> None:
    for number in range(4):
        write_pack(store, [RANDOM.bytes(100 + number) for _ in range(5)])
    names = list(reopened(store).names())
    index = store.packed.folder / "index"
    good = index.read_bytes()
    assert len(names) == 20
    for bad in (b"", good[:-1], good[: len(good) // 2], good[:8], b"x" * len(good), good + b"x"):
        place(index, bad)
        assert list(reopened(store, keep_index=True).names()) == names
        assert index.read_bytes() == good
    for position in range(0, len(good), 7):
        place(index, good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
        assert list(reopened(store, keep_index=True).names()) == names
    index.unlink()
    assert list(reopened(store, keep_index=True).names()) == names


def test_an_index_that_lies_damages_nothing(store: ObjectStore) -> None:
    """Its checksum is right, the places are not: nothing goes to quarantine, and the index is mended."""
    pack = write_pack(store, CONTENTS)
    reopened(store).has(hash_bytes(CONTENTS[0]))
    index = store.packed.folder / "index"
    body = bytearray(index.read_bytes()[:-32])
    count = len(CONTENTS)
    for row in range(count):
        body[len(body) - 16 * count + 8 * row] ^= 1
    place(index, bytes(body) + blake3(bytes(body)).digest())
    again = reopened(store, keep_index=True)
    for data in CONTENTS:
        assert again.get(hash_bytes(data)) == data
    assert pack.exists() and not store.quarantine.folder.exists()
    assert reopened(store, keep_index=True).get(hash_bytes(CONTENTS[2])) == CONTENTS[2]


def test_a_disk_that_cannot_be_written_needs_no_index(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pack(store, CONTENTS)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert len(list(reopened(store).names())) == len(CONTENTS)
    assert not (store.packed.folder / "index").exists()


def test_opening_a_hundred_packs_takes_milliseconds(store: ObjectStore) -> None:
    for number in range(100):
        write_pack(store, [b"%d %d" % (number, n) for n in range(200)])
    wanted = hash_bytes(b"50 50")
    assert reopened(store).has(wanted)
    best = 1.0
    for _ in range(3):
        fresh = ObjectStore(store.root)
        start = time.perf_counter()
        assert fresh.has(wanted)
        best = min(best, time.perf_counter() - start)
    assert best < 0.02


# --- damage ------------------------------------------------------------------------------------------------------


def check_damage(store: ObjectStore, lost: set[str]) -> None:
    """Objects are whole or named as damaged or missing; only those that must be are lost."""
    for data in CONTENTS:
        name = hash_bytes(data)
        try:
            assert store.get(name) == data
        except (DamagedObjectError, MissingObjectError) as error:
            assert name in str(error)
            assert name in lost


@pytest.mark.parametrize("keep_index", [True, False], ids=["index", "no index"])
def test_a_flipped_byte_anywhere_in_a_pack_costs_one_object_at_most(store: ObjectStore, keep_index: bool) -> None:
    path = write_pack(store, CONTENTS)
    good = path.read_bytes()
    rows = list(read_table(path).rows())
    list(store.names())
    index = (store.packed.folder / "index").read_bytes()
    for position in [*range(0, 400, 3), *range(400, len(good), 41), *range(len(good) - 60, len(good))]:
        for file in store.packed.folder.iterdir():
            file.unlink()
        place(path, good[:position] + bytes([good[position] ^ 16]) + good[position + 1 :])
        if keep_index:
            place(store.packed.folder / "index", index)
        hit = {name for name, offset, length in rows if offset <= position < offset + length}
        check_damage(ObjectStore(store.root), hit)


@pytest.mark.parametrize("keep_index", [True, False], ids=["index", "no index"])
def test_a_pack_cut_short_keeps_what_is_before_the_cut(store: ObjectStore, keep_index: bool) -> None:
    path = write_pack(store, CONTENTS)
    good = path.read_bytes()
    rows = list(read_table(path).rows())
    list(store.names())
    index = (store.packed.folder / "index").read_bytes()
    for keep in [0, 1, 8, 40, *range(100, len(good), 97), *range(len(good) - 450, len(good), 11)]:
        for file in store.packed.folder.iterdir():
            file.unlink()
        place(path, good[:keep])
        if keep_index:
            place(store.packed.folder / "index", index)
        check_damage(ObjectStore(store.root), {name for name, offset, length in rows if offset + length > keep})


def test_a_damaged_object_takes_its_pack_to_quarantine_and_the_others_to_a_new_one(store: ObjectStore) -> None:
    path = write_pack(store, CONTENTS)
    rows = {name: (offset, length) for name, offset, length in read_table(path).rows()}
    victim = hash_bytes(CONTENTS[3])
    data = bytearray(path.read_bytes())
    data[rows[victim][0] + 1000] ^= 1
    place(path, bytes(data))
    with pytest.raises(DamagedObjectError, match=victim):
        store.get(victim)
    assert not store.has(victim)
    (new,) = store.packed.packs()
    assert new != path and read_table(new).find(victim) is None
    assert (store.quarantine.folder / path.name).read_bytes() == data
    assert [store.get(hash_bytes(one)) == one for one in CONTENTS if one != CONTENTS[3]]
    assert store.put(CONTENTS[3]) == victim and store.get(victim) == CONTENTS[3]


def test_damage_on_a_disk_that_cannot_be_written_is_still_named(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pack(store, CONTENTS)
    data = bytearray(path.read_bytes())
    data[8 + 56 + 57 + 100] ^= 1  # in the third object
    place(path, bytes(data))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(DamagedObjectError, match=hash_bytes(CONTENTS[2])):
        store.get(hash_bytes(CONTENTS[2]))
    assert store.get(hash_bytes(CONTENTS[3])) == CONTENTS[3]
    assert path.exists()


# --- a parser that cannot be fooled ------------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """A pack with bytes changed, cut, put in or moved, and often with a trailer that is right again."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["set", "cut", "insert", "number", "tail"])):
            case "set":
                data[start : start + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del data[start : start + draw(st.integers(1, 200))]
            case "insert":
                data[start:start] = draw(st.one_of(st.binary(max_size=50), st.just(encoding.MAGIC)))
            case "number":
                value = draw(st.sampled_from([0, 1, 7, 8, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1]))
                at = max(0, len(data) - 48 + draw(st.sampled_from([0, 8])) - 8 * draw(st.integers(0, 40)))
                data[at : at + 8] = struct.pack("<Q", value)
            case _:
                data = data[:start]
    if draw(st.booleans()) and len(data) > TRAILER_SIZE + FOOTER.size:
        start, _ = FOOTER.unpack_from(data, len(data) - TRAILER_SIZE - FOOTER.size)
        data[-TRAILER_SIZE:] = blake3(bytes(data[min(start, len(data)) : -TRAILER_SIZE])).digest()
    return bytes(data)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_pack_makes_a_wrong_object(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Neither a mutated nor a random one: content is right, or damaged, or missing."""
    store = ObjectStore(tmp_path_factory.mktemp("fuzz") / "objects")
    path = write_pack(store, CONTENTS)
    bad = data.draw(st.one_of(mutated(path.read_bytes()), st.binary(max_size=300).map(lambda tail: MAGIC + tail)))
    path.unlink()
    path = path.with_name(f"pack-{bad[-32:].hex() if len(bad) > 32 else '0' * 64}.mpack")
    path.write_bytes(bad)
    for name in [*store.names(), *files_of(CONTENTS)]:
        try:
            assert hash_bytes(store.get(name)) == name
        except StoreError as error:
            assert "\n" not in str(error)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_index_makes_a_wrong_object(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Also one whose checksum is right: what it says is checked by the content, and in the end the packs count."""
    store = ObjectStore(tmp_path_factory.mktemp("fuzz") / "objects")
    write_pack(store, CONTENTS[:3])
    write_pack(store, CONTENTS[2:])
    assert store.has(hash_bytes(CONTENTS[0]))
    index = store.packed.folder / "index"
    body = bytearray(data.draw(mutated(index.read_bytes()))[:-32])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, max(0, len(body) - 8)))
        body[at : at + 8] = struct.pack("<Q", data.draw(st.sampled_from([0, 1, 2**31, 2**63, 2**64 - 8])))
    place(index, bytes(body) + blake3(bytes(body)).digest())
    for name, blob in files_of(CONTENTS).items():
        again = ObjectStore(store.root)
        try:
            assert hash_bytes(again.get(name)) == name and again.read_file(name) == blob
        except StoreError as error:
            assert "\n" not in str(error)
    index.unlink(missing_ok=True)
    fresh = ObjectStore(store.root)
    assert [fresh.get(hash_bytes(one)) for one in CONTENTS] == CONTENTS


def test_numbers_out_of_all_proportion_take_no_memory(store: ObjectStore) -> None:
    path = write_pack(store, CONTENTS[:1])
    good = path.read_bytes()
    start, _ = FOOTER.unpack_from(good, len(good) - 48)
    for offset, length in ((2**64 - 8, 16), (8, 2**40), (2**63, 2**63), (0, 56), (start - 1, 2)):
        body = good[start : start + 40] + struct.pack("<QQ", offset, length) + FOOTER.pack(start, 1)
        trailer = blake3(body).digest()
        other = path.with_name(f"pack-{trailer.hex()}.mpack")
        place(other, good[:start] + body + trailer)
        with pytest.raises(DamagedObjectError, match="makes no sense"):
            read_table(other)
    body = good[start:-48] + FOOTER.pack(start, 2**60)
    place(path, good[:start] + body + blake3(body).digest())
    with pytest.raises(DamagedObjectError, match="not where its end says"):
        read_table(path)
    assert ROW_SIZE == 48


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("what", ["object", "pack", "index"])
def test_what_is_not_a_file_of_its_own_is_never_read(
    store: ObjectStore, tmp_path: Path, what: str, kind: str
) -> None:
    """A stranger's population may hold links out of it, and pipes that never end."""
    pack, loose = write_pack(store, CONTENTS), store.put(b"loose" * 100)
    assert store.has(hash_bytes(CONTENTS[0]))
    path = {"object": store.path(loose), "pack": pack, "index": store.packed.folder / "index"}[what]
    path.rename(tmp_path / "outside")
    if kind == "link":
        path.symlink_to(tmp_path / "outside")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    again = reopened(store, keep_index=True) if what == "index" else reopened(store)
    for name, content in ((hash_bytes(CONTENTS[3]), CONTENTS[3]), (loose, b"loose" * 100)):
        if what == {loose: "object"}.get(name, "pack"):
            with pytest.raises(StoreError):
                again.get(name)
        else:
            assert again.get(name) == content
    assert (tmp_path / "outside").exists()


# --- receiving ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("few", [0, 2**20], ids=["as packs", "as loose objects"])
@pytest.mark.parametrize("how", ["to the end", "interrupted"])
def test_what_has_arrived_is_kept(store: ObjectStore, monkeypatch: pytest.MonkeyPatch, few: int, how: str) -> None:
    monkeypatch.setattr(receiving_module, "FEW_BYTES", few)
    monkeypatch.setattr(pack_stream, "TARGET_SIZE", 3000)
    files = files_of(CONTENTS)
    known = store.put(CONTENTS[1])
    try:
        with Receiver(store) as incoming:
            for name, blob in files.items():
                incoming.add(name, blob)
                incoming.add(name, blob)
            if how == "interrupted":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert how == "interrupted"
    assert incoming.objects == len(files) - 1
    assert incoming.bytes == sum(len(blob) for name, blob in files.items() if name != known)
    again = ObjectStore(store.root)
    assert [again.get(hash_bytes(data)) for data in CONTENTS] == CONTENTS
    assert len(again.packed.packs()) == (0 if few else 2)
    assert list(store.packed.folder.glob("tmp-*")) == []


def test_what_is_not_the_object_of_its_name_is_refused(store: ObjectStore) -> None:
    good = files_of(CONTENTS)
    name, other = list(good)[2:4]
    first = next(iter(good))
    with pytest.raises(DamagedObjectError, match=name), Receiver(store) as incoming:
        incoming.add(first, good[first])
        incoming.add(name, good[other])
    assert list(store.names()) == [first]
    for blob in (b"", good[name][:-1], good[name][:-1] + b"x"):
        with pytest.raises(DamagedObjectError, match=name), Receiver(store) as incoming:
            incoming.add(name, blob)
    with pytest.raises(StoreError, match="not the name of an object"), Receiver(store) as incoming:
        incoming.add("../../etc/passwd", good[name])


@pytest.mark.parametrize("where", ["pwrite", "fsync", "replace"])
def test_a_disk_that_fills_up_is_one_error_and_no_rubbish(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(receiving_module, "FEW_BYTES", 0)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files = files_of(CONTENTS)
    with monkeypatch.context() as patch:
        patch.setattr(os, where, fail)
        with pytest.raises(StoreError, match="No space left"), Receiver(store) as incoming:
            for name, blob in files.items():
                incoming.add(name, blob)
    assert list(store.packed.folder.iterdir()) == []
    with Receiver(store) as incoming:
        for name, blob in files.items():
            incoming.add(name, blob)
    assert sorted(store.names()) == sorted(files)


# --- fetching what is not here -----------------------------------------------------------------------------------


class Elsewhere:
    """A remote that has everything, and notes what it is asked for."""

    def __init__(self, store: ObjectStore) -> None:
        self.asked: list[list[str]] = []
        self._store = store
        store.fetch_missing = self.fetch

    def fetch(self, names: object) -> None:
        assert isinstance(names, list)
        self.asked.append(names)
        files = files_of(CONTENTS)
        with Receiver(self._store) as incoming:
            for name in names:
                if name in files:
                    incoming.add(name, files[name])


def test_what_is_missing_is_fetched_once(store: ObjectStore) -> None:
    elsewhere = Elsewhere(store)
    name, other = hash_bytes(CONTENTS[3]), hash_bytes(b"nowhere")
    assert store.get(name) == CONTENTS[3] == store.get(name)
    with pytest.raises(MissingObjectError, match=other):
        store.get(other)
    assert elsewhere.asked == [[name], [other]]
    assert not store.has(hash_bytes(CONTENTS[4]))
    with pytest.raises(MissingObjectError):
        store.offline().get(hash_bytes(CONTENTS[4]))
    assert len(elsewhere.asked) == 2


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_what_is_damaged_is_fetched_too(store: ObjectStore, packed: bool) -> None:
    name = hash_bytes(CONTENTS[3])
    path = write_pack(store, CONTENTS) if packed else store.path(store.put(CONTENTS[3]))
    data = bytearray(path.read_bytes())
    data[data.index(CONTENTS[3]) + 5] ^= 1
    place(path, bytes(data))
    elsewhere = Elsewhere(store)
    assert store.get(name) == CONTENTS[3]
    assert elsewhere.asked == [[name]]
    assert (store.quarantine.folder / name).exists()


def test_many_are_fetched_in_one_request(store: ObjectStore) -> None:
    names = list(files_of(CONTENTS))
    store.prefetch(names)  # nobody to ask: nothing happens
    elsewhere = Elsewhere(store)
    here = store.put(CONTENTS[0])
    store.prefetch([*names, *names])
    store.prefetch(names)
    assert elsewhere.asked == [[name for name in names if name != here]]
    assert store.has(names[-1])
