"""Sets of names behave as sets do, and their file comes back as it was or is said to be damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop_store import DamagedObjectError
from mpop_store.objects.names import NameFile, NameSet

NAMES = st.builds(
    lambda first, last: f"{first:02x}" + "0" * 60 + f"{last:02x}", st.integers(0, 255), st.integers(0, 2)
)
SETS = st.lists(NAMES, max_size=40)


@given(one=SETS, other=SETS)
def test_they_are_sets(one: list[str], other: list[str]) -> None:
    first, second = NameSet(one), NameSet(other)
    assert first.hex() == sorted(set(one)) and len(first) == len(set(one))
    assert (first | second).hex() == sorted({*one, *other})
    assert (first & second).hex() == sorted({*one} & {*other})
    assert (first - second).hex() == sorted({*one} - {*other})
    assert (first == second) is (set(one) == set(other))
    assert all((name in first) is (name in one) for name in {*one, *other})


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    file = NameFile({"who": "ä"}, NameSet(["0" * 64]), NameSet(["f" * 64, "1" * 62 + "00"]))
    path = tmp_path / "promises" / "given" / "x"
    file.write(path)
    assert NameFile.read(path) == file
    NameFile().write(path)
    assert NameFile.read(path) == NameFile()
    assert [one.name for one in path.parent.iterdir()] == ["x"]


def test_every_damage_of_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x"
    NameFile({"who": "me"}, NameSet(["0" * 64]), NameSet(["f" * 64])).write(path)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(DamagedObjectError):
            NameFile.read(path)
        path.write_bytes(good[:place])
        with pytest.raises(DamagedObjectError):
            NameFile.read(path)
