"""Names from content."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop_store import InputError, canonical_json, hash_bytes, hash_file, version_of

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé\U0001f600", max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_blake3_is_the_published_one() -> None:
    # test vectors of BLAKE3: empty input, and the first 1024 bytes of 0, 1, ..., 250, 0, 1, ...
    assert hash_bytes(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    vector = bytes(i % 251 for i in range(1024))
    assert hash_bytes(vector) == "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"


@pytest.mark.parametrize("size", [0, 1, 3 << 20])
def test_a_file_has_the_name_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (tmp_path / "file").write_bytes(data)
    assert hash_file(tmp_path / "file") == hash_bytes(data)


def test_canonical_json_is_that_of_rfc_8785() -> None:
    value = {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27], "\u20ac": "\u00e9\n", "1": False}
    expected = '{"1":false,"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"\u20ac":"\u00e9\\n"}'
    assert canonical_json(value) == expected.encode()


@given(JSON)
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: object) -> None:
    def turned(part: object) -> object:
        if isinstance(part, dict):
            return {key: turned(part[key]) for key in reversed(part)}
        return [turned(one) for one in part] if isinstance(part, list) else part

    assert canonical_json(turned(value)) == canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53])
def test_what_json_cannot_hold_everywhere_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="cannot be stored as JSON"):
        canonical_json({"x": [value]})


def test_a_version_covers_all_but_itself_and_what_can_be_recomputed() -> None:
    record = {"kind": "species", "n": 3, "parent": None}
    version = version_of(record)
    assert version == hash_bytes(b'{"kind":"species","n":3,"parent":null}')
    assert version_of({**record, "version": "x", "derived": {"sums": {}}}) == version
    assert version_of({**record, "n": 4}) != version
    assert version_of({**record, "parent": version}) != version
