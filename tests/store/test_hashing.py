"""Names from content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from mpop_store import InputError, canonical_json, hash_bytes, hash_file, version_of
from mpop_store.hashing import MAX_NESTING, parse_json

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


@given(JSON)
def test_canonical_json_is_what_the_library_for_it_writes(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [{1: "a"}, [{None: 1}], {"a": [{"b": {2: 3}}]}, [2**53], {"a": [-(2**53)]}])
def test_keys_that_are_no_text_and_large_integers_are_refused_at_any_depth(value: Any) -> None:
    with pytest.raises(InputError):
        canonical_json(value)


BLANKS = st.text(" \n\t\r", max_size=2)
KEYS = st.text(st.sampled_from('a:" \\'), max_size=3)


def as_list(parts: list[tuple[str, bool]]) -> tuple[str, bool]:
    return f"[{','.join(text for text, _ in parts)}]", any(twice for _, twice in parts)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[tuple[str, bool]]) -> tuple[str, bool]:
    """Text of an object with blanks anywhere, and colons in its texts; whether some object has a key twice."""
    members = draw(st.lists(st.tuples(KEYS, inner), max_size=3))
    keys = [key for key, _ in members]
    texts = [
        draw(BLANKS) + json.dumps(key) + draw(BLANKS) + ":" + draw(BLANKS) + text + draw(BLANKS)
        for key, (text, _) in members
    ]
    return f"{{{','.join(texts)}}}", len(set(keys)) < len(keys) or any(twice for _, (_, twice) in members)


@given(
    st.recursive(
        KEYS.map(lambda text: (json.dumps(text), False)),
        lambda inner: objects(inner) | st.lists(inner, max_size=3).map(as_list),
        max_leaves=10,
    )
)
def test_a_key_that_is_there_twice_is_found_anywhere(made: tuple[str, bool]) -> None:
    text, is_twice = made
    assert parse_json(text) == json.loads(text)
    if is_twice:
        with pytest.raises(ValueError, match="twice"):
            parse_json(text, unique_keys=True)
    else:
        assert parse_json(text, unique_keys=True) == json.loads(text)


@pytest.mark.parametrize("inside", ["", "1", '"[]}{[" '])
@pytest.mark.parametrize("beside", [0, 100])
def test_so_many_levels_of_json_are_read_and_no_more(inside: str, beside: int) -> None:
    def nested(levels: int) -> str:
        return "[" + "[]," * beside + "[" * (levels - 1) + inside + "]" * levels

    assert parse_json(nested(MAX_NESTING)) == json.loads(nested(MAX_NESTING))
    with pytest.raises(ValueError, match="nests too deep"):
        parse_json(nested(MAX_NESTING + 1))
